"""How many more attempts may start."""

from __future__ import annotations

import asyncio


class Slots:
    """A counter that can be waited for. One loop's own; not for threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._some = asyncio.Event()
        self._some.set()

    def take(self, number: int) -> None:
        """Occupy that many."""
        self.free -= number
        assert self.free >= 0
        if self.free == 0:
            self._some.clear()

    def give(self, number: int = 1) -> None:
        """Free that many."""
        self.free += number
        if self.free:
            self._some.set()

    async def wait(self) -> None:
        """Return when at least one is free."""
        await self._some.wait()
