"""Alarms: when this worker looks at its queues again, because the next task becomes due.

A claim learns when the next scheduled task, or the next task held by a rate limit, may start. It
does not tell every idle worker so, or all of them would claim at that moment and one would get the
task. It tells one (`protocol/lua/lib/alarm.lua`), and the others keep blocking. That worker has an
alarm here. At that time it claims, or has another worker woken if it is busy.

If it dies before, upkeep of another worker finds that nobody looks, and wakes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Alarms:
    """The alarms of one worker: at most one for each queue.

    Args:
        on_alarm: called with the queue whose time has come. Its coroutine runs in a task of its
            own, since the fetch loop may be blocked.
    """

    def __init__(self, on_alarm: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._on_alarm = on_alarm
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, tuple[asyncio.TimerHandle, int]] = {}  # by queue, with Redis' time
        self._looks: set[asyncio.Task[None]] = set()

    def set(self, queue: str, ms: int, at_ms: int) -> None:
        """Set the alarm of a queue, in place of an older one.

        Args:
            queue: name of the queue.
            ms: time until the alarm.
            at_ms: the same moment in Redis' time.
        """
        self.take_back(queue)
        timer = self._loop.call_later(ms / 1000, self._ring, queue)
        self._timers[queue] = timer, at_ms

    def take_back(self, queue: str) -> int:
        """Remove the alarm of a queue, and return for which Redis time it was set; 0: none was."""
        timer, at_ms = self._timers.pop(queue, (None, 0))
        if timer is not None:
            timer.cancel()
        return at_ms

    async def end(self) -> None:
        """Let no alarm ring any more, and end what the last ones have started."""
        for timer, _ in self._timers.values():
            timer.cancel()
        looks = list(self._looks)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _ring(self, queue: str) -> None:
        del self._timers[queue]
        look = self._loop.create_task(self._on_alarm(queue), name=f"alarm {queue}")
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
