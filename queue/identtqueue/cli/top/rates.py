"""Rates of a queue, from its counters at several times."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

WINDOW_SECONDS: Final = 60.0
"""Rates are those of this time, or of the time that the screen is shown, if that is less."""


class Rates:
    """The counters of queues during the last minute."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[int, Mapping[str, int]]]] = {}

    def note(self, queue: str, now_ms: int, counters: Mapping[str, int]) -> None:
        """Note the counters of a queue.

        Args:
            queue: name of the queue.
            now_ms: Redis' time when they were read.
            counters: numbers that only grow.
        """
        seen = self._seen.setdefault(queue, deque())
        if seen and (now_ms <= seen[-1][0] or _fell(seen[-1][1], counters)):
            seen.clear()  # Redis has lost its data, or another one has taken its place
        seen.append((now_ms, counters))
        while len(seen) > 2 and seen[1][0] <= now_ms - WINDOW_SECONDS * 1000:
            seen.popleft()

    def per_minute(self, queue: str, counter: str) -> float | None:
        """Return how much a counter grows per minute; None: it was read only once so far."""
        seen = self._seen.get(queue)
        if seen is None or len(seen) < 2:
            return None
        (first_ms, first), (last_ms, last) = seen[0], seen[-1]
        return (last.get(counter, 0) - first.get(counter, 0)) * 60_000 / (last_ms - first_ms)

    def forget_all_but(self, queues: set[str]) -> None:
        """Forget the queues that are no longer there."""
        for queue in self._seen.keys() - queues:
            del self._seen[queue]


def _fell(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    return any(after.get(name, 0) < number for name, number in before.items())
