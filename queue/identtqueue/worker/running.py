"""State of one running attempt: how far it has come, and why it was cancelled, if it was."""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

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


class ProgressSink(Protocol):
    """The progress of one attempt on its way to those who watch."""

    def put(self, data: bytes) -> None:
        """Take an encoded value. May be called in any thread."""

    def end(self) -> None:
        """Send what was not sent yet, and ignore all later values."""


class _Ignored:
    """The progress that a job reports after the end of its attempt, and none before."""

    def put(self, data: bytes) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


_IGNORED: Final = _Ignored()
_MAKING: Final = threading.Lock()  # for all attempts: it is held for one statement


class Running:
    """An attempt that is running, or whose report is not answered yet.

    Args:
        attempt: the attempt as it was claimed.
        torn_down: tells whether all tasks of the event loop are being cancelled, including the
            worker's.
        exited: called when a task of the attempt has raised SystemExit or KeyboardInterrupt.
        new_progress: makes what sends the progress of an attempt.

    Attributes:
        runner: the asyncio task that runs it.
        begun: whether `runner` has executed its first line.
        stage: how far it has come.
        task: the task, decoded from the payload; None: not decoded yet.
        job: the job that the task names; None: not found yet.
        counts: the numbers of that job; None: the task is not decoded yet.
        context: the context that its job is handed; None: not made yet.
        progress: sends the progress of its job; None: the job has reported none.
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
    progress: ProgressSink | None = None
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
        new_progress: Callable[[Attempt], ProgressSink],
    ) -> None:
        self.attempt = attempt
        self.torn_down = torn_down
        self.exited = exited
        self._new_progress = new_progress
        self.started = time.monotonic()

    def send_progress(self, data: bytes) -> None:
        """Send encoded progress of the job. May be called in any thread.

        Few attempts report any, so the sink is made for the first value.
        """
        with _MAKING:
            if self.progress is None:
                self.progress = self._new_progress(self.attempt)
        self.progress.put(data)

    def end_progress(self) -> None:
        """Send the progress that was not sent yet, and ignore all later values."""
        with _MAKING:
            if self.progress is None:
                self.progress = _IGNORED
        self.progress.end()

    @property
    def meaning(self) -> Outcome | None:
        """Outcome that a cancellation from outside stands for; None: the job cancelled itself."""
        return self.cut_off or (Released() if self.torn_down() else None)
