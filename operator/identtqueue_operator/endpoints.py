"""Which Redis a TaskQueue means: its address, and the credentials from its Secrets.

Endpoints are shared: whoever names the same address with the same credentials gets the same one.
Secrets are read when first needed and again while the connection is in trouble, which is how a
rotated password is picked up (connections that are already logged in live on). What a Secret holds
goes into `RedisSettings`, whose repr hides it, and nowhere else.
"""

import asyncio
import base64
import binascii
import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from identtqueue.admin import RedisSettings

from .api.v1alpha1 import CredentialsSecretRef, Redis
from .doorbell import Endpoint
from .kube import ApiError, Kube
from .model import Key

CONNECT_SECONDS = 3.0
RESPONSE_SECONDS = 3.0
"""Time-outs to Redis: an outage must show in the status within five seconds."""
REREAD_SECONDS = 5.0
"""While there is trouble, a Secret is read again after so long."""


class SecretMissing(Exception):
    """A Secret, or a key in it, is not there; the message says which."""


class Endpoints:
    """The Redis endpoints in use.

    Args:
        kube: to read Secrets.
        clock: seconds, monotonic.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._endpoints: dict[RedisSettings, Endpoint] = {}
        self._secrets: dict[Key, tuple[float, dict[str, bytes]]] = {}
        self._locks: dict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def find(self, namespace: str, redis: Redis, *, in_trouble: bool) -> Endpoint:
        """The endpoint that a TaskQueue of this namespace means.

        Args:
            namespace: of the TaskQueue and its Secrets.
            redis: what its spec says.
            in_trouble: its present endpoint does not work, so Secrets are worth another look.

        Raises:
            SecretMissing: a Secret or a key in it is not there.
            ApiError: the API server refused, or could not be reached.
        """
        settings = await self._settings(namespace, redis, in_trouble=in_trouble)
        endpoint = self._endpoints.get(settings)
        if endpoint is None:
            endpoint = self._endpoints[settings] = Endpoint(settings)
            endpoint.start()
        return endpoint

    async def drop_if_idle(self, endpoint: Endpoint) -> None:
        """Close an endpoint that nobody listens to any more."""
        if endpoint.idle and self._endpoints.get(endpoint.settings) is endpoint:
            del self._endpoints[endpoint.settings]
            await endpoint.close()

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
            ca_file = await self._file(key, tls.ca_secret_ref.key, fresh=in_trouble)
        if tls is not None and tls.client_cert_secret_ref is not None:
            pair = tls.client_cert_secret_ref
            key = Key(namespace, pair.name)
            cert_file = await self._file(key, pair.cert_key, fresh=in_trouble)
            key_file = await self._file(key, pair.key_key, fresh=in_trouble)
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
        )

    async def _login(
        self, namespace: str, reference: CredentialsSecretRef | None, *, fresh: bool
    ) -> tuple[str | None, str | None]:
        """User name and password."""
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
            read_at, data = self._secrets.get(secret, (float("-inf"), {}))
            worth_it = fresh or name not in data
            if secret not in self._secrets or (
                worth_it and self._clock() - read_at >= REREAD_SECONDS
            ):
                data = await self._read(secret)
                self._secrets[secret] = (self._clock(), data)
        if name not in data:
            raise SecretMissing(f"Secret {secret.name} has no key {name}")
        return data[name]

    async def _read(self, secret: Key) -> dict[str, bytes]:
        try:
            body = await self._kube.get_secret(secret)
        except ApiError as error:
            if error.status == 404:
                raise SecretMissing(f"Secret {secret.name} does not exist") from None
            if error.status == 403:
                raise SecretMissing(
                    f"the operator may not read Secret {secret.name}: allow its service account "
                    "to get it by name"
                ) from None
            raise
        try:
            return {k: base64.b64decode(v) for k, v in (body.get("data") or {}).items()}
        except binascii.Error:
            raise SecretMissing(f"Secret {secret.name} can't be decoded") from None

    async def _file(self, secret: Key, name: str, *, fresh: bool) -> str:
        """A file with the value, named by its content: what was rotated has another name."""
        pem = await self._value(secret, name, fresh=fresh)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="identtqueue-tls-")  # mode 0700
        path = Path(self._folder.name) / f"{hashlib.sha256(pem).hexdigest()[:16]}.pem"
        if not path.exists():
            path.write_bytes(pem)
        return str(path)
