"""The worker of inline mode: the real worker's path of execution, without a connection to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from identtqueue.app import App
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.task import Attempt
from identtqueue.testing.loops import LoopEnd
from identtqueue.worker.attempts import Attempts
from identtqueue.worker.contain import exits_contained
from identtqueue.worker.keywords import WorkerKeywords
from identtqueue.worker.leftovers import Leftovers
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.outcome import Outcome
from identtqueue.worker.stopping import cancel_and_wait


class _DirectProgress:
    """Progress of one attempt: passed on at once."""

    def __init__(self, attempt: Attempt, take: Callable[[Attempt, Any], None]) -> None:
        self._attempt = attempt
        self._take = take

    def put(self, data: bytes) -> None:
        """Take an encoded value. May be called in any thread."""
        self._take(self._attempt, codec.decode_value(data))

    def end(self) -> None:
        """Do nothing: no value waits."""


class InlineWorker:
    """A worker of an app in one event loop, which is handed its attempts.

    It has the jobs, hooks and settings of the worker that `App.worker` makes, and its executor. The
    start-up hooks are called before its first attempt, and the shutdown hooks at the end of the
    event loop or of inline mode, whichever comes first.

    Args:
        app: the app.
        settings: see `WorkerSettings`.
        progress: called with each value that an attempt reports, in any thread.
    """

    def __init__(
        self, app: App, settings: WorkerKeywords, progress: Callable[[Attempt, Any], None]
    ) -> None:
        # Another worker that could run a task will not come.
        alone: WorkerKeywords = {"unrunnable_seconds": 0}
        self._worker = app.worker(**(alone | settings))
        self._processes = self._worker.processes()
        self._executor = self._worker.executor(self._processes)
        self._ended: dict[str, asyncio.Future[Outcome]] = {}
        self._attempts = Attempts(
            self._worker.settings.concurrency,
            self._executor,
            Leftovers(self._worker.settings.concurrency, Obstacles()),
            lambda attempt: _DirectProgress(attempt, progress),
            self._worker.counters,
            torn_down=lambda: False,
            on_idle=lambda: None,
        )
        self._attempts.report_to(self)
        self._started: asyncio.Task[None] | None = None
        self.end = LoopEnd(self._close)

    async def run(self, attempt: Attempt) -> Outcome:
        """Run one attempt to its outcome.

        Raises:
            Exception: a start-up hook has raised it.
        """
        await self._start_up()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Outcome] = loop.create_future()
        self._ended[attempt.task_id] = ended
        with exits_contained(loop):
            overdue = loop.create_task(self._attempts.look_after())
            try:
                self._attempts.start(attempt)
                return await ended
            finally:
                await cancel_and_wait([overdue])

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take the outcome of an attempt: see `Reports`."""
        self._attempts.answered(attempt, Ack.OK)
        ended = self._ended.pop(attempt.task_id)
        if not ended.done():
            ended.set_result(outcome)

    def cancel(self, task_id: str, number: int) -> None:
        """Cancel an attempt on request. May be called in any thread."""
        self.end.loop.call_soon_threadsafe(self._attempts.cancel, task_id, number)

    async def _start_up(self) -> None:
        """Call the start-up hooks, once."""
        if self._started is None:
            hooks, state = self._worker.settings.hooks, self._worker.state
            self._started = asyncio.ensure_future(hooks.start_up(state))
        await asyncio.shield(self._started)

    async def _close(self) -> None:
        if self._started is not None:
            await self._worker.settings.hooks.shut_down(self._worker.state)
        self._executor.close()
        if self._processes is not None:
            await self._processes.close()
