"""Processes for jobs that keep a CPU busy: reused, and killed for real when an attempt is cut off.

Each is a fresh interpreter that inherits no connection and no signal handler, in a session of its
own: what signals the worker's group does not reach it, and killing its group also ends what its job
has started. It is lent to one attempt at a time. One that is given back in the middle of an attempt
is killed; one that dies fails the attempt that has it, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from identtqueue.errors import ProcessDied, ProcessNotStarted
from identtqueue.worker import pipe
from identtqueue.worker.failure import RaisedElsewhere
from identtqueue.worker.metrics import Counters
from identtqueue.worker.obstacles import CannotStart, Obstacles
from identtqueue.worker.process import JobProcess
from identtqueue.worker.reference import main_source

logger = logging.getLogger(__name__)


class Processes:
    """The processes of one worker: as many as attempts have needed one at once.

    Args:
        hooks: references to what each process calls when it starts.
        needs_main: whether a job or a hook lives in `__main__`.
        max_payload_bytes: larger results fail the task.
        max_tasks: attempts after which a process is replaced; None: never.
        counters: where they are counted.
        obstacles: where it is said that one has started.
    """

    def __init__(
        self,
        hooks: Sequence[str],
        *,
        needs_main: bool,
        max_payload_bytes: int,
        max_tasks: int | None,
        counters: Counters,
        obstacles: Obstacles,
    ) -> None:
        module, path = main_source() if needs_main else (None, None)
        self._setup = pipe.Setup(
            argv=sys.argv,
            main_module=module,
            main_path=path,
            hooks=list(hooks),
            max_payload_bytes=max_payload_bytes,
            log_levels=_log_levels(),
        )
        self._max_tasks = max_tasks
        self._counters = counters
        self._obstacles = obstacles
        self._all: set[JobProcess] = set()
        self._idle: list[JobProcess] = []
        self._left: list[asyncio.Future[JobProcess]] = []  # start or tidy up; nobody waits
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the first one, so that what keeps all from starting is known before the first task.

        Raises:
            ProcessDied, ProcessNotStarted: it did not become ready.
            RaisedElsewhere: what an import or a hook raised.
            CannotStart: the system refuses a process.
        """
        self._idle.append(await self._ready())

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[JobProcess]:
        """Lend a process to one attempt.

        Raises:
            CannotStart: there is none. The attempt is not to blame: its job was not called.
        """
        try:
            process = await self._ready()
        except (ProcessDied, ProcessNotStarted, RaisedElsewhere) as error:
            raise CannotStart(_start_failed(error)) from error
        try:
            yield process
        finally:
            if process.tidies:
                self._expect(self._tidied(process))
            elif self._may_go_on(process):
                self._idle.append(process)
            elif process.usable:
                self._in_background(process.end())
            else:
                await process.kill()

    async def close(self) -> None:
        """Let all end; those that don't are killed."""
        self._idle.clear()
        await asyncio.gather(*self._background, *(process.end() for process in self._all))
        if self._left:
            await asyncio.wait(self._left)
        await asyncio.gather(*self._background)

    async def _ready(self) -> JobProcess:
        """Give one that is idle, else one that will be and that nobody waits for, else a fresh one.

        So there are never more than attempts that run at once.
        """
        while True:
            while self._idle:
                process = self._idle.pop()  # the one that was used last: its memory is warm
                if process.usable:
                    return process
            coming = self._left.pop() if self._left else self._fresh()
            try:
                process = await asyncio.shield(coming)
            except asyncio.CancelledError:
                # Cut off while it came: that is not the process's fault, the next attempt has it.
                self._left.append(coming)
                if coming.done():
                    self._arrived(coming)
                raise
            if process.ran == 0 or self._may_go_on(process):
                return process

    def _may_go_on(self, process: JobProcess) -> bool:
        has_run_its_share = self._max_tasks is not None and process.ran >= self._max_tasks
        return process.usable and not has_run_its_share

    def _fresh(self) -> asyncio.Future[JobProcess]:
        process = JobProcess(self._setup, self._counters)
        self._all.add(process)
        process.gone.add_done_callback(lambda _: self._all.discard(process))
        coming = asyncio.ensure_future(self._start(process))
        coming.add_done_callback(self._arrived)
        return coming

    def _expect(self, coming: Coroutine[Any, Any, JobProcess]) -> None:
        """Have a process that will be usable, and that nobody waits for yet."""
        future = asyncio.ensure_future(coming)
        self._left.append(future)
        future.add_done_callback(self._arrived)

    async def _tidied(self, process: JobProcess) -> JobProcess:
        await process.tidied()
        if not self._may_go_on(process):
            self._in_background(process.end())
        return process

    async def _start(self, process: JobProcess) -> JobProcess:
        await process.start()
        self._obstacles.started()
        return process

    def _arrived(self, coming: asyncio.Future[JobProcess]) -> None:
        """Keep it, if nobody waits for it."""
        if coming not in self._left:
            return
        self._left.remove(coming)
        if coming.cancelled():  # with all the loop's tasks
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
    """Of the worker's loggers: what it would drop need not be sent."""
    known = logging.getLogger().manager.loggerDict.items()
    levels = {name: log.level for name, log in known if isinstance(log, logging.Logger)}
    return {"": logging.getLogger().level} | {n: level for n, level in levels.items() if level}
