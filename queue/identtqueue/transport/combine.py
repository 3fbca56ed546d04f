"""Batches for threads that share a connection: one thread sends the calls of all.

This is flat combining (Hendler, Incze, Shavit and Tzafrir, SPAA 2010). While one thread waits for
Redis, the others put their calls into a queue. Then one of them sends all of these together. So
threads share round trips, as coroutines do on the asyncio connection, instead of taking one each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from identtqueue.errors import RedisUnavailable

Item = TypeVar("Item")

BATCH_ITEMS: Final = 512
BATCH_SIZE: Final = 1024 * 1024
"""Upper bound for one batch, unless a single caller has more. It bounds how long others wait."""

SMALL_SIZE: Final = 64 * 1024
"""Callers with at most this size go first."""


class _Waiter(Generic[Item]):
    """The items of one thread, and their answers or error."""

    __slots__ = ("answers", "error", "items", "leads", "size", "turn")

    def __init__(self, items: Sequence[Item], size: int = 0) -> None:
        self.items = items
        self.size = size
        self.answers: list[Any] | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.turn = threading.Lock()  # held until it is answered or has to lead


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
        self._mutex = threading.Lock()
        self._queue: list[_Waiter[Item]] = []
        self._led = False

    @property
    def waiting(self) -> int:
        """How many threads wait for a batch that has not left yet."""
        return len(self._queue)

    def run(self, items: Sequence[Item]) -> list[Any]:
        """Run `work` on these items, perhaps in another thread, and return the answers in order.

        Raises:
            Exception: the error that `work` raised.
            RedisUnavailable: the thread that sent them was interrupted (by Ctrl-C, say). They may
                have arrived in Redis.
        """
        waiter = _Waiter(items, sum(map(self._size_of, items)))
        try:
            self._arrive(waiter)
            if waiter.leads:
                self._lead(waiter)
        except BaseException:
            self._leave(waiter)
            raise
        if waiter.error is not None:
            raise waiter.error
        assert waiter.answers is not None
        return waiter.answers

    def alone(self, act: Callable[[], None]) -> None:
        """Run a function between two batches."""
        waiter = _Waiter[Item](())
        try:
            self._arrive(waiter)
            while not waiter.leads:  # it was part of another thread's batch: try again
                waiter = _Waiter[Item](())
                self._arrive(waiter)
            act()
        finally:
            self._leave(waiter)

    def _arrive(self, waiter: _Waiter[Item]) -> None:
        """Queue a waiter; return when it is answered or has to lead."""
        with self._mutex:
            if not self._led:
                self._led = waiter.leads = True
                return
            waiter.turn.acquire()
            self._queue.append(waiter)
        waiter.turn.acquire()

    def _lead(self, waiter: _Waiter[Item]) -> None:
        """Run the work of a batch, wake its threads, and let the next thread lead."""
        batch = [waiter, *self._take(waiter)]
        try:
            answers = self._work([item for one in batch for item in one.items])
        except Exception as error:  # noqa: BLE001 - all threads of the batch raise it
            for one in batch:
                one.error = error
        except BaseException:
            for one in batch:
                one.error = RedisUnavailable("the thread that sent this was interrupted")
            raise
        else:
            position = 0
            for one in batch:
                one.answers = answers[position : position + len(one.items)]
                position += len(one.items)
        finally:
            for one in batch[1:]:
                one.turn.release()
            # After waking them, so that their next items can be part of the next batch.
            self._leave(waiter)

    def _take(self, leader: _Waiter[Item]) -> list[_Waiter[Item]]:
        """Choose the waiters for the leader's batch: small ones first, then big ones if they fit.

        So a small call waits for only one bounded batch, however many big ones have gathered. Big
        ones are not starved, since the leader is always the one that has waited longest.
        """
        with self._mutex:
            number, room = BATCH_ITEMS - len(leader.items), BATCH_SIZE
            taken: list[_Waiter[Item]] = []
            for small in (True, False):
                for one in self._queue:
                    if (one.size <= SMALL_SIZE) is not small:
                        continue
                    if len(one.items) > number or one.size > room:
                        break
                    taken.append(one)
                    number, room = number - len(one.items), room - one.size
                room -= leader.size
            gone = set(map(id, taken))
            self._queue = [one for one in self._queue if id(one) not in gone]
            return taken

    def _leave(self, waiter: _Waiter[Item]) -> None:
        """Remove a waiter. If it led, the next one leads. A second call does nothing."""
        with self._mutex:
            if waiter in self._queue:
                self._queue.remove(waiter)
            if not waiter.leads:
                return
            waiter.leads = False
            if self._queue:
                following = self._queue.pop(0)
                following.leads = True
                following.turn.release()
            else:
                self._led = False
