"""Hashes of passwords, by scrypt: slow to guess, and without a package for it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self

from identtqueue.errors import InvalidInput

_LOG2_N: Final = 14
_R: Final = 8
_P: Final = 5
"""16 MiB and about a quarter of a second for each guess: one of the settings that OWASP advises."""
_MOST_BYTES: Final = 128 * 1024 * 1024
"""A file can't make the dashboard use more memory than this for one login."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A hashed password, written as `scrypt$<log2 N>$<r>$<p>$<salt>$<hash>`."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> Self:
        """Hash a password, with a salt of its own."""
        salt = secrets.token_bytes(16)
        return cls(_LOG2_N, _R, _P, salt, _scrypt(password, _LOG2_N, _R, _P, salt))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a hash.

        Raises:
            InvalidInput: it is in another format, or would need too much memory.
        """
        try:
            kind, log2_n, r, p, salt, digest = text.split("$")
            made = cls(int(log2_n), int(r), int(p), _decode(salt), _decode(digest))
        except (ValueError, binascii.Error):
            raise InvalidInput(_ADVICE) from None
        in_bounds = 1 <= made.log2_n <= 20 and 1 <= made.r <= 32 and 1 <= made.p <= 16
        if kind != "scrypt" or not in_bounds or len(made.digest) != 32:
            raise InvalidInput(_ADVICE)
        if 128 * made.r * 2**made.log2_n > _MOST_BYTES:
            raise InvalidInput("the hash of a password needs more than 128 MiB to check")
        return made

    def __str__(self) -> str:
        words = ("scrypt", self.log2_n, self.r, self.p, _encode(self.salt), _encode(self.digest))
        return "$".join(map(str, words))

    def matches(self, password: str) -> bool:
        """Return whether it is the hash of this password. Takes the same time for every answer."""
        found = _scrypt(password, self.log2_n, self.r, self.p, self.salt)
        return hmac.compare_digest(found, self.digest)


_ADVICE: Final = (
    "the hash of a password must be as `identtqueue dashboard-user NAME` prints it: scrypt$…"
)


def _scrypt(password: str, log2_n: int, r: int, p: int, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=2**log2_n,
        r=r,
        p=p,
        maxmem=2 * _MOST_BYTES,
        dklen=32,
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
