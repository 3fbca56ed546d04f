"""Attempt -> Outcome: resolve, decode, run under the deadline, normalise. Knows no Redis."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import msgspec

from identtqueue.errors import (
    BadArguments,
    PayloadUndecodable,
    Retry,
    TimedOut,
    UnknownJob,
)
from identtqueue.protocol import codec
from identtqueue.retry import RetryPolicy
from identtqueue.task import Attempt, Failure, Task
from identtqueue.worker.context import Context
from identtqueue.worker.metrics import Counters
from identtqueue.worker.registry import Job, Registry


class Succeeded(msgspec.Struct, frozen=True):
    """The encoded result."""

    data: bytes


class Failed(msgspec.Struct, frozen=True):
    """Why, and whether it runs again: `retry_seconds` None means a dead letter."""

    failure: Failure
    retry_seconds: float | None


class Aborted(msgspec.Struct, frozen=True):
    """It was cancelled on request."""


class Released(msgspec.Struct, frozen=True):
    """It was cut off at shutdown and goes back to the queue, uncharged."""


class Disowned(msgspec.Struct, frozen=True):
    """It was cut off because the lease of a queue was lost; what is still ours goes back."""


Outcome = Succeeded | Failed | Aborted | Released | Disowned

_HOPELESS: Final = (UnknownJob, PayloadUndecodable, BadArguments)
"""Retrying in this worker would end the same way."""


class Executor:
    """Runs attempts.

    Args:
        registry: the jobs.
        timeout_seconds: of jobs and tasks that set none.
        retry: policy of jobs that set none.
        state: handed to every job.
        max_payload_bytes: larger results fail the task.
        counters: where abandoned threads are counted.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        timeout_seconds: float | None,
        retry: RetryPolicy,
        state: MutableMapping[str, Any],
        max_payload_bytes: int,
        counters: Counters,
    ) -> None:
        self._registry = registry
        self._timeout = timeout_seconds
        self._retry = retry
        self._state = state
        self._max_payload_bytes = max_payload_bytes
        self._loggers: dict[str, logging.Logger] = {}
        self._counters = counters

    async def run(self, attempt: Attempt) -> Outcome:
        """Run one attempt to its outcome, whatever its job raises.

        A cancellation is a failure as well: the job's own doing. Whoever cancels this from
        outside knows what it means, and puts that in the place of the failure.
        """
        task: Task | None = None
        job: Job | None = None
        try:
            task = codec.decode_task(attempt.payload)
            job = self._registry.resolve(task.function_name)
            value = await self._call(job, task, attempt)
            return Succeeded(codec.encode_value(value, self._max_payload_bytes))
        except BaseException as error:  # noqa: BLE001 - an attempt must end, also by SystemExit
            return self._failed(error, job, task, attempt)

    async def _call(self, job: Job, task: Task, attempt: Attempt) -> Any:
        seconds = task.timeout_seconds or job.timeout_seconds or self._timeout
        context = Context(
            task_id=attempt.task_id,
            queue=attempt.queue,
            function_name=job.name,
            attempt=attempt.number,
            failures=attempt.failures,
            enqueued_at_ms=attempt.enqueued_at_ms,
            deadline=None if seconds is None else time.monotonic() + seconds,
            state=self._state,
            logger=self._logger(job.name),
        )
        args, kwargs = job.bind(task.args, task.kwargs)
        if seconds is None:
            return await self._start(job, context, args, kwargs)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._start(job, context, args, kwargs)
        except TimeoutError as error:
            if limit.expired():
                raise TimedOut(f"{job.name} ran longer than {seconds:g} s") from error
            raise  # the job's own

    async def _start(
        self, job: Job, context: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if job.is_async:
            return await job.function(context, *args, **kwargs)
        return await self._in_thread(lambda: job.function(context, *args, **kwargs))

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        """Run in a daemon thread. A cut-off can't stop it: it is left behind, and counted.

        A thread of its own rather than a pool's: an abandoned one must neither hold a place of
        the pool nor the process at its end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                self._counters.abandoned_threads -= 1
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def body() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = call()
            except (StopIteration, GeneratorExit) as stop:  # these mean something to `await`
                error = RuntimeError(f"the job raised {stop!r}")
            except BaseException as raised:  # noqa: BLE001 - whatever a job raises
                error = raised
            try:
                loop.call_soon_threadsafe(settle, value, error)
            except RuntimeError:
                return  # the loop has closed: the worker stopped without us

        threading.Thread(target=body, daemon=True, name="identtqueue job").start()
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._counters.abandoned_threads += 1
            raise

    def _failed(
        self, error: BaseException, job: Job | None, task: Task | None, attempt: Attempt
    ) -> Failed:
        failure = describe(error)
        if isinstance(error, _HOPELESS):
            return Failed(failure, None)
        policy = (job.retry if job else None) or self._retry
        delay = policy.delay_seconds(
            error, attempt.failures, max_retries=task.max_retries if task else None
        )
        if delay is not None and isinstance(error, Retry) and error.after_seconds is not None:
            delay = error.after_seconds
        return Failed(failure, delay)

    def _logger(self, name: str) -> logging.Logger:
        logger = self._loggers.get(name)
        if logger is None:
            logger = self._loggers[name] = logging.getLogger(f"identtqueue.job.{name}")
        return logger


def describe(error: BaseException) -> Failure:
    """An exception as the caller is shown it; the frames of this module are left out."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        message = "(its text can't be shown)"
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if isinstance(error, (*_HOPELESS, TimedOut)):
        return Failure(name, message)  # our own words; a traceback adds nothing
    return Failure(name, message, "".join(traceback.format_exception(kind, error, frames)))
