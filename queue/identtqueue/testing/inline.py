"""Inline mode: the jobs of an app run in this process, without a server.

The bytes of a task are run by the worker's own code: see `inline_worker`. The clock is moved by the
test, or by a wait for a result.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import datetime
from types import TracebackType
from typing import Any, Final, TypeVar, Unpack

from identtqueue.app import App
from identtqueue.errors import InvalidInput, ResultTimeout
from identtqueue.protocol import codec
from identtqueue.task import Attempt, Progress, Result, State
from identtqueue.testing.cron import cron_call, firings_ms
from identtqueue.testing.inline_worker import InlineWorker
from identtqueue.testing.mode import Mode
from identtqueue.testing.ran import Ran, RanAttempt
from identtqueue.testing.store import StoredTask
from identtqueue.worker import contain
from identtqueue.worker.keywords import WorkerKeywords
from identtqueue.worker.outcome import Aborted, Failed, Outcome, Retried, Succeeded

MOST_ATTEMPTS: Final = 10_000
"""Upper bound for the attempts of one run. A job that enqueues itself would run for ever."""

T = TypeVar("T")


class Inline(Mode):
    """Inline mode: an app whose tasks run in this process, without a server.

    ::

        with Inline(app) as inline:
            task = await read_mrz.enqueue("page.png")  # has run now
            assert await task.result() == "P<UTO…"

    A task runs as soon as it is enqueued, if it is due; tasks that jobs enqueue run after the job.
    With `at_once=False` tasks wait for `run`. Waiting for a result passes time: the clock moves on
    to the next retry or delayed task, at most by `timeout_seconds`, and nothing really waits.

    Args:
        app: the app.
        at_once: whether tasks run when they are enqueued.
        raise_failures: whether an attempt that fails raises JobsFailed where the task was run.
        now: the time at the beginning, an aware datetime. Default: the time of day.
        **settings: settings of the worker; see `WorkerSettings`.

    Raises:
        InvalidInput: `now` is not aware.
    """

    def __init__(
        self,
        app: App,
        *,
        at_once: bool = True,
        raise_failures: bool = False,
        now: datetime | None = None,
        **settings: Unpack[WorkerKeywords],
    ) -> None:
        super().__init__(app, now)
        self.at_once = at_once
        self.raise_failures = raise_failures
        self._worker_settings = settings
        self._workers: dict[asyncio.AbstractEventLoop, InlineWorker] = {}
        self._runner: asyncio.Runner | None = None  # for callers without an event loop
        self._lock = threading.RLock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.end.close_from_outside()
        if self._runner is not None:
            self._runner.close()
        super().__exit__(kind, error, tb)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        worker = self._workers.get(asyncio.get_running_loop())
        if worker is not None:
            await worker.end.close()
        self.__exit__(kind, error, tb)

    async def run(self, max_attempts: int | None = None) -> Ran:
        """Run the tasks that are due, and those that they enqueue, until none is left.

        Tasks with a delay, and retries, wait until their time has come: see `advance`.

        Args:
            max_attempts: number of attempts after which to stop. Default: when no task is left.

        Returns:
            What has run.

        Raises:
            JobsFailed: an attempt has failed, and `raise_failures` is set.
            InvalidInput: a task is left after 10,000 attempts.
        """
        ran: list[RanAttempt] = []
        while max_attempts is None or len(ran) < max_attempts:
            attempt = self.store.claim(self._now_ms)
            if attempt is None:
                break
            if len(ran) == MOST_ATTEMPTS:
                raise InvalidInput(
                    f"tasks are left after {MOST_ATTEMPTS:,} attempts, the last of job "
                    f"{codec.function_name_of(attempt.payload)}: does it enqueue itself?"
                )
            ran.append(await self._run(attempt))
        return self._checked(Ran(ran))

    async def advance(self, seconds: float) -> Ran:
        """Move the clock on, and run what falls due meanwhile, in the order of the times.

        The schedules of the app (`App.cron`) fire.

        Args:
            seconds: how far.

        Returns:
            What has run.

        Raises:
            JobsFailed, InvalidInput: see `run`.
        """
        until_ms = self._now_ms + round(seconds * 1000)
        fires = sorted(
            (fire_ms, entry.name)
            for entry in self.app.crons
            for fire_ms in firings_ms(entry, self._now_ms, until_ms)
        )
        ran = list(await self.run())
        while True:
            due_ms = self.store.next_due_ms()
            fire_ms = fires[0][0] if fires else None
            moments = [at for at in (due_ms, fire_ms) if at is not None and at <= until_ms]
            if not moments:
                break
            self._move_to(min(moments))
            while fires and fires[0][0] <= self._now_ms:
                self.add([cron_call(self.app, fires.pop(0)[1]).submission])
            ran += await self.run()
        self._move_to(until_ms)
        return Ran(ran)

    async def fire(self, schedule: str) -> Ran:
        """Fire a schedule of the app now, and run its task and all others that are due.

        Args:
            schedule: name of the schedule.

        Raises:
            InvalidInput: the app has no such schedule; or see `run`.
            JobsFailed: see `run`.
        """
        self.add([cron_call(self.app, schedule).submission])
        return await self.run()

    def run_sync(self, max_attempts: int | None = None) -> Ran:
        """Do what `run` does, for a test without an event loop."""
        return self.run_blocking(self.run(max_attempts))

    def advance_sync(self, seconds: float) -> Ran:
        """Do what `advance` does, for a test without an event loop."""
        return self.run_blocking(self.advance(seconds))

    def fire_sync(self, schedule: str) -> Ran:
        """Do what `fire` does, for a test without an event loop."""
        return self.run_blocking(self.fire(schedule))

    # --- what the clients ask ---

    async def after_enqueue(self) -> None:
        """Run what was enqueued, unless a job has enqueued it: then it runs after the job."""
        if self.at_once and contain.current.get() is None:
            await self.run()

    async def wait(self, task_id: str, timeout_seconds: float | None) -> Result:
        """Run tasks, and move the clock on, until a task has ended; return how.

        Raises:
            ResultTimeout: it has not ended after `timeout_seconds` of the clock.
            TaskNotFound: it was never enqueued.
        """
        task = self.task(task_id)
        until_ms = None if timeout_seconds is None else self._now_ms + timeout_seconds * 1000
        while not task.state.ended:
            attempt = self.store.claim(self._now_ms)
            if attempt is not None:
                self._checked(Ran([await self._run(attempt)]))
            elif task.state is State.RUNNING:
                await asyncio.wrap_future(task.ended)
            elif not task.state.ended:
                due_ms = self.store.next_due_ms() or task.due_ms
                if until_ms is not None and due_ms > until_ms:
                    self._move_to(round(until_ms))
                    raise ResultTimeout(task_id, timeout_seconds or 0)
                self._move_to(due_ms)
        return task.outcome

    def cancel(self, task_id: str) -> bool:
        """Cancel a task, or ask its attempt to end: see `Client.cancel`."""
        task = self.task(task_id)
        if task.state is not State.RUNNING:
            return super().cancel(task_id)
        for worker in self._workers.values():
            worker.cancel(task_id, task.attempt)
        return True

    def run_blocking(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine for a caller without an event loop."""
        owner = contain.current.get()
        if owner is not None and owner.runner is not None:  # a job in a thread
            loop = owner.runner.get_loop()
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        with self._lock:
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(work)

    # --- one attempt ---

    async def _run(self, attempt: Attempt) -> RanAttempt:
        loop = asyncio.get_running_loop()
        worker = self._workers.get(loop)
        if worker is None:
            worker = InlineWorker(self.app, self._worker_settings, self._take_progress)
            self._workers[loop] = worker
        outcome = await worker.run(attempt)
        self._record(self.task(attempt.task_id), outcome)
        return _ran(attempt, outcome)

    def _record(self, task: StoredTask, outcome: Outcome) -> None:
        """Do with the outcome of an attempt what Redis does."""
        match outcome:
            case Succeeded(data):
                self.store.end(task, State.SUCCEEDED, self._now_ms, result=data)
            case Failed(failure):
                self.store.end(task, State.FAILED, self._now_ms, failure=failure)
            case Retried(failure, seconds):
                task.failures, task.failure = task.failures + 1, failure
                self.store.again(task, self._now_ms + round(seconds * 1000), self._now_ms)
            case Aborted():
                self.store.cancel(task, self._now_ms)
            case _:
                self.store.again(task, self._now_ms, self._now_ms)

    def _take_progress(self, attempt: Attempt, value: Any) -> None:
        task = self.task(attempt.task_id)
        number = 1 if task.progress is None else task.progress.number + 1
        task.progress = Progress(attempt.number, number, value)

    def _checked(self, ran: Ran) -> Ran:
        if self.raise_failures:
            ran.raise_failures()
        return ran

    def _move_to(self, now_ms: int) -> None:
        self._now_ms = max(now_ms, self._now_ms)


def _ran(attempt: Attempt, outcome: Outcome) -> RanAttempt:
    return RanAttempt(
        task_id=attempt.task_id,
        job=codec.function_name_of(attempt.payload),
        queue=attempt.queue,
        attempt=attempt.number,
        outcome=outcome.name,
        value=codec.decode_value(outcome.data) if isinstance(outcome, Succeeded) else None,
        failure=outcome.failure,
        retry_seconds=outcome.retry_seconds if isinstance(outcome, Retried) else None,
    )
