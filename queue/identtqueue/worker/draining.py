"""The drain of a worker: since when it takes no more tasks, and how long its attempts may run."""

from __future__ import annotations

import asyncio
import time
from typing import Final

AFTER_DRAIN_SECONDS: Final = 5.0
"""How long attempts may run after a stop at least. An earlier drain may have used up the grace
time."""


class Draining:
    """Whether one incarnation drains. It is true while it does.

    It is changed in the event loop only. Everything but `over` may be called in any thread.
    """

    def __init__(self) -> None:
        self._since: float | None = None  # monotonic time; None: it does not drain
        self._over = asyncio.Event()
        self._over.set()

    def __bool__(self) -> bool:
        return self._since is not None

    def begin(self) -> None:
        """Note that the worker was told to take no more tasks."""
        if self._since is None:
            self._since = time.monotonic()
            self._over.clear()

    def end(self) -> None:
        """Note that the worker was called back."""
        self._since = None
        self._over.set()

    async def over(self) -> None:
        """Wait until the worker does not drain."""
        await self._over.wait()

    def grace_left(self, grace_seconds: float) -> float:
        """Return how long attempts may still run if the worker is stopped now.

        The grace time counts from the start of the drain. So a drain and the stop that follows it
        take one grace time together, not two.

        Args:
            grace_seconds: the grace time of a worker that does not drain.
        """
        since = self._since
        if since is None:
            return grace_seconds
        left = grace_seconds - (time.monotonic() - since)
        return max(left, min(AFTER_DRAIN_SECONDS, grace_seconds))
