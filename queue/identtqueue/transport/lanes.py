"""Calls that wait to be sent: bounded batches, in which small calls do not wait for big ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from identtqueue.protocol.commands import Call
from identtqueue.transport import wire


@dataclass(slots=True, eq=False)
class Waiting:
    """A call on its way, and who waits for it.

    Attributes:
        call: what was asked.
        data: the same, packed.
        future: gets the raw reply.
        deadline: monotonic; after it the call is not tried again.
        redirects: by the nodes of a cluster.
        asking: for once, a node is asked that does not have the slot yet.
    """

    call: Call[Any]
    data: bytes
    future: asyncio.Future[Any]
    deadline: float
    redirects: int = 0
    asking: bool = False

    @property
    def size_bytes(self) -> int:
        """How much it moves over the wire, as far as that is known beforehand."""
        return len(self.data) + self.call.reply_bytes


class Lanes:
    """Two queues of calls, one for small and one for big ones; each is first in, first out.

    A batch takes small calls first, then big ones for the room that is left, and one big call at
    least. So a small call waits for one bounded batch, however many big ones have gathered, and
    the big ones move on, however many small ones come.
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
        """Add a call behind those before it."""
        size = len(item.data) + item.call.reply_bytes  # its property costs a call, for each task
        (self._big if size > wire.SMALL_BYTES else self._small).append(item)

    def put_back(self, items: Iterable[Waiting]) -> None:
        """Add calls that were taken before, in their order, before all others."""
        for item in reversed(list(items)):
            (self._big if item.size_bytes > wire.SMALL_BYTES else self._small).appendleft(item)

    def clear(self) -> None:
        """Forget all."""
        self._small.clear()
        self._big.clear()

    def take(self) -> list[Waiting]:
        """Remove the next batch, without calls whose callers have gone."""
        batch: list[Waiting] = []
        room, places = wire.BATCH_BYTES, wire.BATCH_CALLS
        small, big = self._small, self._big
        while small and room > 0 and places:
            item = small.popleft()
            if not item.future.done():
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
