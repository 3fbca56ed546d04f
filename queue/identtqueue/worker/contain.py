"""Exits stay in the attempt that they happen in, whichever of its tasks they happen in.

asyncio takes a SystemExit or KeyboardInterrupt in any task for the end of the program: it leaves
the event loop through `run_forever`, with everything else that runs there. In a job it is mostly a
command-line helper's `sys.exit`, called in a task that the job has started (`gather`, `TaskGroup`,
`wait_for`, `create_task`). It must end that attempt, and nothing else.

So the loop's task factory looks where each task is made. Tasks of an attempt run in a coroutine
that tells the attempt of an exit and ends as a cancelled one. All others are left as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast
from weakref import WeakKeyDictionary

from identtqueue.worker.running import Running

Factory = Callable[..., "asyncio.Future[Any]"]

EXITS: Final = (SystemExit, KeyboardInterrupt)

current: Final[ContextVar[Running | None]] = ContextVar("identtqueue attempt", default=None)
"""The attempt whose code runs; its tasks, callbacks and threads inherit it."""


@dataclass
class _Installed:
    """Our task factory in one event loop."""

    before: Factory | None
    ours: Factory
    workers: int = 0


_installed: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Installed]] = WeakKeyDictionary()


class Contained(Coroutine[Any, Any, Any]):
    """The coroutine of a task that an attempt has started.

    Args:
        inner: what the job wants to run.
        owner: the attempt.
    """

    __slots__ = ("__weakref__", "inner", "owner")

    def __init__(self, inner: Coroutine[Any, Any, Any], owner: Running) -> None:
        self.inner = inner
        self.owner = owner

    def send(self, value: Any) -> Any:
        """Run on to the next await."""
        try:
            return self.inner.send(value)
        except EXITS as error:
            self._exit(error)

    def throw(self, *error: Any) -> Any:
        """Run on with an exception."""
        try:
            return self.inner.throw(*error)
        except EXITS as exit_:
            self._exit(exit_)

    def close(self) -> None:
        """End it."""
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()

    def __getattr__(self, name: str) -> Any:
        """Give what tools look at: `cr_frame`, `cr_code` and so on."""
        return getattr(self.inner, name)

    def _exit(self, error: BaseException) -> NoReturn:
        self.owner.exited(self.owner, error)
        raise asyncio.CancelledError(f"a task of the job raised {type(error).__name__}")


@contextlib.contextmanager
def exits_contained(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Contain exits of attempts in this loop, for so long. Several workers may share a loop."""
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
            if loop.get_task_factory() is place.ours:  # somebody else's, set meanwhile, stays
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
