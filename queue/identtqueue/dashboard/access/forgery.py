"""Protection from forged requests: another site can't act with the login of a user.

A request that changes something needs the token of a form of ours. The token is a keyed hash of a
cookie and of the user's name. So neither a form of another site, nor a cookie that somebody has
planted, nor the token of another user is enough. The browser's own word for where the request comes
from (`Sec-Fetch-Site`, `Origin`) must agree.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from identtqueue.dashboard.access.user import NotAllowed, User

COOKIE: Final = "identtqueue_csrf"
FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
_VALUE: Final = re.compile(r"[0-9a-f]{32}")


class ForgeryGuard:
    """Maker and checker of the tokens of forms.

    Args:
        secret: key of the tokens. All processes of one dashboard need the same.
        origins: other origins that the dashboard is reached by, such as `https://queues.example`,
            where a proxy does not pass on the host.
    """

    def __init__(self, secret: bytes, origins: frozenset[str] = frozenset()) -> None:
        self._secret = secret
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def cookie(self, request: HTTPConnection) -> str:
        """Return the value of the request's cookie, or a new one."""
        found = request.cookies.get(COOKIE, "")
        return found if _VALUE.fullmatch(found) else secrets.token_hex(16)

    def token(self, cookie: str, user: User) -> str:
        """Return the token of a user's forms."""
        text = f"{cookie}\0{user.name}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    def check(self, request: HTTPConnection, user: User, token: str) -> None:
        """Check that a request comes from a form of ours, sent by the user.

        Raises:
            NotAllowed: it comes from another site, or its token is missing or somebody else's.
        """
        self._check_origin(request)
        cookie = request.cookies.get(COOKIE, "")
        wanted = self.token(cookie, user)
        if not _VALUE.fullmatch(cookie) or not hmac.compare_digest(wanted, token):
            raise NotAllowed(
                "The form is too old, or was not made for this browser. Load the page again."
            )

    def _check_origin(self, request: HTTPConnection) -> None:
        site = request.headers.get("sec-fetch-site")
        if site == "same-origin":  # browsers let no page set this header
            return
        if site is not None:
            raise NotAllowed("The request comes from another site.")
        # Browsers send it only over HTTPS and to this machine.
        origin = request.headers.get("origin", "").lower()
        host = request.headers.get("host", "").lower()
        if not origin:
            raise NotAllowed("The request does not say which site it comes from.")
        if urlsplit(origin).netloc != host and origin not in self._origins:
            raise NotAllowed("The request comes from another site.")
