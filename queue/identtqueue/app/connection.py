"""The clients of an app, and which of them its jobs use in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from identtqueue.client.client import Client, check_client_settings
from identtqueue.errors import NotConnected
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.settings import RedisSettings

if TYPE_CHECKING:
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
        self, redis_address: str | RedisSettings | None, client_settings: Mapping[str, Any]
    ) -> None:
        self._redis_address = _checked(redis_address)
        self._client_settings = client_settings
        check_client_settings(**client_settings)
        self._client: Client | None = None
        self._sync_client: SyncClient | None = None
        self._lent: Clients | None = None
        self._served: list[RedisSettings] = []  # where each running worker of this app connects
        self._made_for_jobs = False  # the client was made for a worker's jobs, not by `connect`

    @property
    def client(self) -> Client:
        """The connected client. While a worker of this app runs, its jobs need no `connect`.

        Raises:
            NotConnected: `connect` was not called, and no worker of this app runs here.
        """
        if self._lent is not None:
            return self._lent.client
        if self._client is None:
            if not self._served:
                raise NotConnected
            self._client = Client(self._served[-1], **self._client_settings)
            self._made_for_jobs = True
        return self._client

    @property
    def sync_client(self) -> SyncClient:
        """The blocking client: for Flask, Django, scripts, and threads of an asyncio program.

        It needs no `connect`: its first call opens the connections, in each forked process anew.
        They are closed at the end of the program at the latest.
        """
        if self._lent is not None:
            return self._lent.sync_client
        if self._sync_client is None:
            from identtqueue.client.sync import SyncClient  # noqa: PLC0415 - asyncio programs never need it

            self._sync_client = SyncClient(self._settings(), **self._client_settings)
        return self._sync_client

    async def connect(self) -> None:
        """Connect; do nothing if it is connected already.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        if self._lent is not None:
            await self._lent.client.connect()
        elif self._client is None:
            client = Client(self._settings(), **self._client_settings)
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
    def client_settings(self) -> Mapping[str, Any]:
        """The settings of the app's clients, except for the address."""
        return self._client_settings

    def _begin_service(self, redis: RedisSettings) -> None:
        """Note that a worker serves this app: its jobs and hooks may enqueue without `connect`."""
        if self._lent is None:  # those clients need no `connect` anyway
            self._served.append(redis)

    async def _end_service(self, redis: RedisSettings) -> None:
        """Note that a worker has ended; after the last one, close the client that jobs opened."""
        if redis in self._served:
            self._served.remove(redis)
        if self._made_for_jobs and not self._served:
            await self.close()

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
