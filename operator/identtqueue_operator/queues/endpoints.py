"""Which Redis a TaskQueue means: its address, and the credentials from its Secrets.

Endpoints are shared: TaskQueues with the same address and credentials get the same one. What a
Secret holds goes into `RedisSettings`, whose repr hides it, and into a file where TLS wants one.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from identtqueue.admin import Reach, RedisSettings, ReplyBudget
from identtqueue_operator.api.v1alpha1 import CredentialsSecretRef, Redis
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Key
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.queues.gate import Lanes
from identtqueue_operator.queues.secrets import SecretFiles, Secrets
from identtqueue_operator.timings import DEFAULTS, Timings


class Endpoints:
    """The Redis endpoints in use.

    Args:
        kube: reads Secrets.
        clock: seconds, monotonic.
        reach: which addresses may be connected to.
        timings: time-outs of Redis, and pauses before Secrets and doorbells are tried again.
        aliases: where the Redis of some addresses really is; all others are what they say.
    """

    def __init__(
        self,
        kube: Kube,
        clock: Callable[[], float],
        reach: Reach,
        timings: Timings = DEFAULTS,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._aliases = {} if aliases is None else aliases
        self.secrets = Secrets(kube, clock, timings)
        self._timings = timings
        self._files = SecretFiles(self.secrets)
        self._reach = reach
        self._endpoints: dict[RedisSettings, Endpoint] = {}
        self._budget = ReplyBudget()
        self._lanes = Lanes(timings)

    @property
    def in_use(self) -> tuple[Endpoint, ...]:
        """The endpoints that have listeners, or are about to get their first one."""
        return tuple(self._endpoints.values())

    async def find(self, owner: str, namespace: str, redis: Redis, *, in_trouble: bool) -> Endpoint:
        """Find or make the endpoint that a trigger of a TaskQueue means.

        Args:
            owner: name of the trigger at its endpoint; begins with the UID of the TaskQueue.
            namespace: namespace of the TaskQueue and its Secrets.
            redis: the Redis in the spec.
            in_trouble: its present endpoint does not work, so Secrets are worth another look.

        Raises:
            SecretMissing: a Secret or a key in it is not there.
            ApiError: the API server refused, or could not be reached.
        """
        names = frozenset(Key(namespace, name) for name in _secret_names(redis))
        self.secrets.name(owner, names)
        settings = await self._settings(namespace, redis, fresh=in_trouble)
        endpoint = self._endpoints.get(settings)
        if endpoint is None:
            endpoint = self._endpoints[settings] = Endpoint(
                settings, self._lanes.gate(settings.topology), self._timings
            )
            endpoint.start()
        return endpoint

    async def drop_if_idle(self, endpoint: Endpoint) -> None:
        """Close an endpoint that has no listener left."""
        if endpoint.idle and self._endpoints.get(endpoint.settings) is endpoint:
            del self._endpoints[endpoint.settings]
            self._files.keep_only(
                file
                for settings in self._endpoints
                for file in (settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file)
            )
            await endpoint.close()

    def forget(self, owner: str) -> None:
        """Drop the Secrets that only this owner named, because it is gone."""
        self.secrets.name(owner, frozenset())

    async def close(self) -> None:
        """Close all."""
        endpoints, self._endpoints = list(self._endpoints.values()), {}
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints))
        self._files.close()

    # --- settings from Secrets ---

    async def _settings(self, namespace: str, redis: Redis, *, fresh: bool) -> RedisSettings:
        username, password = await self._login(namespace, redis.credentials_secret_ref, fresh=fresh)
        watchers = redis.sentinel.credentials_secret_ref if redis.sentinel else None
        sentinel_username, sentinel_password = await self._login(namespace, watchers, fresh=fresh)
        ca_file, cert_file, key_file = await self._tls_files(namespace, redis, fresh=fresh)
        alias = self._aliases.get(redis.url)
        return RedisSettings(
            address=redis.url if alias is None else alias,
            username=username,
            password=password,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
            tls_ca_file=ca_file,
            tls_cert_file=cert_file,
            tls_key_file=key_file,
            connect_timeout_seconds=self._timings.connect_seconds,
            response_timeout_seconds=self._timings.response_seconds,
            reply_budget=self._budget,
            reach=self._reach if alias is None else None,  # an alias is this process' own choice
        )

    async def _login(
        self, namespace: str, reference: CredentialsSecretRef | None, *, fresh: bool
    ) -> tuple[str | None, str | None]:
        """Read user name and password."""
        if reference is None:
            return None, None
        secret = Key(namespace, reference.name)
        password = await self.secrets.text(secret, reference.password_key, fresh=fresh)
        if reference.username_key is None:
            return None, password
        return await self.secrets.text(secret, reference.username_key, fresh=fresh), password

    async def _tls_files(
        self, namespace: str, redis: Redis, *, fresh: bool
    ) -> tuple[str | None, str | None, str | None]:
        """Write the files of CA, client certificate and its private key."""
        ca_file = cert_file = key_file = None
        tls = redis.tls if redis.tls and redis.tls.enabled else None
        if tls is not None and tls.ca_secret_ref is not None:
            secret = Key(namespace, tls.ca_secret_ref.name)
            ca_file = await self._files.certificate(secret, tls.ca_secret_ref.key, fresh=fresh)
        if tls is not None and tls.client_cert_secret_ref is not None:
            pair = tls.client_cert_secret_ref
            secret = Key(namespace, pair.name)
            cert_file = await self._files.certificate(secret, pair.cert_key, fresh=fresh)
            key_file = await self._files.private_key(secret, pair.key_key, fresh=fresh)
        return ca_file, cert_file, key_file


def _secret_names(redis: Redis) -> Iterator[str]:
    """List all Secrets that a spec names."""
    sentinel = redis.sentinel.credentials_secret_ref if redis.sentinel else None
    tls = (redis.tls.ca_secret_ref, redis.tls.client_cert_secret_ref) if redis.tls else ()
    for reference in (redis.credentials_secret_ref, sentinel, *tls):
        if reference is not None:
            yield reference.name
