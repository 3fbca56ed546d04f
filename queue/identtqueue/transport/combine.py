"""Batches for threads that share a connection: one thread sends the calls of all.

This is flat combining (Hendler, Incze, Shavit and Tzafrir, SPAA 2010). While one batch is on its
way, threads join the next one. So threads share round trips, as coroutines do on the asyncio
connection, instead of taking one each.

A batch has one lock, its *turn*. The first of its threads to get the turn sends the batch. Then the
turn goes from thread to thread, and each leaves with its answers. After the last one, the next
batch has its turn.

The threads leave one by one because waking a thread is what costs most here. If the sender woke all
of them, each would wake twice: once to find that another thread runs Python code, and once to run.
Meanwhile the sender would send its next call alone, before the others have joined it. This way each
wakes once, and the batches are full. Who is next is left to the lock. So a thread that is
interrupted while it waits holds up no other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from identtqueue.errors import RedisUnavailable

Item = TypeVar("Item")

BATCH_ITEMS: Final = 512
BATCH_SIZE: Final = 1024 * 1024
"""Upper bound for one batch, unless a single caller has more. It bounds how long others wait."""

SMALL_SIZE: Final = 64 * 1024
"""Callers with more than this size have batches of their own, which take turns with the others."""


class _BatchMember(Generic[Item]):
    """The items of one thread, and their answers."""

    __slots__ = ("answers", "batch", "items", "size")

    def __init__(self, items: Sequence[Item], size: int = 0) -> None:
        self.items = items
        self.size = size
        self.answers: list[Any] | None = None
        self.batch: _SharedBatch[Item] | None = None


class _SharedBatch(Generic[Item]):
    """The items of several threads, which one of them sends.

    Attributes:
        is_big: whether its members have more than `SMALL_SIZE` each.
        is_open: whether threads may join it: it was not sent yet.
        members: those that have not left, in the order in which they came.
        turn: held until the batch before it is over, and then by one member after the other.
        error: why it has no answers.
    """

    __slots__ = ("_number", "_size", "error", "is_big", "is_open", "members", "turn")

    def __init__(self, is_big: bool) -> None:
        self.is_big = is_big
        self.is_open = True
        self.members: dict[_BatchMember[Item], None] = {}
        self.turn = threading.Lock()
        self.error: Exception | None = None
        self._number = self._size = 0

    def has_room(self, member: _BatchMember[Item]) -> bool:
        """Return whether a thread may join."""
        return (
            self.is_open
            and self._number + len(member.items) <= BATCH_ITEMS
            and self._size + member.size <= BATCH_SIZE
        )

    def add(self, member: _BatchMember[Item]) -> None:
        """Let a thread join."""
        self._number += len(member.items)
        self._size += member.size
        member.batch = self
        self.members[member] = None


class Combiner(Generic[Item]):
    """A combiner, which runs `work` for one batch at a time on behalf of any number of threads.

    Args:
        work: items -> as many answers. If it raises, all threads of the batch raise that error.
        size_of: how much of `BATCH_SIZE` an item takes; default: nothing.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], list[Any]],
        size_of: Callable[[Item], int] = lambda _: 0,
    ) -> None:
        self._work = work
        self._size_of = size_of
        self._mutex = threading.Lock()  # held for a few statements only
        self._current: _SharedBatch[Item] | None = None  # the one that has its turn
        self._small: deque[_SharedBatch[Item]] = deque()  # those that wait for theirs
        self._big: deque[_SharedBatch[Item]] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for a batch that has not left yet."""
        with self._mutex:
            return sum(len(batch.members) for batch in (*self._small, *self._big))

    def run(self, items: Sequence[Item]) -> list[Any]:
        """Run `work` on these items, perhaps in another thread, and return the answers in order.

        Raises:
            Exception: the error that `work` raised.
            RedisUnavailable: the thread that sent them was interrupted (by Ctrl-C, say). They may
                have arrived in Redis.
        """
        member = _BatchMember(items, sum(map(self._size_of, items)))
        try:
            batch = self._join(member)
            with batch.turn:
                if batch.is_open:
                    self._send(batch)
            self._leave(member)
        except BaseException:
            self._leave(member)
            raise
        if member.answers is None:
            raise batch.error or RedisUnavailable("the thread that sent this was interrupted")
        return member.answers

    def alone(self, act: Callable[[], None]) -> None:
        """Run a function between two batches."""
        member: _BatchMember[Item] = _BatchMember((), BATCH_SIZE + 1)  # nobody joins it
        try:
            with self._join(member).turn:
                act()
        finally:
            self._leave(member)

    def _join(self, member: _BatchMember[Item]) -> _SharedBatch[Item]:
        """Add a thread to the last batch of its kind, or to a new one."""
        is_big = member.size > SMALL_SIZE
        with self._mutex:
            waiting = self._big if is_big else self._small
            last = waiting[-1] if waiting else self._current
            if last is not None and last.is_big is is_big and last.has_room(member):
                last.add(member)
                return last
            batch: _SharedBatch[Item] = _SharedBatch(is_big)
            batch.add(member)  # before others can see it: an interrupt here leaves nothing behind
            if self._current is None:
                self._current = batch
            else:
                batch.turn.acquire()
                waiting.append(batch)
            return batch

    def _send(self, batch: _SharedBatch[Item]) -> None:
        """Run the work of a batch, and give its threads their answers."""
        with self._mutex:
            batch.is_open = False
            members = list(batch.members)
        try:
            answers = self._work([item for one in members for item in one.items])
        except Exception as error:  # noqa: BLE001 - all threads of the batch raise it
            batch.error = error
            return
        position = 0
        for one in members:
            one.answers = answers[position : position + len(one.items)]
            position += len(one.items)

    def _leave(self, member: _BatchMember[Item]) -> None:
        """Remove a thread from its batch. After the last one, the next batch has its turn.

        A second call does nothing.
        """
        batch = member.batch
        if batch is None:
            return
        with self._mutex:
            batch.members.pop(member, None)
            if batch.members:
                return
            if batch is self._current:
                self._follow(batch)
            elif batch in (waiting := self._big if batch.is_big else self._small):
                waiting.remove(batch)  # all were interrupted while they waited

    def _follow(self, batch: _SharedBatch[Item]) -> None:
        """Give the next batch its turn: a small one after a big one and the other way, if it can.

        So a small call waits for one big batch, however many have gathered, and big calls wait for
        one batch of small ones, however many come.
        """
        first, second = (self._small, self._big) if batch.is_big else (self._big, self._small)
        waiting = first or second
        self._current = waiting.popleft() if waiting else None
        if self._current is not None:
            self._current.turn.release()
