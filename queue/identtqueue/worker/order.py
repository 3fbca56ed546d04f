"""Which queues a worker claims from next, and how much from each: pure, without any I/O.

Of each queue it is known that it had tasks left (ready), or that it was empty when it was last
seen, or nothing (unseen). A plan names the claims that leave together, in one round trip; a claim
of 0 tasks only looks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from heapq import heapreplace, nsmallest
from itertools import takewhile
from typing import Final

LOOK_AROUND_SECONDS: Final = 0.1
"""While there is always work on one queue, the others are looked at this often."""

LOOK_ABOVE_SECONDS: Final = 0.01
"""How long, in strict order, an empty queue is believed to be empty still. Ten round trips within
a cluster: looking costs a busy worker little, and no caller of a task sees the difference."""

CLAIMS_AT_ONCE: Final = 4
"""Queues that share one round's free slots at most. With more, each claim would be for a task or
two, and the claims would cost more than the tasks; those left out are first the next time."""

QUICK_SECONDS: Final = 0.01
"""Slots that come back sooner than this go to one queue at a time: the next round evens it out, and
four claims of eight tasks cost a worker half as much again as one of 32."""


class QueueOrder(ABC):
    """What is known of the queues, and the plan that follows from it.

    Args:
        queues: of the worker.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = tuple(queues)
        self._ready: set[str] = set()
        self._unseen: set[str] = set(queues)
        self._look_at = 0.0  # when what was seen empty counts as unseen

    def look_everywhere(self) -> None:
        """Nothing is known any more."""
        self._ready.clear()
        self._unseen.update(self._queues)

    @abstractmethod
    def to_block_on(self) -> Sequence[str]:
        """The queues, in the order in which Redis looks for one that rings."""

    @abstractmethod
    def rung(self, queue: str, now: float) -> None:
        """A queue rang, in the order of `to_block_on`; `now` is in seconds of any clock."""

    @abstractmethod
    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """Tasks to ask for, by queue; empty: nothing is left anywhere.

        Args:
            free: slots, at least 1; the sum is not more.
            now: in seconds, of the clock that `rung` is told.
        """

    def note(self, queue: str, started: int, pending: int) -> None:  # noqa: ARG002 - for subclasses
        """What a claim gave, and how many tasks it left."""
        self._unseen.discard(queue)
        if pending > 0:
            self._ready.add(queue)
        else:
            self._ready.discard(queue)


class FairOrder(QueueOrder):
    """Shares: of the tasks started while several queues have work, each gets its weight's part.

    Stride scheduling (Waldspurger and Weihl, MIT/LCS/TM-528, 1995): each task started moves its
    queue on by 1/weight, and whoever has come least far is next. A queue that had nothing joins
    where the others are: it can't save its share up. So none starves, and the share of an empty
    one goes to the others.

    Args:
        queues: of the worker.
        weights: by queue; 1 where there is none.
    """

    def __init__(self, queues: Sequence[str], weights: Mapping[str, int]) -> None:
        super().__init__(queues)
        self._stride = {queue: 1 / weights.get(queue, 1) for queue in queues}
        self._passed = dict.fromkeys(queues, 0.0)
        self._now = 0.0  # how far whoever has come least far had come; never falls
        self._planned_at = 0.0
        self._first = 0  # position of the queue that is blocked on first

    def to_block_on(self) -> Sequence[str]:
        """In turn: each that rings is the last the next time."""
        return self._queues[self._first :] + self._queues[: self._first]

    def rung(self, queue: str, now: float) -> None:
        """The others will ring, each in its turn, if they have something."""
        self._ready = {queue}
        self._unseen.clear()
        self._first = (self._queues.index(queue) + 1) % len(self._queues)
        self._look_at = now + LOOK_AROUND_SECONDS

    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """Shares for queues that have tasks; a look at those that are unseen."""
        if now >= self._look_at:
            self._look_at = now + LOOK_AROUND_SECONDS
            if self._ready:  # it keeps us from blocking, and so from hearing the others
                self._unseen.update(queue for queue in self._queues if queue not in self._ready)
        quick = now - self._planned_at < QUICK_SECONDS
        self._planned_at = now
        behind = self._behind(self._ready or self._unseen, 1 if quick else CLAIMS_AT_ONCE)
        shares = self._shares(behind, free)
        for queue in self._unseen:
            shares.setdefault(queue, 0)
        return shares

    def note(self, queue: str, started: int, pending: int) -> None:
        """Charge what was started, not what was asked for."""
        if queue not in self._ready:
            self._passed[queue] = max(self._passed[queue], self._now)
        self._passed[queue] += started * self._stride[queue]
        super().note(queue, started, pending)

    def _behind(self, queues: Container[str], number: int) -> list[tuple[float, int, str]]:
        """Those that have come least far; between equals, the order given decides."""
        found = [
            (self._passed[queue], position, queue)
            for position, queue in enumerate(self._queues)
            if queue in queues
        ]
        return nsmallest(number, found)

    def _shares(self, behind: list[tuple[float, int, str]], free: int) -> dict[str, int]:
        if not behind:
            return {}
        self._now = max(self._now, behind[0][0])
        if len(behind) == 1:
            return {behind[0][2]: free}
        shares: dict[str, int] = {}
        for _ in range(free):  # sorted, it is a heap
            passed, position, queue = behind[0]
            shares[queue] = shares.get(queue, 0) + 1
            heapreplace(behind, (passed + self._stride[queue], position, queue))
        return shares


class StrictOrder(QueueOrder):
    """Priorities: nothing of a queue while one that stands before it has tasks.

    "Has" is what was seen at most LOOK_ABOVE_SECONDS ago. So for that time, and the round trip
    behind it, slots that become free may go to tasks of a lower queue after a push to a higher one.
    """

    def to_block_on(self) -> Sequence[str]:
        """The highest first."""
        return self._queues

    def rung(self, queue: str, now: float) -> None:
        """Redis looked in order: those before it had nothing at that moment."""
        self._ready = {queue}
        self._unseen.clear()
        self._look_at = now + LOOK_ABOVE_SECONDS

    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """All for the highest queue that has tasks, or may have."""
        if now >= self._look_at:
            self._look_at = now + LOOK_ABOVE_SECONDS
            if self._ready:
                above = takewhile(lambda queue: queue not in self._ready, self._queues)
                self._unseen.update(above)
        for queue in self._queues:
            if queue in self._ready or queue in self._unseen:
                return {queue: free} | dict.fromkeys(self._unseen - {queue}, 0)
        return {}
