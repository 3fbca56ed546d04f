"""The way to one Redis server, or to the master that Sentinels name.

Calls without a reply are sent again, on a new connection if need be, with pauses that grow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.calls import server_facts
from identtqueue.transport import refusals, wire
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.lanes import Waiting, fail, new_waiting
from identtqueue.transport.link import Link
from identtqueue.transport.login import open_connection
from identtqueue.transport.outage import Outage
from identtqueue.transport.pipeline import Pipeline
from identtqueue.transport.settings import RedisSettings


class SingleServer:
    """A route over one connection.

    Args:
        settings: where Redis is.
        client_name: shown by `CLIENT LIST`.
        outage: logs failures.
        on_change: called when the connection was lost or opened again.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        client_name: str,
        outage: Outage,
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_name = client_name
        self._outage = outage
        self._failures = 0  # in a row
        self._pipeline = Pipeline(
            self,
            name=client_name,
            silence_seconds=settings.response_timeout_seconds,
            on_change=on_change,
        )
        self.put = self._pipeline.put  # once per task: a method of its own would cost a call

    async def connect(self, retry_for_seconds: float) -> None:
        """Connect now: see `Route.connect`."""
        call = server_facts.server_info()
        await self.ask_all(new_waiting(call, wire.pack(call), retry_for_seconds))

    async def ask_all(self, item: Waiting) -> list[Any]:
        """Send a call to the only server there is, and return its raw reply in a list."""
        self.put(item)
        return [await item.future]

    async def close(self) -> None:
        """Close the connection. Calls without a reply fail with RedisUnavailable."""
        await self._pipeline.close()

    # --- as the owner of the pipeline ---

    async def open(self) -> AbstractConnection:
        """Connect and log in: see `Owner.open`."""
        connection = await open_connection(self._settings, self._client_name)
        self._outage.opened(self._client_name)
        return connection

    async def send(self, link: Link, batch: list[Waiting]) -> list[Any]:
        """Send a batch: see `Owner.send`."""
        return await link.exchange([item.data for item in batch])

    async def deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        """Pass the replies to the callers, and retry calls that Redis can't run at the moment."""
        passing: list[Waiting] = []
        reason: RedisError | None = None
        stays = True
        for item, reply in zip(batch, replies, strict=True):
            if item.future.done():
                continue
            if not isinstance(reply, Exception):
                item.future.set_result(reply)
                continue
            error = refusals.translate(reply, item.call)
            stays = stays and refusals.keeps_connection(reply)
            if isinstance(error, RedisUnavailable):  # LOADING, READONLY: nothing was done
                passing.append(item)
                reason = error
            else:
                item.future.set_exception(error)
        if not stays:
            await self._pipeline.drop()  # after a failover the same name may lead to a new master
        if reason is None:
            self._failures = 0  # not at the login: Redis may still refuse the calls
            self._outage.worked(self._client_name)
        else:
            await self._retry(passing, batch, reason)

    async def after_loss(self, batch: list[Waiting], error: RedisError) -> None:
        """Retry the calls that may run twice, and fail the others."""
        await self._retry([item for item in batch if item.call.repeatable], batch, error)

    async def _retry(
        self, repeatable: list[Waiting], batch: list[Waiting], error: RedisError
    ) -> None:
        """Keep the calls that may be sent again, fail the rest, and pause before the next batch.

        Args:
            repeatable: the calls of the batch that Redis has not run, or may run again.
            batch: the batch, in which other calls may be answered already.
            error: why they failed.
        """
        now = time.monotonic()
        passes = isinstance(error, RedisUnavailable)
        again = [item for item in repeatable if passes and now < item.deadline]
        kept = set(map(id, again))
        fail([item for item in batch if id(item) not in kept], error)
        if passes:  # else each would wait for its own time-out
            fail([item for item in self._pipeline.waiting if item.deadline <= now], error)
        self._pipeline.waiting.put_back(again)
        if again:
            self._failures += 1
            pause = min(backoff_seconds(self._failures), max(0.0, again[0].deadline - now))
            self._outage.failed(self._client_name, error)
            await asyncio.sleep(pause)
        else:
            self._outage.gave_up(self._client_name)
