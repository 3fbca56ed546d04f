"""Tasks of Django as jobs of a worker: the signals around each attempt, and its connections."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils import timezone

from identtqueue.django.connections import connections_of_its_own, fresh_connections
from identtqueue.django.context import JobTaskContext
from identtqueue.django.framework import TaskResultStatus, normalize_json, signals
from identtqueue.django.per_task import options_of
from identtqueue.django.results import JobTaskResult, error_of, moment, new_result, task_in
from identtqueue.django.signatures import signature_of
from identtqueue.protocol import codec
from identtqueue.task import Failure
from identtqueue.worker.context import Context
from identtqueue.worker.outcome import Outcome, Succeeded
from identtqueue.worker.registry import Job

_ENDS: Final[Mapping[str, Any]] = {
    "succeeded": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
}
"""The outcomes after which a task does not run again, and Django's word for each."""


class DjangoJobs:
    """The jobs of one worker, made from tasks of a backend.

    Args:
        backend: the backend.
        worker_id: returns the worker's id, for `TaskResult.worker_ids`.
    """

    def __init__(self, backend: Any, worker_id: Callable[[], str | None]) -> None:
        self._backend = backend
        self._worker_id = worker_id
        # An entry stays only if its attempt is left behind, and a worker bounds those.
        self._running: dict[tuple[str, int], JobTaskResult] = {}

    def job(self, task: Any) -> Job:
        """Make the job that runs a task."""
        run = self._coroutine(task) if inspect.iscoroutinefunction(task.func) else self._call(task)
        run.__signature__ = signature_of(task)  # type: ignore[attr-defined]  # `inspect` reads it
        return Job(name=task.module_path, function=run, **options_of(task.func).as_keywords())

    async def finished(self, context: Context, outcome: Outcome) -> None:
        """Send `task_finished` if the task has ended: the hook `after_task`.

        It is sent just before the outcome is recorded in Redis.
        """
        result = self._running.pop((context.task_id, context.attempt), None)
        status = _ENDS.get(outcome.name)
        if result is None or status is None:
            return
        result.change(status=status, finished_at=timezone.now())
        if isinstance(outcome, Succeeded):
            result.change(_return_value=codec.decode_value(outcome.data))
        else:
            failure = outcome.failure or Failure("Cancelled", "cancelled on request")
            result.errors.append(error_of(failure))
        async with connections_of_its_own():
            await signals.task_finished.asend(sender=type(self._backend), task_result=result)

    def _call(self, task: Any) -> Callable[..., Any]:
        """Make the function that runs a plain task, in a thread."""

        def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
            with fresh_connections():
                result = self._begun(task, context, args, kwargs)
                signals.task_started.send(sender=type(self._backend), task_result=result)
                return _json(task.func(*_first(task, context, result), *args, **kwargs))

        return run

    def _coroutine(self, task: Any) -> Callable[..., Any]:
        """Make the function that runs an async task, in the event loop."""

        async def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
            async with connections_of_its_own():
                result = self._begun(task, context, args, kwargs)
                await signals.task_started.asend(sender=type(self._backend), task_result=result)
                return _json(await task.func(*_first(task, context, result), *args, **kwargs))

        return run

    def _begun(self, task: Any, context: Context, args: Any, kwargs: Any) -> JobTaskResult:
        worker_id = self._worker_id()
        now = timezone.now()
        result = new_result(
            task_in(task, context.queue, self._backend.alias),
            context.task_id,
            list(args),
            kwargs,
            status=TaskResultStatus.RUNNING,
            enqueued_at=moment(context.enqueued_at_ms),
            started_at=now,
            last_attempted_at=now,
            worker_ids=[] if worker_id is None else [worker_id],
            attempts_made=context.attempt,
        )
        self._running[context.task_id, context.attempt] = result
        return result


class ResultHasNoJson(TypeError):
    """A task returned something without a JSON form. It has done its work, so it is not retried."""


def _json(value: Any) -> Any:
    try:
        return normalize_json(value)
    except (TypeError, ValueError) as error:
        raise ResultHasNoJson(f"the return value: {error}") from error


def _first(task: Any, context: Context, result: JobTaskResult) -> tuple[JobTaskContext, ...]:
    """Return the arguments before those of the caller."""
    return (JobTaskContext(task_result=result, job=context),) if task.takes_context else ()
