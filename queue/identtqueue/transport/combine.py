"""Threads that share a connection: what they want to send gathers, one of them sends it for all.

Flat combining (Hendler, Incze, Shavit and Tzafrir, SPAA 2010). While one thread waits for Redis,
others put down what they have; then one of those takes all of it along. So threads share round
trips as coroutines do on the asyncio connection, instead of queueing up for one each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from identtqueue.errors import RedisUnavailable

Item = TypeVar("Item")

BATCH_ITEMS: Final = 512
BATCH_SIZE: Final = 1024 * 1024
"""In one batch at most, unless a single caller has more: bounds what the others wait for."""

SMALL_SIZE: Final = 64 * 1024
"""Callers with less go first."""


class _Waiter(Generic[Item]):
    """One thread's part of a batch, and what became of it."""

    __slots__ = ("answers", "error", "items", "leads", "size", "turn")

    def __init__(self, items: Sequence[Item], size: int = 0) -> None:
        self.items = items
        self.size = size
        self.answers: list[Any] | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.turn = threading.Lock()  # held until it is answered, or it is its turn to lead


class Combiner(Generic[Item]):
    """Runs `work` for one batch at a time, on behalf of any number of threads.

    Args:
        work: items -> as many answers; what it raises is raised to all that are in the batch.
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

    def run(self, items: Sequence[Item]) -> list[Any]:
        """The answers to these items, in order.

        Raises:
            Exception: what `work` raised.
            RedisUnavailable: the thread that sent them was interrupted (by Ctrl-C, say); they may
                have arrived.
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
        """Do something between two batches."""
        waiter = _Waiter[Item](())
        try:
            self._arrive(waiter)
            while not waiter.leads:  # it went along with somebody's batch
                waiter = _Waiter[Item](())
                self._arrive(waiter)
            act()
        finally:
            self._leave(waiter)

    def _arrive(self, waiter: _Waiter[Item]) -> None:
        """Return when it is answered, or when it leads."""
        with self._mutex:
            if not self._led:
                self._led = waiter.leads = True
                return
            waiter.turn.acquire()
            self._queue.append(waiter)
        waiter.turn.acquire()

    def _lead(self, waiter: _Waiter[Item]) -> None:
        """Do the work of all that wait, wake them, and let the next one lead."""
        batch = [waiter, *self._take(waiter)]
        try:
            answers = self._work([item for one in batch for item in one.items])
        except Exception as error:  # noqa: BLE001 - it belongs to all of them
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
            # Behind them: what they want next can go along with the next batch.
            self._leave(waiter)

    def _take(self, leader: _Waiter[Item]) -> list[_Waiter[Item]]:
        """Choose who goes along with the leader: small ones first, then big ones if they fit.

        So a small call waits for one bounded batch, however many big ones have gathered. Big ones
        move on all the same: the leader is always the one that has waited longest.
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
        """Take part no more; if it led, the next one does. Does no harm twice."""
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
