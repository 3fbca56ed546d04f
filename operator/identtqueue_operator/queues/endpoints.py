"""Which Redis a TaskQueue means: its address, and the credentials from its Secrets.

Endpoints are shared: TaskQueues with the same address and credentials get the same one.
Secrets are read when first needed and again while the connection is in trouble, which is how a
rotated password is picked up (connections that are already logged in live on). What a Secret holds
goes into `RedisSettings`, whose repr hides it, and into a file where TLS wants one; it is kept as
long as a TaskQueue names the Secret.
"""

import asyncio
import base64
import binascii
import hashlib
import ssl
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from identtqueue.admin import Reach, RedisSettings, ReplyBudget
from identtqueue_operator.api.v1alpha1 import CredentialsSecretRef, Redis
from identtqueue_operator.kube.client import ApiError, Kube
from identtqueue_operator.model import Key
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.queues.gate import Lanes

CONNECT_SECONDS = 3.0
RESPONSE_SECONDS = 3.0
"""Time-outs to Redis: an outage must show in the status within five seconds."""
REREAD_SECONDS = 5.0
"""While there is trouble, a Secret is read again after so long."""


class SecretMissing(Exception):
    """A Secret, or a key in it, is not there or not usable; the message says which."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A look at a Secret."""

    at: float
    found: dict[str, bytes] | SecretMissing


class Endpoints:
    """The Redis endpoints in use.

    Args:
        kube: to read Secrets.
        clock: seconds, monotonic.
        reach: which addresses may be connected to.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float], reach: Reach) -> None:
        self._kube = kube
        self._reach = reach
        self._clock = clock
        self._endpoints: dict[RedisSettings, Endpoint] = {}
        self._secrets: dict[Key, _Read] = {}
        self._locks: dict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._named: dict[str, frozenset[Key]] = {}
        self._uses: Counter[Key] = Counter()
        self._budget = ReplyBudget()
        self._lanes = Lanes()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def in_use(self) -> tuple[Endpoint, ...]:
        """The endpoints that have listeners, or are about to get their first one."""
        return tuple(self._endpoints.values())

    async def find(self, owner: str, namespace: str, redis: Redis, *, in_trouble: bool) -> Endpoint:
        """Find or make the endpoint that a TaskQueue means.

        Args:
            owner: UID of the TaskQueue.
            namespace: of the TaskQueue and its Secrets.
            redis: what its spec says.
            in_trouble: its present endpoint does not work, so Secrets are worth another look.

        Raises:
            SecretMissing: a Secret or a key in it is not there.
            ApiError: the API server refused, or could not be reached.
        """
        self._note_use(owner, frozenset(Key(namespace, name) for name in _secret_names(redis)))
        settings = await self._settings(namespace, redis, in_trouble=in_trouble)
        endpoint = self._endpoints.get(settings)
        if endpoint is None:
            endpoint = self._endpoints[settings] = Endpoint(
                settings, self._lanes.gate(settings.topology)
            )
            endpoint.start()
        return endpoint

    async def drop_if_idle(self, endpoint: Endpoint) -> None:
        """Close an endpoint that has no listener left."""
        if endpoint.idle and self._endpoints.get(endpoint.settings) is endpoint:
            del self._endpoints[endpoint.settings]
            self._drop_files()
            await endpoint.close()

    def forget(self, owner: str) -> None:
        """Drop the Secrets that only this TaskQueue named, because it is gone."""
        self._note_use(owner, frozenset())

    def _note_use(self, owner: str, secrets: frozenset[Key]) -> None:
        before = self._named.pop(owner, frozenset())
        if secrets:
            self._named[owner] = secrets
        self._uses.update(secrets - before)
        for secret in before - secrets:
            self._uses[secret] -= 1
            if not self._uses[secret]:
                del self._uses[secret]
                self._secrets.pop(secret, None)
                self._locks.pop(secret, None)

    async def close(self) -> None:
        """Close all."""
        endpoints, self._endpoints = list(self._endpoints.values()), {}
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints))
        if self._folder is not None:
            self._folder.cleanup()

    # --- settings from Secrets ---

    async def _settings(self, namespace: str, redis: Redis, *, in_trouble: bool) -> RedisSettings:
        login = await self._login(namespace, redis.credentials_secret_ref, fresh=in_trouble)
        watchers = redis.sentinel.credentials_secret_ref if redis.sentinel else None
        sentinel_login = await self._login(namespace, watchers, fresh=in_trouble)
        ca_file = cert_file = key_file = None
        tls = redis.tls if redis.tls and redis.tls.enabled else None
        if tls is not None and tls.ca_secret_ref is not None:
            key = Key(namespace, tls.ca_secret_ref.name)
            ca_file = await self._file(key, tls.ca_secret_ref.key, _certificate, fresh=in_trouble)
        if tls is not None and tls.client_cert_secret_ref is not None:
            pair = tls.client_cert_secret_ref
            key = Key(namespace, pair.name)
            cert_file = await self._file(key, pair.cert_key, _certificate, fresh=in_trouble)
            key_file = await self._file(key, pair.key_key, _private_key, fresh=in_trouble)
        return RedisSettings(
            address=redis.url,
            username=login[0],
            password=login[1],
            sentinel_username=sentinel_login[0],
            sentinel_password=sentinel_login[1],
            tls_ca_file=ca_file,
            tls_cert_file=cert_file,
            tls_key_file=key_file,
            connect_timeout_seconds=CONNECT_SECONDS,
            response_timeout_seconds=RESPONSE_SECONDS,
            reply_budget=self._budget,
            reach=self._reach,
        )

    async def _login(
        self, namespace: str, reference: CredentialsSecretRef | None, *, fresh: bool
    ) -> tuple[str | None, str | None]:
        """Read user name and password."""
        if reference is None:
            return None, None
        key = Key(namespace, reference.name)
        password = await self._text(key, reference.password_key, fresh=fresh)
        if reference.username_key is None:
            return None, password
        return await self._text(key, reference.username_key, fresh=fresh), password

    async def _text(self, secret: Key, name: str, *, fresh: bool) -> str:
        try:
            return (await self._value(secret, name, fresh=fresh)).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretMissing(f"Secret {secret.name}: {name} is not text") from None

    async def _value(self, secret: Key, name: str, *, fresh: bool) -> bytes:
        async with self._locks[secret]:  # many TaskQueues, one request
            read = self._secrets.get(secret)
            if read is None or (
                (fresh or isinstance(read.found, SecretMissing) or name not in read.found)
                and self._clock() - read.at >= REREAD_SECONDS
            ):
                read = self._secrets[secret] = _Read(self._clock(), await self._read(secret))
        found = read.found
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

    async def _file(
        self, secret: Key, name: str, check: Callable[[bytes], None], *, fresh: bool
    ) -> str:
        """Write the value to a file named by its content: a rotated value has another name."""
        pem = await self._value(secret, name, fresh=fresh)
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

    def _drop_files(self) -> None:
        """Remove the files of closed endpoints; one that is about to be used is written again."""
        used = {
            file
            for settings in self._endpoints
            for file in (settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file)
        }
        if self._folder is not None:
            for path in Path(self._folder.name).iterdir():
                if str(path) not in used:
                    path.unlink()


def _secret_names(redis: Redis) -> Iterator[str]:
    """List all Secrets that a spec names."""
    sentinel = redis.sentinel.credentials_secret_ref if redis.sentinel else None
    tls = (redis.tls.ca_secret_ref, redis.tls.client_cert_secret_ref) if redis.tls else ()
    for reference in (redis.credentials_secret_ref, sentinel, *tls):
        if reference is not None:
            yield reference.name


def _certificate(pem: bytes) -> None:
    """Raise ValueError unless it is one, or several."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, ValueError):
        raise ValueError("is no certificate in PEM form") from None


def _private_key(pem: bytes) -> None:
    """Raise ValueError unless it looks like one; the first connection shows whether it fits."""
    if b"PRIVATE KEY-----" not in pem or b"ENCRYPTED" in pem:
        raise ValueError("is no private key in PEM form, not encrypted")
