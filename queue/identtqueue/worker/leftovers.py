"""Attempts that were left behind: they did not end although they were cancelled."""

from __future__ import annotations

from typing import Final

from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.running import Running

LEAST_MOST_LEFT: Final = 10
"""Smallest bound for the attempts that are left behind and still run. A worker with more slots has
a larger bound: the number of its slots. At the bound it takes no more tasks."""

OBSTACLE: Final = "attempts"
"""Name of the obstacle that too many attempts were left behind."""


class Leftovers:
    """The attempts that one worker has left behind and that are still running.

    They outlive the incarnation that started them. So the worker owns them, not the incarnation.

    Args:
        slots: number of slots of the worker.
        obstacles: gets an obstacle while there are too many.
    """

    def __init__(self, slots: int, obstacles: Obstacles) -> None:
        self._most = max(LEAST_MOST_LEFT, slots)
        self._obstacles = obstacles
        self._all: set[Running] = set()  # keeps them alive: the loop only has weak references

    def __len__(self) -> int:
        return len(self._all)

    def add(self, entry: Running) -> None:
        """Note that an attempt was left behind."""
        entry.left = True
        self._all.add(entry)
        self._count()

    def discard(self, entry: Running) -> None:
        """Note that an attempt which was left behind has ended."""
        self._all.discard(entry)
        self._count()

    def _count(self) -> None:
        if len(self._all) < self._most:
            self._obstacles.remove(OBSTACLE)
        else:
            self._obstacles.put(OBSTACLE, f"{len(self._all)} cancelled attempts have not ended")
