"""Pool of processes for jobs that keep a CPU busy: reused, and killed when an attempt is cut off.

Each process is a fresh interpreter that inherits no connection and no signal handler. It has a
session of its own, so a signal to the worker's process group does not reach it, and killing its
group also ends what its job has started. It is lent to one attempt at a time. A process that is
returned in the middle of an attempt is killed. A process that dies fails only the attempt that
has it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from identtqueue.errors import ProcessDied, ProcessNotStarted
from identtqueue.transport.inherited import Inheritance
from identtqueue.worker.counts import Counters
from identtqueue.worker.failure import RaisedElsewhere
from identtqueue.worker.obstacles import CannotStart, Obstacles
from identtqueue.worker.processes import messages
from identtqueue.worker.processes.process import JobProcess
from identtqueue.worker.reference import main_source

logger = logging.getLogger(__name__)


class Processes:
    """The processes for jobs of one worker: as many as attempts have needed at the same time.

    Args:
        hooks: references to the `on_process_startup` hooks, which each process calls first.
        state: reference to the class or function that makes a process's `state`.
        inheritance: what each process inherits of the worker's connection; None: nothing.
        needs_main: whether a job or a hook is defined in `__main__`.
        max_payload_bytes: largest encoded result; a larger one fails the task.
        max_tasks: attempts after which a process is replaced; None: never.
        counters: count the processes that were killed or died.
        obstacles: notified when a process has started.
    """

    def __init__(
        self,
        hooks: Sequence[str],
        *,
        state: str,
        inheritance: Inheritance | None,
        needs_main: bool,
        max_payload_bytes: int,
        max_tasks: int | None,
        counters: Counters,
        obstacles: Obstacles,
    ) -> None:
        module, path = main_source() if needs_main else (None, None)
        self._setup = messages.Setup(
            argv=sys.argv,
            main_module=module,
            main_path=path,
            state=state,
            inheritance=inheritance,
            hooks=list(hooks),
            max_payload_bytes=max_payload_bytes,
            log_levels=_log_levels(),
        )
        self._max_tasks = max_tasks
        self._counters = counters
        self._obstacles = obstacles
        self._all: set[JobProcess] = set()
        self._idle: list[JobProcess] = []
        self._coming: list[asyncio.Future[JobProcess]] = []  # starting or tidying up, not awaited
        self._background: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._all)

    async def start(self) -> None:
        """Start the first process, so that a broken import or hook shows before the first task.

        Raises:
            ProcessDied, ProcessNotStarted: it did not become ready.
            RaisedElsewhere: an import or a hook raised an error in it.
            CannotStart: the operating system refuses to start a process.
        """
        self._idle.append(await self._ready())

    async def lend(self) -> JobProcess:
        """Lend a process to one attempt, until `take_back`.

        Raises:
            CannotStart: no process could be started. The job was not called, so the attempt is not
                charged.
        """
        try:
            return await self._ready()
        except (ProcessDied, ProcessNotStarted, RaisedElsewhere) as error:
            raise CannotStart(_start_failed(error)) from error

    async def take_back(self, process: JobProcess) -> None:
        """Take a process back from the attempt that it was lent to; kill it if that still runs."""
        if process.tidies:
            self._expect(self._tidied(process))
        elif self._may_go_on(process):
            self._idle.append(process)
        elif process.usable:
            self._in_background(process.end())
        else:
            await process.kill()

    async def close(self) -> None:
        """End all processes; kill those that do not end by themselves."""
        self._idle.clear()
        await asyncio.gather(*self._background, *(process.end() for process in self._all))
        if self._coming:
            await asyncio.wait(self._coming)
        await asyncio.gather(*self._background)

    async def _ready(self) -> JobProcess:
        """Get a process: an idle one, or one that is about to be idle, or else a new one.

        So there are never more processes than attempts that run at the same time.
        """
        while True:
            while self._idle:
                process = self._idle.pop()  # the one that was used last, whose caches are warm
                if process.usable and not process.has_ended():
                    return process
            coming = self._coming.pop() if self._coming else self._fresh()
            try:
                process = await asyncio.shield(coming)
            except asyncio.CancelledError:
                # The attempt was cut off while it waited. The next attempt gets the process.
                self._coming.append(coming)
                if coming.done():
                    self._arrived(coming)
                raise
            if process.ran == 0 or self._may_go_on(process):
                return process

    def _may_go_on(self, process: JobProcess) -> bool:
        has_run_its_share = self._max_tasks is not None and process.ran >= self._max_tasks
        return process.usable and not has_run_its_share

    def _fresh(self) -> asyncio.Future[JobProcess]:
        """Start a new process; the future is done when it is ready."""
        process = JobProcess(self._setup, self._counters)
        self._all.add(process)
        process.gone.add_done_callback(lambda _: self._all.discard(process))
        coming = asyncio.ensure_future(self._start(process))
        coming.add_done_callback(self._arrived)
        return coming

    def _expect(self, coming: Coroutine[Any, Any, JobProcess]) -> None:
        """Keep a process that will be usable soon and that no attempt waits for yet."""
        future = asyncio.ensure_future(coming)
        self._coming.append(future)
        future.add_done_callback(self._arrived)

    async def _tidied(self, process: JobProcess) -> JobProcess:
        """Wait until a process has tidied up; end it if it can't go on."""
        await process.tidied()
        if not self._may_go_on(process):
            self._in_background(process.end())
        return process

    async def _start(self, process: JobProcess) -> JobProcess:
        await process.start()
        self._obstacles.started()
        return process

    def _arrived(self, coming: asyncio.Future[JobProcess]) -> None:
        """Put a process that has become usable among the idle ones, if no attempt waits for it."""
        if coming not in self._coming:
            return
        self._coming.remove(coming)
        if coming.cancelled():  # together with all tasks of the event loop
            return
        if (error := coming.exception()) is not None:
            logger.warning("a process for jobs has not started: %s", error)
        elif self._may_go_on(coming.result()):
            self._idle.append(coming.result())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _start_failed(error: Exception) -> str:
    if isinstance(error, RaisedElsewhere):
        failure = error.failure
        return f"a process for jobs has not started: {failure.type}: {failure.message}"
    return f"a process for jobs has not started: {error}"


def _log_levels() -> dict[str, int]:
    """Return the levels of the worker's loggers, so that processes send no record it would drop."""
    known = logging.getLogger().manager.loggerDict.items()
    levels = {name: log.level for name, log in known if isinstance(log, logging.Logger)}
    return {"": logging.getLogger().level} | {n: level for n, level in levels.items() if level}
