"""Simulated time: callbacks in the order of their moments."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Events:
    """The events that are going to happen.

    Moments are seconds since the start. Of two events at one moment, the one planned first comes
    first, so a run is repeatable to the last digit.
    """

    __slots__ = ("_heap", "_number", "handled", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.handled = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Plan a call; what lies in the past happens now."""
        self._number += 1
        heappush(self._heap, (max(when, self.now), self._number, call, args))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Plan a call for so many seconds from now."""
        self.at(self.now + seconds, call, *args)

    def run(self, until: float, finished: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until a moment, until nothing is left, or until `finished`."""
        heap = self._heap
        while heap and heap[0][0] <= until and not finished():
            self.now, _, call, args = heappop(heap)
            self.handled += 1
            call(*args)
