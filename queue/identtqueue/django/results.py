"""Django's `TaskResult`, made from what Redis knows of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from identtqueue.django.framework import (
    TASK_REFRESH_ATTRS,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from identtqueue.django.queues import band_of, django_queue
from identtqueue.task import Failure, State, TaskInfo

STATUSES: Final[Mapping[State, Any]] = {
    State.SCHEDULED: TaskResultStatus.READY,
    State.PENDING: TaskResultStatus.READY,
    State.RUNNING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.CANCELLED: TaskResultStatus.FAILED,  # Django has no status for it
}

_OURS: Final = {
    "Cancelled": "identtqueue.errors.TaskCancelled",
    "Expired": "identtqueue.errors.TaskExpired",
    "WorkerLost": "identtqueue.errors.TaskFailed",
}
"""Words for failures that are no exception of a task, and the errors that a client raises."""


@dataclass(frozen=True, kw_only=True)
class JobTaskResult(TaskResult):
    """A result whose `attempts` counts all attempts, although only the last worker is known."""

    attempts_made: int = 0

    @property
    def attempts(self) -> int:
        """How often the task was started."""
        return self.attempts_made

    def refresh(self) -> None:
        """Read the task from Redis again."""
        self._take(self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        """Read the task from Redis again."""
        self._take(await self.task.get_backend().aget_result(self.id))

    def change(self, **values: Any) -> None:
        """Set attributes, although the result is frozen for those who get it."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _take(self, fresh: JobTaskResult) -> None:
        names = (*TASK_REFRESH_ATTRS, "attempts_made")
        self.change(**{name: getattr(fresh, name) for name in names})


def new_result(task: Any, task_id: str, args: Any, kwargs: Any, **more: Any) -> JobTaskResult:
    """Make the result of a task that is ready to run.

    Args:
        task: the task.
        task_id: its id.
        args: its positional arguments.
        kwargs: its keyword arguments.
        **more: other attributes.

    Raises:
        TypeError: an argument has no JSON form.
    """
    values = {
        "status": TaskResultStatus.READY,
        "enqueued_at": None,
        "started_at": None,
        "last_attempted_at": None,
        "finished_at": None,
        "errors": [],
        "worker_ids": [],
    }
    return JobTaskResult(
        task=task,
        id=task_id,
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        **(values | more),
    )


def result_of(task: Any, info: TaskInfo, args: Any, kwargs: Any, value: Any) -> JobTaskResult:
    """Make the result of a task that Redis knows.

    Args:
        task: the task.
        info: what Redis knows of it.
        args: its positional arguments; empty if they are no longer kept.
        kwargs: its keyword arguments, likewise.
        value: what it returned; None if it has not succeeded.
    """
    started_at = moment(info.started_at_ms)
    result = new_result(
        task,
        info.task_id,
        args,
        kwargs,
        status=STATUSES[info.state],
        enqueued_at=moment(info.enqueued_at_ms),
        started_at=started_at,
        last_attempted_at=started_at,
        finished_at=moment(info.finished_at_ms) if info.state.ended else None,
        errors=[] if info.failure is None else [error_of(info.failure)],
        worker_ids=[] if info.owner is None else [info.owner],
        attempts_made=info.attempt,
    )
    result.change(_return_value=value)
    return result


def task_in(known: Any, redis_queue: str, alias: str) -> Any:
    """Return a task as it was enqueued.

    Redis knows the band of its priority, not the number. If that of the declared task is of another
    band, the number is 1 or -1.

    Args:
        known: the task as it was declared.
        redis_queue: name of its queue in Redis.
        alias: name of the backend.
    """
    queue, band = django_queue(redis_queue)
    priority = known.priority
    if band_of(priority) != band:
        priority = next(number for number in (1, 0, -1) if band_of(number) == band)
    if (known.queue_name, known.priority, known.backend) == (queue, priority, alias):
        return known
    return known.using(queue_name=queue, priority=priority, backend=alias)


def error_of(failure: Failure) -> Any:
    """Make Django's description of a failure."""
    path = _OURS.get(failure.type, failure.type)
    return TaskError(
        exception_class_path=path if "." in path else f"builtins.{path}",
        traceback=failure.traceback or f"{path}: {failure.message}\n",
    )


def moment(ms: int | None) -> datetime | None:
    """Convert a time of Redis to what Django uses: aware, or naive in its own time zone."""
    if ms is None:
        return None
    aware = datetime.fromtimestamp(ms / 1000, UTC)
    return aware if settings.USE_TZ else timezone.make_naive(aware)
