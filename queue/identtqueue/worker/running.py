"""One attempt that runs: how far it has come, and what it is told."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable

from identtqueue.task import Attempt, Task
from identtqueue.worker.context import Context
from identtqueue.worker.outcome import Outcome, Released
from identtqueue.worker.registry import Job


class Stage(enum.Enum):
    """How far an attempt has come."""

    BEFORE = enum.auto()
    """Neither its job nor a hook has been called."""
    JOB = enum.auto()
    AFTER = enum.auto()
    """Its job has returned."""


class Running:
    """An attempt that runs, or whose report is on its way.

    Args:
        attempt: as it was claimed.
        torn_down: whether all tasks of the event loop are being cancelled, the worker's too.
        exited: called with what a task of the job has raised to end the program.

    Attributes:
        runner: the task of the event loop that runs it.
        begun: its runner has come to its first line.
        stage: how far it has come.
        task: decoded from the payload of the attempt.
        job: that its task names.
        context: that its job is handed.
        send_progress: takes what the job reports, encoded, from any thread.
        ended: its report is made.
        left: it was left behind; its slot is somebody else's.
        cut_off: what its cancellation from outside means.
        outcome: how its job ended, while `after_task` hooks run.
        end_by: monotonic time at which it is told to end; None: it may run on.
        reminders: how often it was told again.
        started: monotonic time.
    """

    # One is made for each attempt, so all but a few fields start as the class's.
    runner: asyncio.Task[None] | None = None
    stage = Stage.BEFORE
    task: Task | None = None
    job: Job | None = None
    context: Context | None = None
    send_progress: Callable[[bytes], None]
    begun = ended = left = False
    cut_off: Outcome | None = None
    outcome: Outcome | None = None
    end_by: float | None = None
    reminders = 0

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
