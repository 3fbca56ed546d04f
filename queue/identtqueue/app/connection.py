"""The clients of an app, and which of them its jobs use in a worker.

The client of an app is, in this order: its own, if it is connected or a worker of it runs here;
that of an app that includes it; and, in a process for jobs, one to the Redis of the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from identtqueue.client.settings import ClientKeywords, check_client_settings
from identtqueue.errors import InvalidInput, NotConnected
from identtqueue.transport import inherited
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.offload import offload
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
    from identtqueue.client.client import Client
    from identtqueue.client.sync import SyncClient


class Clients(Protocol):
    """The clients that an app uses instead of its own: see `AppConnection.lend`."""

    @property
    def settings(self) -> RedisSettings:
        """Where the app's workers connect."""

    @property
    def client(self) -> Client:
        """The asyncio client, for the running event loop."""

    @property
    def sync_client(self) -> SyncClient:
        """The blocking client."""

    async def close(self) -> None:
        """Close the asyncio client of the running event loop, if it was used."""


class AppConnection(AsyncConnected):
    """The clients of an app: the one that `connect` opens, the blocking one, one for its jobs.

    Args:
        redis_address: see `Client`.
        client_settings: other settings of the clients; see `Client`.

    Raises:
        InvalidInput: a setting breaks a rule.
    """

    def __init__(
        self, redis_address: str | RedisSettings | None, client_settings: ClientKeywords
    ) -> None:
        self._redis_address = _checked(redis_address)
        self._client_settings = client_settings
        check_client_settings(**client_settings)
        self._client: Client | None = None
        self._sync_clients: dict[RedisSettings | None, SyncClient] = {}  # None: the app's own Redis
        self._lent: Clients | None = None
        # Where each running worker of this app connects; None: to the app's own Redis.
        self._served: list[RedisSettings | None] = []
        self._made_for_jobs = False  # the client was made for a worker's jobs, not by `connect`
        self._included_by: Sequence[AppConnection] = []

    @property
    def client(self) -> Client:
        """The connected client. While a worker of this app runs, its jobs need no `connect`.

        Raises:
            NotConnected: `connect` was not called, and no worker of this app runs here.
            InvalidInput: several apps include this one, and they use different Redis.
        """
        if self._included_by and (carrier := self._carrier()) is not self:
            return carrier.client
        if self._lent is not None:
            return self._lent.client
        if self._client is None:
            if not self._served and self._inherited is None:
                raise NotConnected
            self._client = self._new_client(self._job_redis)
            self._made_for_jobs = True
        return self._client

    @property
    def redis_settings(self) -> RedisSettings:
        """Where the app connects, with the login from the environment."""
        return self._settings()

    @property
    def sync_client(self) -> SyncClient:
        """The blocking client: for Flask, Django, scripts, and threads of an asyncio program.

        It needs no `connect`: its first call opens the connections, in each forked process anew.
        They are closed at the end of the program at the latest. While a worker of this app runs,
        it leads to the worker's Redis.

        Raises:
            InvalidInput: several apps include this one, and they use different Redis.
        """
        if self._included_by and (carrier := self._carrier()) is not self:
            return carrier.sync_client
        if self._lent is not None:
            return self._lent.sync_client
        redis = self._job_redis
        found = self._sync_clients.get(redis)
        if found is None:
            from identtqueue.client.sync import SyncClient  # noqa: PLC0415 - asyncio programs never need it

            made = SyncClient(self._settings(redis), **self._client_settings)
            found = self._sync_clients.setdefault(
                redis, made
            )  # another thread may have been faster
        return found

    async def connect(self) -> None:
        """Connect; do nothing if it is connected already.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        if self._lent is not None:
            await self._lent.client.connect()
        elif self._client is None:
            client = self._new_client()
            await client.__aenter__()
            if self._client is None:
                self._client = client
            else:  # another coroutine has connected meanwhile
                await client.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._lent is not None:
            await self._lent.close()
            return
        client, self._client = self._client, None
        self._made_for_jobs = False
        if client is not None:
            await client.close()

    @contextmanager
    def lend(self, clients: Clients) -> Iterator[None]:
        """Let this app, its jobs and their handles use other clients, within a `with` block.

        `identtqueue.testing` does this. The app's own connections stay as they are, and are used
        again after the block.

        Args:
            clients: the other clients. They need no `connect`.
        """
        before, self._lent = self._lent, clients
        try:
            yield
        finally:
            self._lent = before

    @property
    def client_settings(self) -> ClientKeywords:
        """The settings of the app's clients, except for the address."""
        return self._client_settings

    def _refuse_own_redis(self, other: AppConnection) -> None:
        """Check that this app can use the clients of another one, which includes it.

        Raises:
            InvalidInput: this app has an address or settings of its own.
        """
        if self._redis_address not in (None, other._redis_address):
            raise InvalidInput(
                "include: both apps name a Redis, and not the same one: make the included app "
                "without an address"
            )
        if self._client_settings and self._client_settings != other._client_settings:
            names = ", ".join(self._client_settings)
            raise InvalidInput(
                f"include: the included app has settings of its own ({names}): give them to the "
                "app that includes it"
            )

    def _carrier(self) -> AppConnection:
        """Find the app whose clients this one uses: itself, or one that includes it."""
        if self._is_open or not self._included_by:
            return self
        apps = [app._carrier() for app in self._included_by]
        found = [app for app in apps if app._is_open] or apps
        first = found[0]
        if any(app._redis_address != first._redis_address for app in found):
            raise InvalidInput(
                "several apps include this one, and they use different Redis: enqueue with the app "
                "that you mean, app.jobs['name'].enqueue(…)"
            )
        return first

    @property
    def _is_open(self) -> bool:
        return bool(self._client or self._served or self._lent)

    @property
    def _job_redis(self) -> RedisSettings | None:
        """Where the app's jobs enqueue; None: in the app's own Redis."""
        return self._served[-1] if self._served else self._inherited

    @property
    def _inherited(self) -> RedisSettings | None:
        return inherited.redis_of(self._redis_address)

    def _begin_service(self, redis: RedisSettings | None) -> None:
        """Note that a worker serves this app: its jobs and hooks may enqueue without `connect`.

        Args:
            redis: where the worker connects; None: to the app's own Redis.
        """
        if self._lent is None:  # those clients need no `connect` anyway
            self._served.append(redis)

    async def _end_service(self, redis: RedisSettings | None) -> None:
        """Note that a worker has ended; after the last one, close what its jobs have opened."""
        if redis in self._served:
            self._served.remove(redis)
        if redis is not None and redis not in self._served and redis in self._sync_clients:
            await offload(self._sync_clients.pop(redis).close)
        if self._made_for_jobs and not self._served:
            await self.close()

    def _new_client(self, redis: RedisSettings | None = None) -> Client:
        # Imported late: a worker whose jobs enqueue nothing never needs it.
        from identtqueue.client.client import Client  # noqa: PLC0415

        return Client(self._settings(redis), **self._client_settings)

    def _settings(self, instead: str | RedisSettings | None = None) -> RedisSettings:
        if instead is None and self._lent is not None:
            return self._lent.settings
        return RedisSettings.of(instead or self._redis_address)


def _checked(redis_address: object) -> str | RedisSettings | None:
    """Check an address; the environment completes it later, when something connects.

    Raises:
        InvalidInput: it can't be read as an address.
    """
    if redis_address is None or isinstance(redis_address, RedisSettings):
        return redis_address
    return RedisSettings(address=redis_address).address  # type: ignore[arg-type]  # it checks that
