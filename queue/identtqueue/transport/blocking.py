"""The blocking connection, for threads and for programs without an event loop.

`SyncRedis` makes bytes of calls, and values of replies. A `BlockingRoute` brings the bytes to the
server that has to run the call, like its asyncio counterpart in `connection`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from identtqueue.errors import RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport import wire
from identtqueue.transport.address import Topology
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.combine import Combiner
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.shared_call import CallPart, share

T = TypeVar("T")


class Packed(NamedTuple):
    """A call, and its encoded form."""

    call: Call[Any]
    data: bytes

    @property
    def size_bytes(self) -> int:
        """Bytes that it moves in both directions, as far as they are known beforehand."""
        return len(self.data) + self.call.reply_bytes


class BlockingRoute(Protocol):
    """The way of calls to the servers that run them, one batch at a time, and of replies back."""

    @property
    def failures(self) -> int:
        """How many batches or attempts to connect have failed in a row."""

    def exchange(self, batch: Sequence[Packed]) -> list[Any]:
        """Send a batch and read the replies. The reply to a call that failed is a RedisError.

        Raises:
            RedisError: Redis could not be reached or refuses the connection.
        """

    def drop(self) -> None:
        """Close the connections; the next batch opens them again."""


class SyncRedis:
    """A blocking connection that runs calls, one batch at a time.

    Threads may share it; then they share round trips, too. `connect.blocking_redis` makes the one
    that fits an address.

    Args:
        settings: where Redis is.
        route: brings calls to their servers.
        retry_for_seconds: how long a batch is retried while Redis can't be reached.
        pause: waits between attempts; with the `wait` of an event the pause can be interrupted.
    """

    def __init__(
        self,
        settings: RedisSettings,
        route: BlockingRoute,
        *,
        retry_for_seconds: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self._in_cluster = settings.topology is Topology.CLUSTER
        self._database = settings.database
        self._route = route
        self._retry_for = retry_for_seconds
        self._pause = pause
        self._combiner: Combiner[Packed | CallPart] = Combiner(
            self._exchange, lambda item: item.size_bytes
        )

    @property
    def waiting(self) -> int:
        """How many threads wait for the batch that is on its way, to send theirs after it."""
        return self._combiner.waiting

    def run(self, call: Call[T], *, retry_for_seconds: float | None = None) -> T:
        """Send one call and return its parsed reply.

        Args:
            call: the call to send.
            retry_for_seconds: how long to retry; None: as long as the connection's own setting.

        Raises:
            InvalidInput: the call can't be encoded; nothing was sent.
            RedisUnavailable: Redis could not be reached within `retry_for_seconds`.
            RedisError: Redis refused the call, or the call's parser raised it.
        """
        return self.run_all([call], retry_for_seconds=retry_for_seconds)[0]

    def run_all(
        self, calls: Sequence[Call[T]], *, retry_for_seconds: float | None = None
    ) -> list[T]:
        """Send many calls in one batch and return their parsed replies in order.

        Raises:
            InvalidInput, RedisUnavailable, RedisError: for the first call that failed; see `run`.
        """
        packed = [Packed(call, self._pack(call)) for call in calls]
        repeatable = all(call.repeatable for call in calls)
        replies = self._persist(packed, retry_for_seconds, repeatable=repeatable)
        return [wire.parse(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def run_part(self, part: CallPart) -> Any:
        """Send a part in one call with those of the threads that send at the same time.

        Each thread retries its own part for as long as the connection's setting says.

        Returns:
            The answer to this part.

        Raises:
            RedisUnavailable, RedisError: see `run`.
        """
        return self._persist([part])[0]

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._combiner.alone(self._route.drop)

    def _persist(
        self,
        items: Sequence[Packed | CallPart],
        retry_for_seconds: float | None = None,
        *,
        repeatable: bool = True,
    ) -> list[Any]:
        """Send items with a batch, again if Redis can't be reached, and return their answers."""
        patience = self._retry_for if retry_for_seconds is None else retry_for_seconds
        deadline = time.monotonic() + patience
        while True:
            try:
                answers = self._combiner.run(items)
                _raise_first(answers)
            except RedisUnavailable:
                left = deadline - time.monotonic()
                if left <= 0 or not repeatable:
                    raise
                self._pause(min(left, backoff_seconds(max(1, self._route.failures))))
            else:
                return answers

    def _exchange(self, batch: Sequence[Packed | CallPart]) -> list[Any]:
        """Send a batch, and return the reply to each call and the answer to each part."""
        whole = [(place, item) for place, item in enumerate(batch) if isinstance(item, Packed)]
        shared = share(
            (place, item) for place, item in enumerate(batch) if isinstance(item, CallPart)
        )
        calls = [item for _, item in whole]
        calls += [Packed(call, self._pack(call)) for call in (one.make() for one in shared)]
        replies = self._route.exchange(calls)
        answers: list[Any] = [None] * len(batch)
        for (place, _), reply in zip(whole, replies, strict=False):
            answers[place] = reply
        for one, reply in zip(shared, replies[len(whole) :], strict=True):
            one.answer(reply, answers)
        return answers

    def _pack(self, call: Call[Any]) -> bytes:
        return wire.pack(call, in_cluster=self._in_cluster, database=self._database)


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
