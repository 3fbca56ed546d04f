"""Where connections live: in one event loop of one process.

A client is often made once per module, and then meets a second `asyncio.run`, a forked worker or a
thread with a loop of its own. Connections can follow to the first two, as the old place is gone.
They can't be in two places at once, and a client that tried would hang, or fail after its task
was enqueued.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from identtqueue.errors import InvalidInput

T = TypeVar("T")

_LEFT_BEHIND: Final[list[Any]] = []
"""What a parent process had open, in its child. It is kept for ever: if it were collected, it would
close itself, and so take the parent's sockets out of the parent's event loop."""


class _Forks:
    """The number of forks between this process and the first one: cheaper to ask than the pid."""

    def __init__(self) -> None:
        self.number = 0
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
            os.register_at_fork(after_in_child=self._count)

    def _count(self) -> None:
        self.number += 1


_FORKS: Final = _Forks()


def fork_number() -> int:
    """A number that differs between a process and its forks."""
    return _FORKS.number


def leave_behind(thing: object) -> None:
    """Keep what belongs to the parent process, untouched, until this one ends."""
    _LEFT_BEHIND.append(thing)


class Home(Generic[T]):
    """What lives in one event loop, and is made anew where that loop is gone.

    Args:
        make: makes it; called in the loop.
        owner: the name of the class that has it, for the error.
    """

    def __init__(self, make: Callable[[], T], owner: str) -> None:
        self._make = make
        self._owner = owner
        self._fork = fork_number()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made: T | None = None

    @property
    def here(self) -> T:
        """What belongs to the running loop.

        Raises:
            InvalidInput: it belongs to another loop, which is not closed.
            RuntimeError: no loop runs.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._fork == _FORKS.number:
            return self._made  # type: ignore[return-value]  # made with the loop
        return self._move(loop)

    def _move(self, loop: asyncio.AbstractEventLoop) -> T:
        if self._fork != _FORKS.number:
            # The lock may be the parent's too, held by a thread that this process does not have.
            leave_behind((self._lock, self._loop, self._made))
            self._lock = threading.Lock()
            self._loop = self._made = None
            self._fork = _FORKS.number
        with self._lock:
            if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
                raise InvalidInput(
                    f"this {self._owner} belongs to another event loop, which is still open. Make "
                    f"one {self._owner} per event loop, or hand the work to its loop with "
                    "asyncio.run_coroutine_threadsafe. Threads without a loop use SyncClient, or "
                    "enqueue_sync of an App's job"
                )
            if self._loop is not loop or self._made is None:
                self._made = self._make()
                self._loop = loop
            return self._made
