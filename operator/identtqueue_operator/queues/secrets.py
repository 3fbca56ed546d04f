"""The Secrets that TaskQueues name, and the files for those values that TLS reads from files.

A Secret is read when it is first needed, and again while a connection is in trouble: so a rotated
password is picked up, and connections that are logged in already live on. What it holds is kept as
long as a TaskQueue names it.
"""

import asyncio
import base64
import binascii
import hashlib
import ssl
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Key
from identtqueue_operator.timings import DEFAULTS, Timings


class SecretMissing(Exception):
    """A Secret, or a key in it, is not there or not usable; the message says which."""


@dataclass(slots=True)
class _Kept:
    """A Secret that TaskQueues name."""

    owners: set[str] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is read, so that many TaskQueues make one request."""
    read_at: float = float("-inf")
    found: dict[str, bytes] | SecretMissing = field(default_factory=dict)


class Secrets:
    """A cache of the Secrets that TaskQueues name.

    Args:
        kube: reads Secrets.
        clock: seconds, monotonic.
        timings: how soon a Secret is read again.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float], timings: Timings = DEFAULTS) -> None:
        self._reread_seconds = timings.secrets_reread_seconds
        self._kube = kube
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._named: dict[str, frozenset[Key]] = {}
        """The Secrets of each owner."""

    @property
    def named(self) -> frozenset[Key]:
        """The Secrets that TaskQueues name. No others are kept."""
        return frozenset(self._kept)

    def name(self, owner: str, secrets: frozenset[Key]) -> None:
        """Note which Secrets an owner names now. Drop those that nobody names any more."""
        before = self._named.pop(owner, frozenset())
        if secrets:
            self._named[owner] = secrets
        for secret in secrets - before:
            self._kept.setdefault(secret, _Kept()).owners.add(owner)
        for secret in before - secrets:
            self._kept[secret].owners.discard(owner)
            if not self._kept[secret].owners:
                del self._kept[secret]

    async def text(self, secret: Key, name: str, *, fresh: bool) -> str:
        """Return a value that is text, without the line end that an editor may have added.

        Args:
            secret: one that an owner names.
            name: key in the Secret.
            fresh: read the Secret again if that is not too soon.

        Raises:
            SecretMissing: the Secret or the key is not there, or is not text.
            ApiError: the API server refused, or could not be reached.
        """
        try:
            return (await self.value(secret, name, fresh=fresh)).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretMissing(f"Secret {secret.name}: {name} is not text") from None

    async def value(self, secret: Key, name: str, *, fresh: bool) -> bytes:
        """Return a value; arguments and errors are those of `text`."""
        kept = self._kept[secret]
        async with kept.lock:
            useless = isinstance(kept.found, SecretMissing) or name not in kept.found
            if (fresh or useless) and self._clock() - kept.read_at >= self._reread_seconds:
                asked_at = self._clock()
                kept.found = await self._read(secret)
                kept.read_at = asked_at
        found = kept.found
        if isinstance(found, SecretMissing):
            raise SecretMissing(*found.args)
        if name not in found:
            raise SecretMissing(f"Secret {secret.name} has no key {name}")
        return found[name]

    async def _read(self, secret: Key) -> dict[str, bytes] | SecretMissing:
        try:
            body = await self._kube.get_secret(secret)
        except ApiError as error:
            if error.status == 404:
                return SecretMissing(f"Secret {secret.name} does not exist")
            if error.status == 403:
                return SecretMissing(
                    f"the operator may not read Secret {secret.name}: name it in the chart's "
                    "rbac.secretNames"
                )
            raise
        try:
            data = body.get("data") or {}
            return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
        except (binascii.Error, TypeError, ValueError):
            return SecretMissing(f"Secret {secret.name} is not base64")


class SecretFiles:
    """Files for certificates and private keys, since TLS takes file names only.

    Args:
        secrets: where the values come from.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def certificate(self, secret: Key, name: str, *, fresh: bool) -> str:
        """Return the path of a file with a certificate; see `Secrets.text`."""
        return await self._file(secret, name, _check_certificate, fresh=fresh)

    async def private_key(self, secret: Key, name: str, *, fresh: bool) -> str:
        """Return the path of a file with a private key; see `Secrets.text`."""
        return await self._file(secret, name, _check_private_key, fresh=fresh)

    async def _file(
        self, secret: Key, name: str, check: Callable[[bytes], None], *, fresh: bool
    ) -> str:
        """Write the value to a file named by its content: a rotated value has another name."""
        pem = await self._secrets.value(secret, name, fresh=fresh)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="identtqueue-tls-")  # mode 0700
        path = Path(self._folder.name) / f"{hashlib.sha256(pem).hexdigest()[:16]}.pem"
        if not path.exists():
            try:
                check(pem)
            except ValueError as error:
                raise SecretMissing(f"Secret {secret.name}: {name} {error}") from None
            path.write_bytes(pem)
        return str(path)

    def keep_only(self, paths: Iterable[str | None]) -> None:
        """Remove all other files. One that is about to be used again is written again."""
        used = set(paths)
        if self._folder is not None:
            for path in Path(self._folder.name).iterdir():
                if str(path) not in used:
                    path.unlink()

    def close(self) -> None:
        """Remove all files."""
        if self._folder is not None:
            self._folder.cleanup()


def _check_certificate(pem: bytes) -> None:
    """Raise ValueError unless it is one certificate, or several."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, ValueError):
        raise ValueError("is no certificate in PEM form") from None


def _check_private_key(pem: bytes) -> None:
    """Raise ValueError unless it looks like one; the first connection shows whether it fits."""
    if b"PRIVATE KEY-----" not in pem or b"ENCRYPTED" in pem:
        raise ValueError("is no private key in PEM form, not encrypted")
