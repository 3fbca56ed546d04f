"""Who may read the metrics: callers with a token or a password from a file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from typing import Final

from identtqueue.errors import InvalidInput

MOST_BYTES: Final = 64 * 1024
"""Upper bound for a file of tokens or passwords."""


class Access:
    """The check of a caller's `Authorization` header.

    The files are read anew for each request, so a rotated secret takes effect at once.

    Args:
        token_file: holds one bearer token; None: no token is accepted.
        passwords_file: holds lines of the form `user:password`; None: no password is accepted.
            Without any file, everybody may read.

    Raises:
        InvalidInput: a file can't be read, or holds nothing.
    """

    def __init__(self, token_file: Path | None, passwords_file: Path | None) -> None:
        self._token_file = token_file
        self._passwords_file = passwords_file
        for file in (token_file, passwords_file):
            if file is not None and not _lines(file):
                raise InvalidInput(f"{file}: holds no secret")
        if passwords_file is not None and not all(":" in line for line in _lines(passwords_file)):
            raise InvalidInput(f"{passwords_file}: each line must be user:password")

    @property
    def challenges(self) -> list[str]:
        """The ways to log in, for the header `WWW-Authenticate`."""
        ways = (("Bearer", self._token_file), ('Basic realm="idenTTqueue"', self._passwords_file))
        return [way for way, file in ways if file is not None]

    def allows(self, authorization: str) -> bool:
        """Return whether a caller with this `Authorization` header may read the metrics.

        A file that can't be read any more allows nobody.
        """
        if not self.challenges:
            return True
        kind, _, given = authorization.partition(" ")
        checks: dict[str, Callable[[str], bool]] = {"bearer": self._token, "basic": self._password}
        check = checks.get(kind.lower())
        try:
            return check is not None and check(given.strip())
        except InvalidInput:
            return False

    def _token(self, given: str) -> bool:
        return self._token_file is not None and _is_one_of(given, _lines(self._token_file)[:1])

    def _password(self, given: str) -> bool:
        try:
            pair = base64.b64decode(given, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self._passwords_file is not None and _is_one_of(pair, _lines(self._passwords_file))


def _is_one_of(given: str, secrets: list[str]) -> bool:
    """Compare in a time that tells nothing about the secrets."""
    found = [compare_digest(given.encode(), secret.encode()) for secret in secrets]
    return any(found)


def _lines(file: Path) -> list[str]:
    """Read the lines of a file that are not empty.

    Raises:
        InvalidInput: it can't be read.
    """
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
