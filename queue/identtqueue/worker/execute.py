"""Attempt -> Outcome: resolve, decode, run under the deadline, normalise. Knows no Redis."""

from __future__ import annotations

import asyncio
import enum
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeVar

from identtqueue.errors import BadArguments, InvalidInput, TimedOut, UnknownJob, is_number
from identtqueue.protocol import codec
from identtqueue.retry import RetryPolicy, asked_seconds, is_one_of
from identtqueue.task import Failure, Task
from identtqueue.worker.attempt_log import fields_of
from identtqueue.worker.context import Context
from identtqueue.worker.failure import HOPELESS, RaisedElsewhere, describe
from identtqueue.worker.hooks import Hooks
from identtqueue.worker.metrics import Counters
from identtqueue.worker.obstacles import CannotStart, Obstacles
from identtqueue.worker.outcome import Declined, Failed, Outcome, Released, Retried, Succeeded
from identtqueue.worker.processes import Processes
from identtqueue.worker.registry import Job, Registry
from identtqueue.worker.running import Running
from identtqueue.worker.shelves import ENVELOPE_SIGNATURE, UNKNOWN_JOB
from identtqueue.worker.threads import Threads

logger = logging.getLogger(__name__)

T = TypeVar("T")

AFTER_TASK_SECONDS: Final = 10.0
"""How long the `after_task` hooks of an attempt may take, all together."""


class _Stage(enum.Enum):
    """How far an attempt has come."""

    BEFORE = enum.auto()
    """Neither its job nor a hook has been called."""
    JOB = enum.auto()
    AFTER = enum.auto()
    """Its job has returned."""


async def _value(value: T) -> T:
    return value


def _settled(value: Any) -> Awaitable[Any]:
    """What a job in the loop gave: awaitable, unless it is a plain function around an async one."""
    return value if inspect.isawaitable(value) else _value(value)


class _Run:
    """One attempt on its way: what is known of it so far."""

    __slots__ = ("attempt", "context", "job", "running", "send_progress", "stage", "task")

    def __init__(self, running: Running, send_progress: Callable[[bytes], None]) -> None:
        self.running = running
        self.attempt = running.attempt
        self.send_progress = send_progress
        self.stage = _Stage.BEFORE
        self.task: Task | None = None
        self.job: Job | None = None
        self.context: Context | None = None


class Executor:
    """Runs attempts.

    Args:
        registry: the jobs.
        timeout_seconds: of jobs and tasks that set none.
        retry: policy of jobs that set none.
        state: handed to every job.
        max_payload_bytes: larger results fail the task.
        processes: for jobs that run in one.
        hooks: called around each attempt.
        counters: where threads and hooks count what went wrong.
        most_abandoned_threads: with so many the worker takes no more tasks.
        obstacles: where it is said that no thread or process can be had.
        declines: tasks that cannot run here are left to other workers. Else they fail.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        timeout_seconds: float | None,
        retry: RetryPolicy,
        state: MutableMapping[str, Any],
        max_payload_bytes: int,
        processes: Processes,
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
        self._loggers: dict[str, logging.Logger] = {}
        self._counters = counters
        self._threads = Threads(counters, most_abandoned_threads, obstacles)

    def may_run(self, name: str, declined_by: frozenset[str]) -> bool:
        """Whether it may run a job's tasks that these signatures have declined."""
        return self._registry.may_run(name, declined_by)

    def close(self) -> None:
        """Let idle threads end."""
        self._threads.close()

    async def run(self, running: Running, send_progress: Callable[[bytes], None]) -> Outcome:
        """Run one attempt to its outcome, whatever its job raises.

        Args:
            running: the attempt; it is told here when it has to end, and how its job ended. A
                cancellation without a meaning is a failure: the job's own doing.
            send_progress: takes what the job reports, encoded, from any thread.
        """
        run = _Run(running, send_progress)
        running.judge = lambda error: self._judge(error, run)
        outcome: Outcome
        try:
            outcome = Succeeded(await self._call(run))
        except CannotStart as why:
            self.obstacles.not_started(why)
            outcome = running.meaning or Released()
        except BaseException as error:  # noqa: BLE001 - an attempt must end, also by SystemExit
            # Whatever the job made of its cancellation.
            outcome = running.meaning or self._judge(error, run)
        running.end_by = None
        if self._hooks.after_task and run.context is not None:
            running.outcome, running.reminders = outcome, 0
            running.end_by = time.monotonic() + AFTER_TASK_SECONDS
            await self._hooks.after(run.context, outcome, self._counters)
        return outcome

    async def _call(self, run: _Run) -> bytes:
        task = run.task = codec.decode_task(run.attempt.payload)
        job = run.job = self._registry.resolve(task.function_name)
        if job.run_in == "process":
            # The time that a new process takes to start is not the attempt's.
            async with self._processes.lend() as process:
                payload = run.attempt.payload
                return await self._in_time(
                    run, task, job, lambda context: process.run(job, context, payload)
                )
        args, kwargs = job.bind(task.args, task.kwargs)

        def start(context: Context) -> Awaitable[Any]:
            if job.run_in == "loop":
                return _settled(job.function(context, *args, **kwargs))
            return self._in_thread(job.name, lambda: job.function(context, *args, **kwargs))

        value = await self._in_time(run, task, job, start)
        run.stage = _Stage.AFTER
        return codec.encode_value(value, self._max_payload_bytes)

    async def _in_thread(self, name: str, call: Callable[[], Any]) -> Any:
        """Call it in a thread. An awaitable that it returns is awaited here, in the loop."""
        value = await self._threads.run(name, call)
        return await value if inspect.isawaitable(value) else value

    async def _in_time(
        self, run: _Run, task: Task, job: Job, start: Callable[[Context], Awaitable[T]]
    ) -> T:
        seconds = task.timeout_seconds or job.timeout_seconds or self._timeout
        context = run.context = self._context(run, job, seconds)
        if seconds is None:
            return await self._hooked(run, context, start)
        if run.running.end_by is None:  # else it was told to end already
            run.running.end_by = context.deadline
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                value = await self._hooked(run, context, start)
        except (TimeoutError, asyncio.CancelledError) as error:
            # Told twice, it raises CancelledError: asyncio takes the second for somebody else's.
            if limit.expired():
                raise TimedOut(f"{job.name} ran longer than {seconds:g} s") from error
            raise  # the job's own
        if limit.expired():
            logger.warning(
                "%s attempt %d: ran longer than its time-out of %g s, and its job has caught the "
                "CancelledError and returned: that is taken as its result",
                run.attempt.task_id,
                run.attempt.number,
                seconds,
                extra=fields_of(run.attempt),
            )
        return value

    async def _hooked(
        self, run: _Run, context: Context, start: Callable[[Context], Awaitable[T]]
    ) -> T:
        run.stage = _Stage.JOB  # an error of `before_task` counts as one of the job
        if self._hooks.before_task:
            await self._hooks.before(context)
        return await start(context)

    def _context(self, run: _Run, job: Job, seconds: float | None) -> Context:
        attempt = run.attempt
        return Context(
            task_id=attempt.task_id,
            queue=attempt.queue,
            function_name=job.name,
            attempt=attempt.number,
            failures=attempt.failures,
            enqueued_at_ms=attempt.enqueued_at_ms,
            deadline=None if seconds is None else time.monotonic() + seconds,
            state=self._state,
            logger=self._logger(job.name),
            send_progress=run.send_progress,
            fencing_token=attempt.fencing_token,
        )

    def _judge(self, error: BaseException, run: _Run) -> Outcome:
        """Decide what its failure means.

        An error in that, of a class in `retry_on` say, must not leave the attempt without an end.
        Nothing here awaits, so what is caught is never a cancellation of the attempt.
        """
        failure = describe(error)
        try:
            return self._failed(error, failure, run)
        except BaseException as broken:  # noqa: BLE001 - as the error's own methods may raise
            attempt, why = run.attempt, describe(broken)
            logger.error(  # not `exception`: formatting what it has seen may raise again
                "%s attempt %d: judging its failure: %s: %s\n%s",
                attempt.task_id,
                attempt.number,
                why.type,
                why.message,
                why.traceback,
                extra=fields_of(attempt),
            )
            return Failed(failure)

    def _failed(self, error: BaseException, failure: Failure, run: _Run) -> Outcome:
        signature = _cannot_run(error, run, self._registry)
        if signature is not None:
            return self._decline(failure, signature, run)
        if _is_hopeless(error, run):
            return Failed(failure)
        policy = (run.job.retry if run.job else None) or self._retry
        delay = policy.delay_seconds(
            error.kinds if isinstance(error, RaisedElsewhere) else error,
            run.attempt.failures,
            max_retries=run.task.max_retries if run.task else None,
        )
        if delay is None:
            return Failed(failure)
        after = error.after_seconds if isinstance(error, RaisedElsewhere) else asked_seconds(error)
        if not (after is None or is_number(after)):
            raise InvalidInput(f"after_seconds={after!r} of {failure.type}")
        return Retried(failure, delay if after is None else after)

    def _decline(self, failure: Failure, signature: str, run: _Run) -> Outcome:
        if run.job is not None and failure.type == "TypeError":  # it has no declared types
            why = run.job.takes(run.task.args, run.task.kwargs) if run.task else None
            failure = describe(BadArguments(run.job.name, why or failure.message))
        if not self._declines:
            return Failed(failure)
        name = codec.function_name_of(run.attempt.payload)
        if (name, signature) not in self._declined:  # not for each of what may be thousands
            self._declined.add((name, signature))
            logger.warning(
                "%s: tasks of job %r are left to workers that can run them: %s: %s",
                run.attempt.queue,
                name,
                failure.type,
                failure.message,
            )
        return Declined(failure, signature)

    def _logger(self, name: str) -> logging.Logger:
        logger = self._loggers.get(name)
        if logger is None:
            logger = self._loggers[name] = logging.getLogger(f"identtqueue.job.{name}")
        return logger


def _cannot_run(error: BaseException, run: _Run, registry: Registry) -> str | None:
    """The signature under which this worker declines a task that another one may be able to run."""
    if run.task is None:
        return ENVELOPE_SIGNATURE if codec.is_newer(run.attempt.payload) else None
    if run.job is None:
        return UNKNOWN_JOB if isinstance(error, UnknownJob) else None
    kinds = error.kinds if isinstance(error, RaisedElsewhere) else error
    if is_one_of(kinds, (BadArguments,)):
        bad = _is_hopeless(error, run)
    else:  # without declared types the call itself finds out
        called = run.stage is _Stage.JOB and is_one_of(kinds, (TypeError,))
        bad = called and run.job.takes(run.task.args, run.task.kwargs) is not None
    return registry.signature(run.job.name) if bad else None


def _is_hopeless(error: BaseException, run: _Run) -> bool:
    """Whether another run would end the same way, whatever the policy says of such errors.

    A result that can't be stored is one: the job has done its work, and doing it again changes
    nothing. What the job itself raises never is.
    """
    if isinstance(error, RaisedElsewhere):
        return error.hopeless
    if run.stage is _Stage.BEFORE:
        return isinstance(error, HOPELESS)
    return run.stage is _Stage.AFTER
