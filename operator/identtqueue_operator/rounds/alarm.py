"""The end of the pause between two rounds: by a change, by the doorbell, or by the time."""

import asyncio
from time import perf_counter


class Alarm:
    """Wakes the reconciler of one TaskQueue."""

    # Two thousand TaskQueues have one each.
    __slots__ = ("_rung_at", "_set")

    def __init__(self) -> None:
        self._set = asyncio.Event()
        self._rung_at: float | None = None

    def set(self) -> None:
        """Wake soon, because something may have changed."""
        self._set.set()

    def ring(self) -> None:
        """Wake now, because the doorbell rang. The first ring since a round is remembered."""
        if self._rung_at is None:
            self._rung_at = perf_counter()
        self._set.set()

    def clear(self) -> None:
        """Begin a round that sees all changes so far."""
        self._set.clear()

    def take_ring(self) -> float | None:
        """Return the `perf_counter` time of the first ring since the last call; None without."""
        rung_at, self._rung_at = self._rung_at, None
        return rung_at

    async def wait(self, seconds: float | None, rest_seconds: float | None = None) -> None:
        """Wait until something has changed, and clear it.

        Args:
            seconds: longest wait; None: only a change ends it.
            rest_seconds: a change ends the wait only after this time; None: at once.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(seconds):
                await self._set.wait()
                if rest_seconds is not None:
                    await asyncio.sleep(begun + rest_seconds - clock())
        except TimeoutError:
            pass
        self._set.clear()
