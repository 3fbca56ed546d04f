"""One attempt that runs: what its executor tells of it, and what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from identtqueue.task import Attempt
from identtqueue.worker.outcome import Outcome, Released


class Running:
    """An attempt that runs, or whose report is on its way.

    Args:
        attempt: as it was claimed.
        torn_down: whether all tasks of the event loop are being cancelled, the worker's too.
        exited: called with what a task of the job has raised to end the program.

    Attributes:
        task: runs it.
        begun: its task has come to its first line.
        ended: its report is made.
        left: it was left behind; its slot is somebody else's.
        cut_off: what its cancellation from outside means.
        outcome: how its job ended, while `after_task` hooks run.
        end_by: monotonic time at which it is told to end; None: it may run on.
        reminders: how often it was told again.
        judge: decides what an error means for it; set by the executor.
        started: monotonic time.
    """

    # One is made for each attempt, so all but a few fields start as the class's.
    task: asyncio.Task[None] | None = None
    begun = ended = left = False
    cut_off: Outcome | None = None
    outcome: Outcome | None = None
    end_by: float | None = None
    reminders = 0
    judge: Callable[[BaseException], Outcome] | None = None

    def __init__(
        self,
        attempt: Attempt,
        torn_down: Callable[[], bool],
        exited: Callable[[Running, BaseException], None],
    ) -> None:
        self.attempt = attempt
        self.torn_down = torn_down
        self.exited = exited
        self.started = time.monotonic()

    @property
    def meaning(self) -> Outcome | None:
        """What a cancellation from outside means; None: there was none, it is the job's own."""
        return self.cut_off or (Released() if self.torn_down() else None)
