"""How far a test is ahead of Redis' clock, which nobody moves."""

from __future__ import annotations

import time
from collections.abc import Iterable

from identtqueue.protocol.answers import Scheduled


class Ahead:
    """A time that is ahead of the real one, and what is due by it.

    Redis notes when a task is due by its own clock. If the test was ahead then, the task is due as
    much later by the test's time. That is known from when the test has first seen it.
    """

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._seen: dict[Scheduled, int] = {}  # how far ahead the test was then

    @property
    def now_ms(self) -> int:
        """The test's time, in ms since 1970."""
        return round(time.time() * 1000) + self._ahead_ms

    def step(self, scheduled: Iterable[Scheduled], until_ms: int) -> list[str]:
        """Go on to the next moment at which a task is due, or else to the end.

        Args:
            scheduled: the tasks that are not due by Redis' clock.
            until_ms: the end, by the test's time.

        Returns:
            The ids of the tasks that are due at that moment; none at the end.
        """
        due_ms = {
            task: task.due_ms + self._seen.setdefault(task, self._ahead_ms) for task in scheduled
        }
        next_ms = min(due_ms.values(), default=until_ms + 1)
        self._ahead_ms += max(0, min(next_ms, until_ms) - self.now_ms)
        if next_ms > until_ms:
            return []
        return [task.task_id for task in due_ms if due_ms[task] <= next_ms]
