"""The worker of a test: the real one, on a real server, for as long as there are tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, Unpack

from msgspec import structs

from identtqueue.admin import Admin
from identtqueue.app import App
from identtqueue.protocol.answers import QueueDepth, Scheduled
from identtqueue.testing.ahead import Ahead
from identtqueue.testing.burst_clients import ServerClients
from identtqueue.testing.burst_run import BurstRun
from identtqueue.testing.cron import cron_call
from identtqueue.testing.enqueued import Assertions, EnqueueLog
from identtqueue.testing.ran import Ran, RanAttempt
from identtqueue.testing.server import TestServer, shared_server
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker.keywords import WorkerKeywords
from identtqueue.worker.worker import Worker

MOST_STEPS: Final = 1_000
"""Upper bound for the moments at which one `advance` runs tasks."""

MOST_SCHEDULED: Final = 10_000
"""How many scheduled tasks of each queue `advance` looks at."""

LOOK_SECONDS: Final = 0.01
"""Interval at which a run looks whether its queues are empty, besides after each attempt."""


class BurstWorker(Assertions):
    """A worker that works until its queues are empty, on an empty database of a real server.

    ::

        async with BurstWorker(app) as worker:
            task = await read_mrz.enqueue("page.png")
            await worker.run()
            assert await task.result() == "P<UTO…"

    Within the block, the app, its jobs and their handles use that database and need no `connect`.
    Schedules of the app do not fire by themselves: see `fire`.

    Args:
        app: the app.
        server: the server, or the address or the settings of a database that is empty. Default:
            one server for the whole process.
        **settings: settings of the worker; see `WorkerSettings`.
    """

    def __init__(
        self,
        app: App,
        server: TestServer | RedisSettings | str | None = None,
        **settings: Unpack[WorkerKeywords],
    ) -> None:
        super().__init__(EnqueueLog(app))
        if server is None:
            server = shared_server()
        if isinstance(server, TestServer):
            server = server.fresh_database()
        self.settings = RedisSettings.of(server)
        self.app = app
        self._worker_settings = settings
        self._clients = ServerClients(self.settings, app.client_settings, self._log)
        self._ahead = Ahead()
        self._buried: set[str] = set()  # dead letters of earlier runs
        self._lending = app.lend(self._clients)

    def __enter__(self) -> Self:
        self._lending.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._clients.close_all()
        self._lending.__exit__(kind, error, tb)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._clients.close()
        self.__exit__(kind, error, tb)

    async def run(
        self,
        max_attempts: int | None = None,
        *,
        timeout_seconds: float = 30.0,
        raise_failures: bool = False,
        **settings: Any,
    ) -> Ran:
        """Start a worker, let it work until nothing is left that may run now, and stop it.

        Delayed tasks and retries whose time has not come are left.

        Args:
            max_attempts: number of attempts after which to stop, one at a time. Default: when
                nothing is left.
            timeout_seconds: longest time for all of it.
            raise_failures: whether an attempt that fails raises JobsFailed, at the end.
            **settings: settings of the worker, added to those of this object.

        Returns:
            What has run.

        Raises:
            JobsFailed: an attempt has failed, and `raise_failures` is set.
            TimeoutError: tasks are left after `timeout_seconds`. The message says where.
            Exception: a start-up hook has raised it.
        """
        async with Admin(self.settings) as admin:
            ran = Ran()
            if await self._depths(admin):
                one_at_a_time = {"concurrency": 1} if max_attempts else {}
                worker = self._worker({**settings, **one_at_a_time})
                burst = BurstRun(worker, max_attempts)
                try:
                    async with asyncio.timeout(timeout_seconds):
                        await self._watch(admin, burst)
                except TimeoutError:
                    left = _described(await self._depths(admin))
                    text = f"tasks are left after {timeout_seconds:g} s: {left}"
                    raise TimeoutError(text) from None
                finally:
                    await burst.stop()
                ran = Ran([*burst.ran, *await self._without_context(admin, burst.ran)])
        if raise_failures:
            ran.raise_failures()
        return ran

    def run_sync(self, max_attempts: int | None = None, **settings: Any) -> Ran:
        """Do what `run` does, for a test without an event loop."""
        return asyncio.run(self.run(max_attempts, **settings))

    async def advance(self, seconds: float, **settings: Any) -> Ran:
        """Run what would fall due within some seconds: delayed tasks and retries, in their order.

        Redis' clock is not moved. Each task is made due as `Admin.start_now` does it. What is due
        at the same moment runs together, and what becomes due by that follows. Times add up: after
        `advance(30)`, another `advance(30)` reaches a task that was delayed by 60 s.

        Args:
            seconds: how far to go.
            **settings: see `run`.

        Returns:
            What has run.

        Raises:
            JobsFailed, TimeoutError: see `run`.
        """
        ran = list(await self.run(**settings))
        async with Admin(self.settings) as admin:
            until_ms = self._ahead.now_ms + round(seconds * 1000)
            for _ in range(MOST_STEPS):
                ids = self._ahead.step(await self._scheduled(admin), until_ms)
                if not ids:
                    break
                await admin.start_now(ids)
                ran += await self.run(**settings)
        return Ran(ran)

    def advance_sync(self, seconds: float, **settings: Any) -> Ran:
        """Do what `advance` does, for a test without an event loop."""
        return asyncio.run(self.advance(seconds, **settings))

    async def fire(self, schedule: str, **settings: Any) -> Ran:
        """Fire a schedule of the app now, and run its task and all others that may run.

        Args:
            schedule: name of the schedule.
            **settings: see `run`.

        Raises:
            InvalidInput: the app has no such schedule; or see `run`.
        """
        await self._clients.client.submit(cron_call(self.app, schedule).submission)
        return await self.run(**settings)

    def fire_sync(self, schedule: str, **settings: Any) -> Ran:
        """Do what `fire` does, for a test without an event loop."""
        return asyncio.run(self.fire(schedule, **settings))

    @asynccontextmanager
    async def serving(self, **settings: Unpack[WorkerKeywords]) -> AsyncIterator[Worker]:
        """Run a worker beside the test, within an `async with` block.

        Args:
            **settings: settings of the worker, added to those of this object.
        """
        burst = BurstRun(self._worker(settings), None)
        try:
            yield burst.worker
        finally:
            await burst.stop()

    def _worker(self, settings: Mapping[str, Any]) -> Worker:
        # Another worker that could run a task will not come.
        worker = self.app.worker(**{"unrunnable_seconds": 0, **self._worker_settings, **settings})
        worker.settings = structs.replace(worker.settings, cron=())
        return worker

    async def _watch(self, admin: Admin, burst: BurstRun) -> None:
        """Wait until the worker has nothing to do, or has ended."""
        while not burst.has_ended and await self._depths(admin):
            await burst.something_happened(LOOK_SECONDS)

    async def _depths(self, admin: Admin) -> dict[str, QueueDepth]:
        """Return the depths of the queues in which a task runs or may run now."""
        depths = await admin.depths(_queues(self.app, self.enqueued()))
        return {queue: depth for queue, depth in depths.items() if depth.queued or depth.in_flight}

    async def _scheduled(self, admin: Admin) -> list[Scheduled]:
        """List the tasks that are not due yet."""
        queues = _queues(self.app, self.enqueued())
        pages = [await admin.scheduled(queue, limit=MOST_SCHEDULED) for queue in queues]
        return [task for page in pages for task in page]

    async def _without_context(self, admin: Admin, ran: Iterable[RanAttempt]) -> list[RanAttempt]:
        """List the attempts for which no hook was called: their job or arguments are unknown."""
        known = {attempt.task_id for attempt in ran if attempt.outcome == "failed"} | self._buried
        found: list[RanAttempt] = []
        for queue in _queues(self.app, self.enqueued()):
            async for info in admin.dead_letters(queue):
                if info.task_id not in known:
                    found.append(
                        RanAttempt(
                            task_id=info.task_id,
                            job=info.function_name,
                            queue=queue,
                            attempt=info.attempt,
                            outcome="failed",
                            failure=info.failure,
                        )
                    )
                self._buried.add(info.task_id)
        return found


def _queues(app: App, tasks: Iterable[Any]) -> list[str]:
    """List the queues of the app's jobs and schedules, and those that tasks were enqueued in."""
    jobs = (job.queue for job in app.jobs.values())
    crons = (entry.queue or app.default_queue for entry in app.crons)
    return list(dict.fromkeys([*jobs, *crons, *(task.queue for task in tasks)]))


def _described(depths: Mapping[str, QueueDepth]) -> str:
    parts = [
        f"queue {queue}: {depth.queued} pending, {depth.held} of them held by a limit, "
        f"{depth.in_flight} running{', paused' if depth.paused else ''}"
        for queue, depth in depths.items()
    ]
    return "; ".join(parts) or "none by now"
