"""State of one running attempt: how far it has come, and why it was cancelled, if it was."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable

from identtqueue.task import Attempt, Task
from identtqueue.worker.context import Context
from identtqueue.worker.counts import JobCounts
from identtqueue.worker.outcome import Outcome, Released
from identtqueue.worker.registry import Job


class Stage(enum.Enum):
    """Stage of an attempt: before, in or after its job."""

    BEFORE = enum.auto()
    """Neither its job nor a hook has been called."""
    JOB = enum.auto()
    """A hook or the job is being called."""
    AFTER = enum.auto()
    """Its job has returned."""


class Running:
    """An attempt that is running, or whose report is not answered yet.

    Args:
        attempt: the attempt as it was claimed.
        torn_down: tells whether all tasks of the event loop are being cancelled, including the
            worker's.
        exited: called when a task of the attempt has raised SystemExit or KeyboardInterrupt.

    Attributes:
        runner: the asyncio task that runs it.
        begun: whether `runner` has executed its first line.
        stage: how far it has come.
        task: the task, decoded from the payload; None: not decoded yet.
        job: the job that the task names; None: not found yet.
        counts: the numbers of that job; None: the task is not decoded yet.
        context: the context that its job is handed; None: not made yet.
        send_progress: takes encoded progress of the job. May be called in any thread.
        ended: whether its outcome was handed to the finisher.
        left: whether it was left behind. Then its slot is already free.
        cut_off: the outcome that its cancellation from outside stands for; None: not cancelled.
        cut_off_why: why it was cancelled from outside, for the log.
        outcome: outcome of its job, while `after_task` hooks run.
        end_by: monotonic time from which on it is overdue; None: it may run on.
        reminders: how often it was cancelled again because it was overdue.
        started: monotonic time at which it was started.
    """

    # One is made for each attempt, so all but a few fields are class attributes at first.
    runner: asyncio.Task[None] | None = None
    stage = Stage.BEFORE
    task: Task | None = None
    job: Job | None = None
    counts: JobCounts | None = None
    context: Context | None = None
    send_progress: Callable[[bytes], None]
    begun = ended = left = False
    cut_off: Outcome | None = None
    cut_off_why = ""
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
        """Outcome that a cancellation from outside stands for; None: the job cancelled itself."""
        return self.cut_off or (Released() if self.torn_down() else None)
