"""The asyncio connection of a client or worker: runs calls, wherever Redis is.

`AsyncRedis` makes bytes of calls, and values of replies. A `Route` brings the bytes to the server
that has to run the call: `single` to the only one, `cluster` to the node that has the queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar, cast

from identtqueue.errors import RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport import wire
from identtqueue.transport.address import Topology
from identtqueue.transport.lanes import Waiting, new_waiting
from identtqueue.transport.settings import RedisSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_AHEAD: Final = 4
"""How many calls of one caller are on their way at the same time (`AsyncRedis.run_ahead`)."""


class Route(Protocol):
    """The way of calls to the servers that run them, and of replies back."""

    async def connect(self, retry_for_seconds: float) -> None:
        """Connect now, and retry for this time.

        Raises:
            RedisError: Redis cannot be reached or refuses the connection.
        """

    def put(self, item: Waiting) -> None:
        """Take a call, and see that its future gets the raw reply, or an error."""

    async def ask_all(self, item: Waiting) -> list[Any]:
        """Send a call that each server answers for itself, and return their raw replies.

        Raises:
            RedisError: a server could not be reached in time, or refuses the call.
        """

    async def close(self) -> None:
        """Close the connections. Calls without a reply fail with RedisUnavailable."""


class AsyncRedis:
    """A connection that runs calls; it opens on first use, and again after each loss.

    `connect.async_redis` makes the one that fits an address.

    Args:
        settings: where Redis is.
        route: brings calls to their servers.
        retry_for_seconds: how long a call is retried while Redis can't be reached. 0: not at all.
    """

    def __init__(self, settings: RedisSettings, route: Route, *, retry_for_seconds: float) -> None:
        self.settings = settings
        self._in_cluster = settings.topology is Topology.CLUSTER
        self._database = settings.database
        self._route = route
        self._retry_for = retry_for_seconds
        self._closed = False

    async def connect(self) -> None:
        """Open the connection now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        if self._closed:
            raise RedisUnavailable("the client was closed")
        await self._route.connect(self._retry_for)

    async def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call and return its parsed reply.

        In a cluster, a call with `merge` is sent to all nodes, and their answers are joined.

        Args:
            call: the call to send.
            retry_for_seconds: how long to retry; None: as long as the connection's own setting.

        Raises:
            InvalidInput: the call can't be encoded; nothing was sent.
            RedisUnavailable: Redis could not be reached within `retry_for_seconds`.
            RedisError: Redis refused the call, or the call's parser raised it.
        """
        item = self._waiting(call, retry_for_seconds)
        if call.merge is not None:
            replies = await self._route.ask_all(item)
            return call.merge([wire.parse(call, reply) for reply in replies])
        self._route.put(item)
        return wire.parse(call, await item.future)

    async def run_all(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send many calls together and return their parsed replies in order.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: for the first call that failed; see `run`.
        """
        answers = await self.run_each(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return cast("list[T]", answers)

    async def run_ahead(self, calls: Iterable[Call[T]]) -> list[T]:
        """Send calls in order, several ahead of their replies, and return the parsed replies.

        Each call is made only when it is its turn. So the next ones are made while Redis runs the
        first, and their bytes need not all be in memory.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: for the first call that failed; see `run`.
                Those that were sent after it may have been run; the rest is not sent.
        """
        answers: list[T] = []
        ahead: deque[Waiting] = deque()
        try:
            for call in calls:
                item = self._waiting(call, None)
                # Big calls wait in a lane of their own, in which others could overtake them.
                while ahead and (len(ahead) == MOST_AHEAD or ahead[0].is_big != item.is_big):
                    await _first_of(ahead, answers)
                self._route.put(item)
                ahead.append(item)
                await asyncio.sleep(0)  # the connection sends what it can, before the next is made
            while ahead:
                await _first_of(ahead, answers)
        finally:
            for item in ahead:
                item.future.cancel()  # one that has failed as well is not logged then
        return answers

    async def run_each(
        self, calls: Iterable[Call[T]], *, retry_for_seconds: float | None = None
    ) -> list[T | Exception]:
        """Send many calls together and collect their replies and errors.

        Args:
            calls: the calls to send.
            retry_for_seconds: see `run`.

        Returns:
            For each call, in order, the value that `run` would return or the error that it would
            raise.

        Raises:
            InvalidInput: a call can't be encoded; none was sent.
        """
        items = [self._waiting(call, retry_for_seconds) for call in calls]
        for item in items:
            self._route.put(item)
        await asyncio.gather(*(item.future for item in items), return_exceptions=True)
        return [_answer(item.call, item.future) for item in items]

    def send(self, call: Call[T], on_answer: Callable[[T | Exception], None]) -> None:
        """Send one call after those before it, without waiting for the reply.

        Args:
            call: the call to send.
            on_answer: called with the parsed reply, or with the error that `run` would raise. If
                it raises an error itself, that is logged.

        Raises:
            InvalidInput: the call can't be encoded.
            RedisUnavailable: the client was closed.
        """

        def answer(future: asyncio.Future[Any]) -> None:
            try:
                on_answer(_answer(call, future))
            except Exception:
                logger.exception("handling the reply to %s failed", call.name)

        item = self._waiting(call, None)
        item.future.add_done_callback(answer)
        self._route.put(item)

    def send_later(
        self, place: Call[T], make: Callable[[], Call[T]], reply: asyncio.Future[Any]
    ) -> None:
        """Queue a call that is made only when it leaves, so that it can grow until then.

        Args:
            place: a call with the same keys, which say where it has to go.
            make: makes the call. It must be small, and must be one that can be encoded.
            reply: gets the raw reply, or an error. If it is done before, the call is not sent.

        Raises:
            RedisUnavailable: the client was closed.
        """
        if self._closed:
            raise RedisUnavailable("the client was closed")

        def fill(item: Waiting) -> None:
            item.call = make()
            item.data = wire.pack(item.call, in_cluster=self._in_cluster, database=self._database)

        deadline = time.monotonic() + self._retry_for
        self._route.put(Waiting(place, b"", reply, deadline, fill=fill))

    @staticmethod
    def parse(call: Call[T], reply: Any) -> T:
        """Parse a raw reply that `send_later` has given.

        Raises:
            RedisError, ReplyUnreadable: see `run`.
        """
        return wire.parse(call, reply)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def close(self) -> None:
        """Close the connection. Calls without a reply fail with RedisUnavailable."""
        self._closed = True
        await self._route.close()

    def _waiting(self, call: Call[Any], retry_for_seconds: float | None) -> Waiting:
        data = wire.pack(call, in_cluster=self._in_cluster, database=self._database)
        if self._closed:
            raise RedisUnavailable("the client was closed")
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        return new_waiting(call, data, patience)


async def _first_of(ahead: deque[Waiting], answers: list[Any]) -> None:
    """Wait for the reply to the first call, and move it to the answers."""
    item = ahead[0]
    answers.append(wire.parse(item.call, await item.future))
    ahead.popleft()


def _answer(call: Call[Any], future: asyncio.Future[Any]) -> Any:
    """Return the parsed reply, or the error that `run` would raise."""
    try:
        return wire.parse(call, future.result())
    except Exception as error:  # noqa: BLE001 - only this call's caller gets it
        return error
