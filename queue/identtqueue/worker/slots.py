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
        self._some = asyncio.Event()
        self._some.set()

    @property
    def free(self) -> int:
        """Number of free slots."""
        return self.total - self._reserved - len(self._running)

    def reserve(self, number: int) -> None:
        """Reserve free slots for the tasks that a claim asks for."""
        assert number <= self.free
        self._reserved += number
        if not self.free:
            self._some.clear()

    def unreserve(self, number: int) -> None:
        """Give up a reservation, after the attempts of the claim have started."""
        self._reserved -= number
        if self.free:
            self._some.set()

    def freed(self) -> None:
        """Wake those who wait for a free slot: an attempt has ended, so there is one."""
        self._some.set()

    async def wait(self) -> None:
        """Wait until at least one slot is free."""
        await self._some.wait()
