"""Python's garbage collector, kept from holding the event loop.

A full collection looks at every object that lives, in one go: a third of a second with thousands
of TaskQueues. Nearly all of them live as long as the operator, and what ends is freed by its
reference count, because closing something breaks its cycles. So what has survived a long collection
is set aside, and later ones look only at what came since.
"""

import gc
import time
from collections.abc import Callable
from typing import Final

FULL: Final = 2
"""The oldest generation; collecting it collects all."""
ALL_AFTER_SECONDS: Final = 86_400.0
"""Time for which objects stay set aside. Then one collection looks at all: it bounds what an
unforeseen reference cycle can waste."""


class Collector:
    """Sets aside what survives long collections, from `start` on.

    Args:
        long_seconds: a shorter full collection sets nothing aside.
        clock: seconds, monotonic.
    """

    def __init__(
        self, long_seconds: float = 0.02, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._long_seconds = long_seconds
        self._clock = clock
        self._began = 0.0
        self._all_at = 0.0

    def start(self) -> None:
        """Set aside what there is, which the imports have made, and watch the collections."""
        gc.collect()
        gc.freeze()
        self._all_at = self._clock() + ALL_AFTER_SECONDS
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Leave the collector as Python has it."""
        gc.callbacks.remove(self._note)
        gc.unfreeze()

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < FULL:
            return
        now = self._clock()
        if phase == "start":
            self._began = now
            if now >= self._all_at:
                self._all_at = now + ALL_AFTER_SECONDS
                gc.unfreeze()
        elif now - self._began > self._long_seconds:
            gc.freeze()
