"""Calls on their way, and the order in which they leave: in bounded batches, small ones first."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from identtqueue.protocol.call import Call
from identtqueue.transport import wire


class Waiting(msgspec.Struct, eq=False):
    """A call that waits to be sent or for its reply.

    Attributes:
        call: the call.
        data: the encoded call.
        future: gets the raw reply.
        deadline: monotonic time after which the call is not sent again.
        redirects: how often nodes of a cluster have redirected it.
        fill: makes `call` and `data` when the call leaves; None: they are there.
        asking: whether ASKING must be sent before it, to a node that does not own the slot yet.
    """

    call: Call[Any]
    data: bytes
    future: asyncio.Future[Any]
    deadline: float
    redirects: int = 0
    asking: bool = False
    fill: Callable[[Waiting], None] | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes that it moves in both directions, as far as they are known beforehand."""
        return len(self.data) + self.call.reply_bytes

    @property
    def is_big(self) -> bool:
        """Whether it takes the lane of the big calls."""
        return self.size_bytes > wire.SMALL_BYTES


def new_waiting(call: Call[Any], data: bytes, retry_for_seconds: float) -> Waiting:
    """Make a waiting call for the running loop.

    Args:
        call: the call.
        data: the encoded call.
        retry_for_seconds: how long it may be sent again.
    """
    future = asyncio.get_running_loop().create_future()
    return Waiting(call, data, future, time.monotonic() + retry_for_seconds)


def fail(items: Iterable[Waiting], error: BaseException) -> None:
    """Fail the calls that are not answered yet."""
    for item in items:
        if not item.future.done():
            item.future.set_exception(error)


class Lanes:
    """Two lanes of calls, one for small and one for big ones; each is first in, first out.

    A batch takes small calls first, then big ones that fit into the rest, but at least one big
    call. So a small call waits for only one bounded batch, however many big ones have gathered,
    and big ones are not starved, however many small ones come.
    """

    def __init__(self) -> None:
        self._small: deque[Waiting] = deque()
        self._big: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._small) + len(self._big)

    def __iter__(self) -> Iterator[Waiting]:
        yield from self._small
        yield from self._big

    def put(self, item: Waiting) -> None:
        """Add a call at the end of its lane."""
        size = len(item.data) + item.call.reply_bytes  # the property would cost a call per task
        (self._big if size > wire.SMALL_BYTES else self._small).append(item)

    def put_back(self, items: Iterable[Waiting]) -> None:
        """Return calls to the front of their lanes, in their order, after they were taken."""
        for item in reversed(list(items)):
            (self._big if item.is_big else self._small).appendleft(item)

    def clear(self) -> list[Waiting]:
        """Remove all calls and return them."""
        items = list(self)
        self._small.clear()
        self._big.clear()
        return items

    def take(self) -> list[Waiting]:
        """Remove and return the next batch, without calls whose callers were cancelled."""
        batch: list[Waiting] = []
        room, places = wire.BATCH_BYTES, wire.BATCH_CALLS
        small, big = self._small, self._big
        while small and room > 0 and places:
            item = small.popleft()
            if not item.future.done():
                if item.fill is not None:
                    item.fill(item)
                    item.fill = None
                batch.append(item)
                room -= len(item.data) + item.call.reply_bytes
                places -= 1
        first = True
        while big and (first or (room >= big[0].size_bytes and places)):
            item = big.popleft()
            if not item.future.done():
                batch.append(item)
                room -= item.size_bytes
                places -= 1
                first = False
        return batch
