"""Slots for attempts: a bound on how many run at the same time."""

from __future__ import annotations

import asyncio


class Slots:
    """Number of free slots, which can be waited for. Not thread-safe: for one event loop.

    Args:
        total: number of slots.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._some = asyncio.Event()
        self._some.set()

    def take(self, number: int) -> None:
        """Take this many free slots."""
        self.free -= number
        assert self.free >= 0
        if self.free == 0:
            self._some.clear()

    def give(self, number: int = 1) -> None:
        """Give this many slots back."""
        self.free += number
        if self.free:
            self._some.set()

    async def wait(self) -> None:
        """Wait until at least one slot is free."""
        await self._some.wait()
