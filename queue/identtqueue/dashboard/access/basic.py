"""Logins by name and password (HTTP Basic), from a file of users with hashed passwords."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import HTTPConnection

from identtqueue.dashboard.access.attempts import FailedLogins
from identtqueue.dashboard.access.passwords import PasswordHash
from identtqueue.dashboard.access.user import NotAllowed, User, UserRole
from identtqueue.errors import InvalidInput

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS: Final = 600.0
"""How long a login that was right needs no slow check."""
_MOST_REMEMBERED: Final = 1_000
_AT_ONCE: Final = 2
"""Slow checks at the same time: 16 MiB and a core each."""
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="idenTTqueue", charset="UTF-8"'}
_DECOY: Final = PasswordHash(14, 8, 5, b"\0" * 16, b"\0" * 32)
"""Checked for a name that does not exist, so that it takes as long as one that does."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user who may log in."""

    user: User
    password: PasswordHash


def parse_users(text: str) -> dict[str, Account]:
    """Read a file of users: `name:role:hash` on each line; empty lines and `#` are left out.

    Raises:
        InvalidInput: a line breaks the rule; the text names its number, never its content.
    """
    accounts: dict[str, Account] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        role, _, hashed = rest.partition(":")
        if not name or role not in tuple(UserRole) or name in accounts:
            raise InvalidInput(
                f"users, line {number}: must be name:viewer:hash or name:operator:hash, with each "
                "name once"
            )
        try:
            accounts[name] = Account(User(name, UserRole(role)), PasswordHash.parse(hashed))
        except InvalidInput as error:
            raise InvalidInput(f"users, line {number}: {error}") from None
    if not accounts:
        raise InvalidInput("users: there is none; `identtqueue dashboard-user NAME` prints a line")
    return accounts


class BasicAuth:
    """Access for the users of a file, which is read again when it changes.

    A login that was right is remembered for ten minutes as a keyed hash, because the check of a
    password is slow on purpose. After ten failures within a minute, an address or a name has to
    wait.

    Args:
        users: path of the file. Each line is `name:role:hash`, as `identtqueue dashboard-user`
            prints it.

    Raises:
        InvalidInput: the file can't be read, or a line breaks the rule.
    """

    def __init__(self, users: str | Path) -> None:
        self._path = Path(users)
        self._key = secrets.token_bytes(32)
        self._failed = FailedLogins()
        self._right: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self._slow = asyncio.Semaphore(_AT_ONCE)
        self._read_at: tuple[int, int] | None = None
        self._accounts: Mapping[str, Account] = {}
        self._read(self._stamp())

    async def identify(self, request: HTTPConnection) -> User:
        """Return the user whose name and password the request has.

        Raises:
            NotAllowed: there are none, they are wrong, or there were too many wrong ones.
        """
        self._read_if_changed()
        found = _credentials(request.headers.get("authorization", ""))
        if found is None:
            raise NotAllowed("Log in to see the queues.", 401, _CHALLENGE)
        name, password = found
        mark = self._mark(name, password)
        if (user := self._remembered(mark)) is not None:
            return user
        address = f"address {request.client.host if request.client else ''}"
        keys = (address, f"name {name[:200]}")
        if wait := self._failed.wait_seconds(*keys):
            raise NotAllowed(
                f"Too many wrong logins. Try again in {wait} s.", 429, {"Retry-After": str(wait)}
            )
        account = self._accounts.get(name)
        hashed = account.password if account else _DECOY
        async with self._slow:
            is_right = await asyncio.to_thread(hashed.matches, password)
        if account is None or not is_right:
            self._failed.note(*keys)
            logger.warning("a login to the dashboard was refused (%s)", address)
            raise NotAllowed("The name or the password is wrong.", 401, _CHALLENGE)
        self._remember(mark, account.user)
        return account.user

    def _mark(self, name: str, password: str) -> bytes:
        text = f"{name}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)

    def _remembered(self, mark: bytes) -> User | None:
        at, user = self._right.get(mark, (0.0, None))
        if user is None or time.monotonic() - at > REMEMBERED_SECONDS:
            return None
        return user

    def _remember(self, mark: bytes, user: User) -> None:
        self._right[mark] = (time.monotonic(), user)
        self._right.move_to_end(mark)
        while len(self._right) > _MOST_REMEMBERED:
            self._right.popitem(last=False)

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise InvalidInput(f"users: {self._path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ino

    def _read_if_changed(self) -> None:
        """Read the file again; one that can't be read leaves the users as they were."""
        try:
            stamp = self._stamp()
            if stamp != self._read_at:
                self._read(stamp)
        except InvalidInput as error:
            logger.warning("the users of the dashboard stay as they were: %s", error)

    def _read(self, stamp: tuple[int, int]) -> None:
        self._read_at = stamp  # also of a file that can't be read: it is logged once
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"users: {self._path} can't be read: {error}") from error
        self._accounts = parse_users(text)
        self._right.clear()


def _credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None
