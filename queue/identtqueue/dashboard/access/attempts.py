"""A limit of failed logins, so that nobody guesses passwords here."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_FAILURES: Final = 10
"""Failed logins of one address, or under one name, before it has to wait."""
WINDOW_SECONDS: Final = 60.0
"""How long a failure counts, and so how long one has to wait at most."""
_MOST_KEYS: Final = 10_000
"""Addresses and names that are remembered; beyond it the oldest is forgotten."""


class FailedLogins:
    """The failed logins of the last minute, by address and by name.

    Args:
        clock: the time in s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def wait_seconds(self, *keys: str) -> int:
        """Return how long these have to wait before the next try; 0: not at all."""
        return max(self._wait(key) for key in keys)

    def note(self, *keys: str) -> None:
        """Note a failure for each of these."""
        now = self._clock()
        for key in keys:
            self._times[key] = [*self._recent(key, now), now][-MOST_FAILURES:]
            self._times.move_to_end(key)
        while len(self._times) > _MOST_KEYS:
            self._times.popitem(last=False)

    def _wait(self, key: str) -> int:
        now = self._clock()
        recent = self._recent(key, now)
        if len(recent) < MOST_FAILURES:
            return 0
        return max(1, math.ceil(recent[0] + WINDOW_SECONDS - now))

    def _recent(self, key: str, now: float) -> list[float]:
        return [at for at in self._times.get(key, ()) if now - at < WINDOW_SECONDS]
