"""Everything that one attempt has started in a process for jobs, so that it can be ended."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import signal
import weakref
from concurrent.futures import Future
from types import AsyncGeneratorType
from typing import Any, Final, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIDY_SECONDS: Final = 5.0
"""How long the leftovers of an attempt may take to end. After that the process is replaced."""

NO_TIMER: Final = (0.0, 0.0)

begun_by: Final[contextvars.ContextVar[Scope | None]] = contextvars.ContextVar(
    "identtqueue_begun_by", default=None
)
"""The attempt whose code is running, if any. All that its code starts inherits the variable."""


class Scope:
    """Record of everything that one attempt has started.

    Args:
        context: the context that the attempt runs in.
    """

    def __init__(self, context: contextvars.Context) -> None:
        self.context = context
        self.ran_in_loop = False
        self.had_last_turn = False  # of the loop, after its coroutine had returned
        self._over = False
        # Made when needed: most attempts start nothing, and three such sets cost 6 µs.
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self._generators: weakref.WeakSet[AsyncGeneratorType[Any, Any]] | None = None
        self._calls: weakref.WeakSet[Future[Any]] | None = None
        self._timer = signal.getitimer(signal.ITIMER_REAL)
        context.run(begun_by.set, self)

    def add_task(self, task: asyncio.Task[Any]) -> None:
        """Note a task. One that a timer starts after the attempt was tidied up is cancelled."""
        self._tasks = _with(task, self._tasks)
        if self._over:
            task.cancel()

    def add_call(self, call: Future[Any]) -> None:
        """Note a call in the default executor."""
        self._calls = _with(call, self._calls)

    def add_generator(self, generator: AsyncGeneratorType[Any, Any]) -> None:
        """Note an async generator that is iterated for the first time."""
        self._generators = _with(generator, self._generators)

    def stop_timer(self) -> None:
        """Stop an alarm timer that the attempt has started: it would interrupt a later attempt."""
        if self._timer == NO_TIMER and signal.getitimer(signal.ITIMER_REAL) != NO_TIMER:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def close(self) -> None:
        """Note that the attempt has ended, and release its context variables."""
        self._over = True
        self.context = contextvars.Context()  # the old one refers to this scope: break the cycle

    def left(self) -> list[str]:
        """Name the tasks, calls and generators of the attempt that have not ended."""
        tasks = [f"task {task.get_name()} ({_code_of(task)})" for task in self._pending()]
        calls = ["a call in the default executor" for call in self._calls or () if not call.done()]
        generators = [
            f"async generator {generator.__qualname__}" for generator in self._suspended()
        ]
        return sorted(tasks) + calls + sorted(generators)

    async def end(self) -> None:
        """Cancel all tasks and calls, close all generators, and wait at most `TIDY_SECONDS`.

        After half of that time, tasks are cancelled a second time. A task in which a generator
        closes is only cancelled then.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        for call in self._calls or ():
            call.cancel()  # so a call that still waits for a thread never starts
        calls = [asyncio.wrap_future(call) for call in self._calls or () if not call.done()]
        last = began + TIDY_SECONDS
        for until in (began + TIDY_SECONDS / 2, last):
            for task in self._pending():
                if until == last or not _closes_a_generator(task):
                    task.cancel()
            while (rest := self._pending() + [c for c in calls if not c.done()]) and (
                (seconds := until - loop.time()) > 0
            ):
                await asyncio.wait(rest, timeout=seconds)
        for generator in self._suspended():
            closing = loop.create_task(_close(generator))
            if self._tasks is not None:
                self._tasks.discard(closing)
            await asyncio.wait([closing], timeout=last - loop.time())
            closing.cancel()

    def _pending(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks or () if not task.done()]

    def _suspended(self) -> list[AsyncGeneratorType[Any, Any]]:
        return [generator for generator in self._generators or () if generator.ag_frame is not None]


def _with(one: T, others: weakref.WeakSet[T] | None) -> weakref.WeakSet[T]:
    members: weakref.WeakSet[T] = weakref.WeakSet() if others is None else others
    members.add(one)
    return members


def _code_of(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "unknown")


def _closes_a_generator(task: asyncio.Task[Any]) -> bool:
    """Return whether the loop made this task to close a generator that is no longer referenced."""
    return not inspect.iscoroutine(task.get_coro())


async def _close(generator: AsyncGeneratorType[Any, Any]) -> None:
    try:
        await generator.aclose()
    except Exception:
        logger.exception("closing async generator %s", generator.__qualname__)
