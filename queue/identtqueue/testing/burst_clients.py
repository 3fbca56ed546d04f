"""The clients that an app uses while a `BurstWorker` serves it: real ones, on a test's database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from identtqueue.client.client import Client
from identtqueue.client.sync import SyncClient
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.submission import Submission
from identtqueue.testing.enqueued import EnqueueLog
from identtqueue.testing.loops import LoopEnd
from identtqueue.transport.settings import RedisSettings


class ServerClients:
    """Clients of one database: a blocking one, and one for each event loop, closed at its end.

    Several event loops are normal in a test: its own, and that of a web framework's test client.

    Args:
        settings: where the database is.
        client_settings: other settings of the clients; see `Client`.
        log: notes what they enqueue.
    """

    def __init__(
        self, settings: RedisSettings, client_settings: Mapping[str, Any], log: EnqueueLog
    ) -> None:
        self.settings = settings
        self._client_settings = client_settings
        self._log = log
        self._by_loop: dict[asyncio.AbstractEventLoop, tuple[Client, LoopEnd]] = {}
        self._sync_client: SyncClient | None = None

    @property
    def client(self) -> Client:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            client = _NotingClient(self._log, self.settings, **self._client_settings)
            self._by_loop[loop] = client, LoopEnd(client.close)
        return self._by_loop[loop][0]

    @property
    def sync_client(self) -> SyncClient:
        """The blocking client."""
        if self._sync_client is None:
            self._sync_client = _NotingSyncClient(self._log, self.settings, **self._client_settings)
        return self._sync_client

    async def close(self) -> None:
        """Close the client of the running event loop. The next use makes another one."""
        _, end = self._by_loop.pop(asyncio.get_running_loop(), (None, None))
        if end is not None:
            await end.close()

    def close_all(self) -> None:
        """Close all, except those in event loops that run now: they end with their loop."""
        for _, end in self._by_loop.values():
            end.close_from_outside()
        if self._sync_client is not None:
            self._sync_client.close()


class _NotingClient(Client):
    """A client that also notes what is enqueued."""

    def __init__(self, log: EnqueueLog, settings: RedisSettings, **more: Any) -> None:
        super().__init__(settings, **more)
        self._log = log

    async def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        receipt = await super().submit(submission)
        self._log.note(submission, receipt)
        return receipt

    async def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`."""
        items = list(submissions)
        receipts = await super().submit_many(items)
        for submission, receipt in zip(items, receipts, strict=True):
            self._log.note(submission, receipt)
        return receipts


class _NotingSyncClient(SyncClient):
    """A blocking client that also notes what is enqueued."""

    def __init__(self, log: EnqueueLog, settings: RedisSettings, **more: Any) -> None:
        super().__init__(settings, **more)
        self._log = log

    def submit(self, submission: Submission) -> Receipt:
        """See `Client.submit`."""
        receipt = super().submit(submission)
        self._log.note(submission, receipt)
        return receipt

    def submit_many(self, submissions: Iterable[Submission]) -> list[Receipt]:
        """See `Client.submit_many`."""
        items = list(submissions)
        receipts = super().submit_many(items)
        for submission, receipt in zip(items, receipts, strict=True):
            self._log.note(submission, receipt)
        return receipts
