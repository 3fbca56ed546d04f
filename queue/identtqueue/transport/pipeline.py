"""One connection to one server, shared by any number of coroutines.

While one batch is on its way, new calls gather and are sent together as the next one. So a single
call costs one round trip, and a thousand at once cost about two. A batch is bounded in calls and in
bytes, and small calls go before big ones (`lanes`).

A pipeline only carries calls. Its owner decides what becomes of those without a reply: `single`
retries them, and `cluster` looks for the node that has their queue now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.transport import wire
from identtqueue.transport.home import detached
from identtqueue.transport.lanes import Lanes, Waiting, fail
from identtqueue.transport.link import Link


class Owner(Protocol):
    """The owner of a pipeline: knows the server, and decides about calls that failed."""

    async def open(self) -> AbstractConnection:
        """Connect and log in.

        Raises:
            RedisError: Redis cannot be reached or refuses the connection.
        """

    async def send(self, link: Link, batch: list[Waiting]) -> list[Any]:
        """Send a batch and return one raw reply for each call.

        Raises:
            RedisUnavailable, RedisProtocolError: see `Link.exchange`.
        """

    async def deliver(self, batch: list[Waiting], replies: list[Any]) -> None:
        """Pass the replies to the callers, or send a call again that Redis can't run at the moment.

        An error reply is a value among the replies.
        """

    async def after_loss(self, batch: list[Waiting], error: RedisError) -> None:
        """Decide about the calls of a batch that got no replies.

        No batch leaves before this returns.

        Args:
            batch: the calls, which Redis may have run.
            error: why there are no replies.
        """


class Pipeline:
    """A connection that opens on the first call, and again on the first call after each loss.

    Args:
        owner: opens the connection, and decides about calls that failed.
        name: name of its asyncio task.
        silence_seconds: how long no byte may move while a reply is awaited.
        on_change: called when the connection was lost or opened again.

    Attributes:
        waiting: the calls that wait to be sent.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        name: str,
        silence_seconds: float,
        on_change: Callable[[], None],
    ) -> None:
        self.waiting = Lanes()
        self._owner = owner
        self._name = name
        self._silence = silence_seconds
        self._on_change = on_change
        self._sent: list[Waiting] = []  # the batch that is on its way
        self._wanted = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._opened = False
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as this side knows."""
        return self._link is not None and not self._link.lost

    def put(self, item: Waiting) -> None:
        """Queue a call for the next batch."""
        if self._pump_task is None or self._pump_task.done():
            self._pump_task = detached(self._pump(), f"redis {self._name}")
        self.waiting.put(item)
        self._wanted.set()

    def withdraw(self) -> tuple[list[Waiting], list[Waiting]]:
        """Give up all calls, and return those that were sent and those that wait to be sent."""
        sent, self._sent = self._sent, []
        return sent, self.waiting.clear()

    async def drop(self) -> None:
        """Close the connection. The next batch opens a new one."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def close(self) -> None:
        """Close the connection. Calls without a reply fail with RedisUnavailable."""
        self._closed = True
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        fail([*self._sent, *self.waiting.clear()], RedisUnavailable("the client was closed"))
        await self.drop()

    async def _pump(self) -> None:
        """Send the calls that have gathered, batch after batch, for ever."""
        try:
            while True:
                await self._wanted.wait()
                batch = self._sent = self.waiting.take()
                if not batch:
                    self._wanted.clear()
                    continue
                try:
                    await self._exchange(batch)
                except RedisError as error:
                    await self.drop()
                    await self._owner.after_loss(batch, error)
        except GeneratorExit:  # the event loop was closed before: nothing can be awaited any more
            raise
        except BaseException as error:  # this was closed, the loop ends, or there is a bug here
            closed = isinstance(error, asyncio.CancelledError)
            fail(self._sent, RedisUnavailable("the client was closed") if closed else error)
            await self.drop()
            raise

    async def _exchange(self, batch: list[Waiting]) -> None:
        """Send a batch and deliver its replies; load scripts that Redis does not have."""
        if self._link is not None and self._link.lost:  # it was lost while it was idle
            await self.drop()
        if self._link is None:
            self._link = Link(await self._owner.open(), self._silence, self._changed)
            if self._opened:
                self._changed()
            self._opened = True
        replies = await self._owner.send(self._link, batch)
        missing = wire.missing_scripts(replies)
        if missing:
            wire.check_loaded(await self._link.exchange(wire.pack_load()))
            again = await self._owner.send(self._link, [batch[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        await self._owner.deliver(batch, replies)

    def _changed(self) -> None:
        if not self._closed:
            self._on_change()
