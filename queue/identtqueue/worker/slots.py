"""Slots for attempts: a bound on how many run at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sized


class Slots:
    """Slots of a worker. Each is free, or reserved by a claim, or an attempt runs in it.

    This class counts reservations only. How many attempts run is the length of `running`, which
    `Attempts` owns. Not thread-safe: for one event loop.

    Args:
        total: number of slots.
        running: the attempts that run now.
    """

    def __init__(self, total: int, running: Sized) -> None:
        self.total = total
        self._running = running
        self._reserved = 0
        self._wanted = 1  # how many must be free for those who wait
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        """Number of free slots."""
        return self.total - self._reserved - len(self._running)

    def reserve(self, number: int) -> None:
        """Reserve free slots for the tasks that a claim asks for."""
        assert number <= self.free
        self._reserved += number

    def unreserve(self, number: int) -> None:
        """Give up a reservation, after the attempts of the claim have started."""
        self._reserved -= number
        self.freed()

    def freed(self) -> None:
        """Note that an attempt has ended. If enough slots are free now, wake who waits for them."""
        # Once per task, so without the property `free`.
        if self.total - self._reserved - len(self._running) >= self._wanted:
            self._changed.set()

    def wake(self) -> None:
        """Wake those who wait, because they may want another number of slots now."""
        self._changed.set()

    async def wait(self, wanted: int = 1) -> bool:
        """Wait until so many slots are free, or until `wake`.

        Args:
            wanted: how many slots; more than there are: wait for `wake`.

        Returns:
            Whether it had to wait.
        """
        if self.free >= wanted:
            return False
        self._wanted = wanted
        self._changed.clear()
        await self._changed.wait()
        return True
