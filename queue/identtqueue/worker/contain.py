"""Containment of exits: a SystemExit in any task of an attempt ends that attempt, nothing else.

asyncio treats a SystemExit or KeyboardInterrupt in any task as the end of the program: the
exception leaves `run_forever`, and everything else in the event loop stops. In a job it usually is
the `sys.exit` of a command-line helper, called in a task that the job has started (`gather`,
`TaskGroup`, `wait_for`, `create_task`).

So a task factory checks for each new task whether code of an attempt creates it. If so, the task's
coroutine is wrapped: on an exit, the wrapper reports it to the attempt and ends as if cancelled.
All other tasks stay as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Final, NoReturn, cast
from weakref import WeakKeyDictionary

import msgspec

from identtqueue.worker.running import Running

Factory = Callable[..., "asyncio.Future[Any]"]

EXITS: Final = (SystemExit, KeyboardInterrupt)

current: Final[ContextVar[Running | None]] = ContextVar("identtqueue attempt", default=None)
"""The attempt whose code is running. Its tasks, callbacks and threads inherit the variable."""


class _Installed(msgspec.Struct):
    """The task factory that this module has installed in one event loop, and how many use it."""

    before: Factory | None
    ours: Factory
    workers: int = 0


_installed: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Installed]] = WeakKeyDictionary()


class Contained(Coroutine[Any, Any, Any]):
    """Wrapper around the coroutine of a task that an attempt has started.

    Args:
        inner: the job's own coroutine.
        owner: the attempt that started the task.
    """

    __slots__ = ("__weakref__", "inner", "owner")

    def __init__(self, inner: Coroutine[Any, Any, Any], owner: Running) -> None:
        self.inner = inner
        self.owner = owner

    def send(self, value: Any) -> Any:
        """Resume the coroutine until its next await."""
        try:
            return self.inner.send(value)
        except EXITS as error:
            self._exit(error)

    def throw(self, *error: Any) -> Any:
        """Raise an exception in the coroutine, and run it until its next await."""
        try:
            return self.inner.throw(*error)
        except EXITS as exit_:
            self._exit(exit_)

    def close(self) -> None:
        """Close the coroutine."""
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()

    def __getattr__(self, name: str) -> Any:
        """Return the coroutine's attributes that tools read: `cr_frame`, `cr_code` and so on."""
        return getattr(self.inner, name)

    def _exit(self, error: BaseException) -> NoReturn:
        self.owner.exited(self.owner, error)
        raise asyncio.CancelledError(f"a task of the job raised {type(error).__name__}")


@contextlib.contextmanager
def exits_contained(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Contain exits of attempts in this event loop, within a `with` block.

    Several workers may share a loop.
    """
    place = _installed.get(loop)
    if place is None:
        before = cast("Factory | None", loop.get_task_factory())
        place = _installed[loop] = _Installed(before, _factory(before))
        loop.set_task_factory(cast("Any", place.ours))
    place.workers += 1
    try:
        yield
    finally:
        place.workers -= 1
        if not place.workers:
            del _installed[loop]
            if loop.get_task_factory() is place.ours:  # keep one that was set in the meantime
                loop.set_task_factory(cast("Any", place.before))


def _factory(before: Factory | None) -> Factory:
    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        owner = current.get()
        if owner is not None:
            coroutine = Contained(coroutine, owner)
        if before is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        return before(loop, coroutine, **options)

    return make
