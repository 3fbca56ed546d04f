"""Order of a worker's queues: which to claim from next, and how many tasks from each. Pure.

A queue is *ready* if it had tasks left when it was last seen, empty if it had none, and *unseen* if
nothing recent is known of it. A plan lists the claims that are sent together in one round trip. A
claim of 0 tasks only looks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from heapq import heapreplace, nsmallest
from itertools import takewhile
from typing import Final

LOOK_AROUND_SECONDS: Final = 0.1
"""While one queue always has tasks, the other queues are looked at this often."""

LOOK_ABOVE_SECONDS: Final = 0.01
"""In strict order, a queue that was seen empty counts as empty for this long. That is about ten
round trips within a cluster: looking costs a busy worker little, and callers notice no delay."""

CLAIMS_AT_ONCE: Final = 4
"""Most queues that share the free slots of one round. With more, each claim would be for a task or
two, and the claims would cost more than the tasks. Queues left out come first in the next round."""

QUICK_SECONDS: Final = 0.01
"""If rounds follow each other faster than this, each gives all free slots to one queue. The next
rounds even it out, and four claims of eight tasks cost a worker 1.5 times as much as one of 32."""


class QueueOrder(ABC):
    """Knowledge about the queues of a worker, and the plan that follows from it.

    Args:
        queues: names of the worker's queues, in the order given.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = tuple(queues)
        self._ready: set[str] = set()
        self._unseen: set[str] = set(queues)

    def look_everywhere(self) -> None:
        """Forget what is known, so that the next plan looks at all queues."""
        self._ready.clear()
        self._unseen.update(self._queues)

    @abstractmethod
    def to_block_on(self) -> Sequence[str]:
        """Order the queues for BLPOP, which checks their wake lists in this order."""

    @abstractmethod
    def rung(self, queue: str, now: float) -> None:
        """Note that a queue's wake token was taken, by a BLPOP in the order of `to_block_on`.

        Args:
            queue: the queue whose token it was.
            now: time in seconds, on any monotonic clock.
        """

    @abstractmethod
    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """Plan the next claims.

        Args:
            free: number of free slots, at least 1.
            now: time in seconds, on the same clock as for `rung`.

        Returns:
            Number of tasks to ask for by queue, at most `free` in sum; empty if no queue is known
            to have tasks and none is unseen.
        """

    def note(self, queue: str, started: int, pending: int) -> None:  # noqa: ARG002 - for subclasses
        """Note how many tasks of a queue a claim has started, and how many it has left."""
        self._unseen.discard(queue)
        if pending > 0:
            self._ready.add(queue)
        else:
            self._ready.discard(queue)


class FairOrder(QueueOrder):
    """Order by shares: while several queues have tasks, each gets a share by its weight.

    This is stride scheduling (Waldspurger and Weihl, MIT/LCS/TM-528, 1995). Each started task adds
    1/weight to the pass value of its queue, and the queue with the smallest pass value is served
    next. A queue that was empty rejoins at the pass value of the others, so it cannot save up its
    share. No queue starves, and the share of an empty queue goes to the others.

    Args:
        queues: names of the worker's queues, in the order given.
        weights: weight by queue; 1 for a queue that is not listed.
    """

    def __init__(self, queues: Sequence[str], weights: Mapping[str, int]) -> None:
        super().__init__(queues)
        self._stride = {queue: 1 / weights.get(queue, 1) for queue in queues}
        self._passed = dict.fromkeys(queues, 0.0)
        self._now = 0.0  # virtual time: smallest pass value of the served queues; never falls
        self._planned_at = 0.0
        self._look_at = 0.0  # when queues that were seen empty count as unseen again
        self._first = 0  # position of the queue that BLPOP checks first

    def to_block_on(self) -> Sequence[str]:
        """Order the queues in rotation: the one whose token was taken is last the next time."""
        return self._queues[self._first :] + self._queues[: self._first]

    def rung(self, queue: str, now: float) -> None:
        """Note that a queue has tasks. The others have tokens of their own, if they have tasks."""
        self._ready = {queue}
        self._unseen.clear()
        self._first = (self._queues.index(queue) + 1) % len(self._queues)
        self._look_at = now + LOOK_AROUND_SECONDS

    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """Plan shares for queues that have tasks, and a look at unseen ones."""
        if now >= self._look_at:
            self._look_at = now + LOOK_AROUND_SECONDS
            if self._ready:  # then the worker does not block, so it hears of no token of the others
                self._unseen.update(queue for queue in self._queues if queue not in self._ready)
        quick = now - self._planned_at < QUICK_SECONDS
        self._planned_at = now
        behind = self._behind(self._ready or self._unseen, 1 if quick else CLAIMS_AT_ONCE)
        shares = self._shares(behind, free)
        for queue in self._unseen:
            shares.setdefault(queue, 0)
        return shares

    def note(self, queue: str, started: int, pending: int) -> None:
        """Charge the queue for the tasks that were started, not for those that were asked for."""
        if queue not in self._ready:
            self._passed[queue] = max(self._passed[queue], self._now)
        self._passed[queue] += started * self._stride[queue]
        super().note(queue, started, pending)

    def _behind(self, queues: Container[str], number: int) -> list[tuple[float, int, str]]:
        """Find the queues with the smallest pass values. Between equals the given order decides."""
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
        for _ in range(free):  # `behind` is sorted, so it is a heap
            passed, position, queue = behind[0]
            shares[queue] = shares.get(queue, 0) + 1
            heapreplace(behind, (passed + self._stride[queue], position, queue))
        return shares


class StrictOrder(QueueOrder):
    """Order by priority: no task of a queue is started while an earlier queue has tasks.

    What a queue has was seen at most LOOK_ABOVE_SECONDS ago. So after a push to a higher queue,
    slots may still go to tasks of a lower one for that time and one round trip.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        super().__init__(queues)
        self._seen_at = dict.fromkeys(queues, float("-inf"))

    def to_block_on(self) -> Sequence[str]:
        """Order the queues by priority, the highest first."""
        return self._queues

    def rung(self, queue: str, now: float) -> None:
        """Note that a queue has tasks, and that the higher ones had no token at that moment."""
        self._ready = {queue}
        self._unseen.clear()
        for seen in (*takewhile(lambda name: name != queue, self._queues), queue):
            self._seen_at[seen] = now

    def plan(self, free: int, now: float) -> Mapping[str, int]:
        """Plan all free slots for the highest queue that has tasks or may have some."""
        if self._ready:
            above = list(takewhile(lambda queue: queue not in self._ready, self._queues))
            if any(now - self._seen_at[queue] >= LOOK_ABOVE_SECONDS for queue in above):
                self._unseen.update(above)
        for queue in self._queues:
            if queue in self._ready or queue in self._unseen:
                plan = {queue: free} | dict.fromkeys(self._unseen - {queue}, 0)
                self._seen_at.update(dict.fromkeys(plan, now))
                return plan
        return {}
