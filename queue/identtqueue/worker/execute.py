"""Execution of one attempt: decode, find the job, run it in time, and turn its end into an outcome.

Nothing here knows of Redis.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from identtqueue.bounds import is_number
from identtqueue.current import current_task
from identtqueue.errors import BadArguments, InvalidInput, TimedOut, UnknownJob
from identtqueue.protocol import codec
from identtqueue.retry import RetryPolicy, asked_seconds, is_one_of
from identtqueue.schedule import CRON_MARK, due_at_ms
from identtqueue.task import Attempt, Failure, Task
from identtqueue.worker import observers
from identtqueue.worker.attempt_log import log_about
from identtqueue.worker.context import Context
from identtqueue.worker.counts import Counters
from identtqueue.worker.failure import HOPELESS, RaisedElsewhere, describe
from identtqueue.worker.hooks import Hooks
from identtqueue.worker.obstacles import CannotStart, Obstacles
from identtqueue.worker.outcome import Declined, Failed, Outcome, Released, Retried, Succeeded
from identtqueue.worker.registry import Job, Registry
from identtqueue.worker.running import Running, Stage
from identtqueue.worker.shelves import ENVELOPE_SIGNATURE, UNKNOWN_JOB
from identtqueue.worker.threads import Threads

if TYPE_CHECKING:
    from identtqueue.worker.processes.pool import Processes

logger = logging.getLogger(__name__)

T = TypeVar("T")

AFTER_TASK_SECONDS: Final = 10.0
"""How long all `after_task` hooks of one attempt may take together."""


# In Python 3.11, `Stage.JOB` calls a function. These are for the path of every task.
_JOB, _AFTER = Stage.JOB, Stage.AFTER


def _is_awaitable(value: Any) -> bool:
    """Return whether a job in the loop has to be awaited. It is nearly always a coroutine."""
    return type(value) is CoroutineType or (value is not None and inspect.isawaitable(value))


class Executor:
    """Runner of attempts.

    Args:
        registry: finds the jobs by name.
        timeout_seconds: timeout for jobs and tasks that set none; None: no limit.
        retry: retry policy for jobs that set none.
        state: state that every job is handed.
        max_payload_bytes: largest encoded result; a larger one fails the task.
        processes: run the jobs that need a process. None: no job does.
        hooks: called around each attempt.
        counters: count the attempts that start, and the errors of hooks.
        most_abandoned_threads: with this many abandoned threads the worker takes no more tasks.
        obstacles: notified when a thread or a process cannot be started.
        declines: whether tasks that cannot run here are left to other workers, instead of failed.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        timeout_seconds: float | None,
        retry: RetryPolicy,
        state: Any,
        max_payload_bytes: int,
        processes: Processes | None,
        hooks: Hooks,
        counters: Counters,
        most_abandoned_threads: int,
        obstacles: Obstacles,
        declines: bool,
    ) -> None:
        self._declines = declines
        self._declined: set[tuple[str, str]] = set()
        self.obstacles = obstacles
        self._registry = registry
        self._timeout = timeout_seconds
        self._retry = retry
        self._state = state
        self._max_payload_bytes = max_payload_bytes
        self._processes = processes
        self._hooks = hooks
        self._counters = counters
        self._threads = Threads(most_abandoned_threads, obstacles)

    def may_run(self, name: str, declined_by: frozenset[str]) -> bool:
        """Return whether this worker may run tasks of a job that these signatures have declined."""
        return self._registry.may_run(name, declined_by)

    @property
    def abandoned_threads(self) -> int:
        """Number of threads left behind by cut-off attempts. May be read in any thread."""
        return self._threads.abandoned

    def close(self) -> None:
        """End the idle threads."""
        self._threads.close()

    def run(self, running: Running) -> Awaitable[Outcome]:
        """Run one attempt to its outcome, whatever its job raises.

        Args:
            running: the attempt. Its deadline and the outcome of its job are stored here. If it is
                cancelled and has no `meaning`, the job has cancelled itself, which is a failure.

        Returns:
            How the attempt ended.
        """
        return self._observed(running) if observers.OBSERVERS else self._run(running)

    async def _observed(self, running: Running) -> Outcome:
        with observers.observed(running.attempt):
            return await self._run(running)

    async def _run(self, running: Running) -> Outcome:
        outcome: Outcome
        try:
            outcome = Succeeded(await self._call(running))
        except CannotStart as why:
            self.obstacles.not_started(why)
            outcome = running.meaning or Released()
        except BaseException as error:  # noqa: BLE001 - an attempt must end, also by SystemExit
            # Cancelled from outside, the meaning counts, whatever the job raised in response.
            outcome = running.meaning or self.judge(running, error)
            if observers.OBSERVERS and outcome is not running.meaning:
                observers.report(running.attempt, running.task, outcome, error)
        running.end_by = None
        if self._hooks.after_task and running.context is not None:
            running.outcome, running.reminders = outcome, 0
            running.end_by = time.monotonic() + AFTER_TASK_SECONDS
            await self._hooks.after(running.context, outcome, self._counters)
        return outcome

    async def _call(self, running: Running) -> bytes:
        attempt = running.attempt
        task = running.task = codec.decode_task(attempt.payload)
        running.counts = self._counters.start(attempt.queue, task.function_name)
        if CRON_MARK in attempt.task_id:
            self._note_lateness(attempt, task)
        job = running.job = self._registry.resolve(task.function_name)
        if job.run_in == "process":
            return await self._in_process(running, task, job)
        args, kwargs = job.bind(task.args, task.kwargs)
        call = job.function
        context, seconds = self._begin(running, task, job)
        if job.run_in == "thread":

            def start(context: Context) -> Any:
                return self._in_thread(job.name, lambda: call(context, *args, **kwargs))

            value = await self._in_time(running, job, context, seconds, start)
        elif seconds is None and not self._hooks.before_task:  # the same as below, at less cost
            value = call(context, *args, **kwargs)
            if type(value) is CoroutineType or _is_awaitable(value):
                value = await value
        else:
            value = await self._in_time(
                running, job, context, seconds, lambda context: call(context, *args, **kwargs)
            )
        running.stage = _AFTER
        return codec.encode_value(value, self._max_payload_bytes)

    def _note_lateness(self, attempt: Attempt, task: Task) -> None:
        """Count how late a firing of a schedule starts, at its first attempt."""
        due_ms = due_at_ms(attempt.task_id)
        if due_ms is not None and attempt.number == 1:
            late_seconds = max(0.0, (attempt.started_at_ms - due_ms) / 1000)
            self._counters.fire(attempt.queue, task.function_name, late_seconds)

    async def _in_process(self, running: Running, task: Task, job: Job) -> bytes:
        payload = running.attempt.payload
        assert self._processes is not None  # the worker has such a job
        # The timeout of the attempt does not include the start of a new process.
        process = await self._processes.lend()
        try:
            context, seconds = self._begin(running, task, job)
            data: bytes = await self._in_time(
                running, job, context, seconds, lambda context: process.run(job, context, payload)
            )
        finally:
            await self._processes.take_back(process)
        return data

    async def _in_thread(self, name: str, call: Callable[[], Any]) -> Any:
        """Call a function in a thread. If it returns an awaitable, await it here, in the loop."""
        value = await self._threads.run(name, call)
        return await value if inspect.isawaitable(value) else value

    def _begin(self, running: Running, task: Task, job: Job) -> tuple[Context, float | None]:
        """Make the context, since the job begins now. Return it, and how long the job may run."""
        seconds = task.timeout_seconds or job.timeout_seconds or self._timeout
        context = running.context = self._context(running, job, seconds)
        current_task.set(context.task_id)  # of this attempt alone: it runs in a task of its own
        running.stage = _JOB  # an error of a `before_task` hook counts as the job's
        return context, seconds

    async def _in_time(
        self,
        running: Running,
        job: Job,
        context: Context,
        seconds: float | None,
        start: Callable[[Context], Any],
    ) -> Any:
        """Start the job with the context, and await what it returns, for a limited time.

        Args:
            running: the attempt.
            job: its job.
            context: its context.
            seconds: how long it may run; None: as long as it likes.
            start: starts the job. What it returns is awaited, or is the value itself.
        """
        if self._hooks.before_task:
            start = self._hooked(start)
        if seconds is None:
            value = start(context)
            return await value if _is_awaitable(value) else value
        if running.end_by is None:  # otherwise it was cancelled already
            running.end_by = context.deadline
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                value = start(context)
                if _is_awaitable(value):
                    value = await value
        except (TimeoutError, asyncio.CancelledError) as error:
            # After a second cancellation asyncio does not convert the CancelledError into a
            # TimeoutError, because it assumes that somebody else has cancelled the task.
            if limit.expired():
                raise TimedOut(f"{job.name} ran longer than {seconds:g} s") from error
            raise  # the job raised it itself
        if limit.expired():
            text = "ran longer than its timeout of %g s, but its job caught the CancelledError and "
            text += "returned: the returned value is its result"
            log_about(logger, logging.WARNING, running.attempt, text, seconds)
        return value

    def _hooked(self, start: Callable[[Context], Any]) -> Callable[[Context], Any]:
        async def after_hooks(context: Context) -> Any:
            await self._hooks.before(context)
            value = start(context)
            return await value if _is_awaitable(value) else value

        return after_hooks

    def _context(self, running: Running, job: Job, seconds: float | None) -> Context:
        attempt = running.attempt
        return Context(
            task_id=attempt.task_id,
            queue=attempt.queue,
            function_name=job.name,
            attempt=attempt.number,
            failures=attempt.failures,
            enqueued_at_ms=attempt.enqueued_at_ms,
            deadline=None if seconds is None else time.monotonic() + seconds,
            state=self._state,
            logger=_logger(job.name),
            send_progress=running.send_progress,
            fencing_token=attempt.fencing_token,
        )

    def judge(self, running: Running, error: BaseException) -> Outcome:
        """Decide what an error means for the attempt: retry, dead letter or decline.

        User code takes part in this (classes in `retry_on`, say) and may raise. The attempt must
        get an outcome nevertheless. Nothing here awaits, so an exception caught here is never a
        cancellation of the attempt.
        """
        failure = describe(error)
        try:
            return self._failed(error, failure, running)
        except BaseException as broken:  # noqa: BLE001 - the methods of the error may raise
            why = describe(broken)  # not passed as an exception: formatting it may raise again
            text = "its retry policy or its error raised %s: %s\n%s"
            said = (why.type, why.message, why.traceback)
            log_about(logger, logging.ERROR, running.attempt, text, *said)
            return Failed(failure)

    def _failed(self, error: BaseException, failure: Failure, running: Running) -> Outcome:
        signature = _cannot_run(error, running, self._registry)
        if signature is not None:
            return self._decline(failure, signature, running)
        if _is_hopeless(error, running):
            return Failed(failure)
        policy = (running.job.retry if running.job else None) or self._retry
        delay = policy.delay_seconds(
            error.kinds if isinstance(error, RaisedElsewhere) else error,
            running.attempt.failures,
            max_retries=running.task.max_retries if running.task else None,
        )
        if delay is None:
            return Failed(failure)
        after = error.after_seconds if isinstance(error, RaisedElsewhere) else asked_seconds(error)
        if not (after is None or is_number(after)):
            raise InvalidInput(f"after_seconds={after!r} of {failure.type}")
        return Retried(failure, delay if after is None else after)

    def _decline(self, failure: Failure, signature: str, running: Running) -> Outcome:
        if running.job is not None and failure.type == "TypeError":  # a job without declared types
            why = (
                running.job.takes(running.task.args, running.task.kwargs) if running.task else None
            )
            failure = describe(BadArguments(running.job.name, why or failure.message))
        if not self._declines:
            return Failed(failure)
        name = codec.function_name_of(running.attempt.payload)
        if (name, signature) not in self._declined:  # log once, not for each of thousands of tasks
            self._declined.add((name, signature))
            logger.warning(
                "%s: tasks of job %r are left to workers that can run them: %s: %s",
                running.attempt.queue,
                name,
                failure.type,
                failure.message,
            )
        return Declined(failure, signature)


@cache  # bounded by the number of registered jobs
def _logger(job_name: str) -> logging.Logger:
    return logging.getLogger(f"identtqueue.job.{job_name}")


def _cannot_run(error: BaseException, running: Running, registry: Registry) -> str | None:
    """Return the signature under which this worker declines a task; None: it does not decline."""
    if running.task is None:
        return ENVELOPE_SIGNATURE if codec.is_newer(running.attempt.payload) else None
    if running.job is None:
        return UNKNOWN_JOB if isinstance(error, UnknownJob) else None
    kinds = error.kinds if isinstance(error, RaisedElsewhere) else error
    if is_one_of(kinds, (BadArguments,)):
        bad = _is_hopeless(error, running)
    else:  # without declared types only the call itself shows that the arguments are wrong
        called = running.stage is Stage.JOB and is_one_of(kinds, (TypeError,))
        bad = called and running.job.takes(running.task.args, running.task.kwargs) is not None
    return registry.signature(running.job.name) if bad else None


def _is_hopeless(error: BaseException, running: Running) -> bool:
    """Return whether another run would end the same way, so that the retry policy is not asked.

    A result that can't be stored is such a case: the job has done its work, and doing it again
    changes nothing. An error that the job itself raises never is.
    """
    if isinstance(error, RaisedElsewhere):
        return error.hopeless
    if running.stage is Stage.BEFORE:
        return isinstance(error, HOPELESS)
    return running.stage is Stage.AFTER
