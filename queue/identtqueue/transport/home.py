"""The owner of connections. They belong to one event loop of one process.

A client is often created once per module, and then used in a second `asyncio.run`, in a forked
process, or in a thread with its own loop. In the first two cases new connections are opened, since
the old loop or process is gone. In the third case both loops are alive, and a client that used its
connections in both would hang, or fail after its task was enqueued. So that is an error.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from identtqueue.errors import InvalidInput

T = TypeVar("T")

_LEFT_BEHIND: Final[list[Any]] = []
"""Connections of a parent process, in its child. They are kept for ever: if they were collected,
they would close, and that would remove the parent's sockets from the parent's event loop."""


class _Forks:
    """A counter of the forks between this process and the first one; it is cheaper than the pid."""

    def __init__(self) -> None:
        self.number = 0
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
            os.register_at_fork(after_in_child=self._count)

    def _count(self) -> None:
        self.number += 1


_FORKS: Final = _Forks()


def fork_number() -> int:
    """Return a number that differs between a process and its forks."""
    return _FORKS.number


def leave_behind(thing: object) -> None:
    """Keep an object of the parent process untouched until this process ends."""
    _LEFT_BEHIND.append(thing)


def detached(coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
    """Start a task that serves all callers of a connection, and so belongs to none of them.

    It gets a context of its own. Otherwise it would keep the context variables of the caller that
    happened to come first, and in a process for jobs it would end with the attempt that came first.

    Args:
        coroutine: what the task runs.
        name: name of the task.
    """
    loop = asyncio.get_running_loop()
    return contextvars.Context().run(loop.create_task, coroutine, name=name)


class Home(Generic[T]):
    """A holder of an object that belongs to one event loop, and is recreated if that loop is gone.

    Args:
        make: creates the object; called in the loop.
        owner: name of the class that uses the object, for the error.
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
        """The object of the running loop.

        Raises:
            InvalidInput: the object belongs to another loop, which is not closed.
            RuntimeError: no loop runs.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._fork == _FORKS.number:
            return self._made  # type: ignore[return-value]  # made with the loop
        return self._move(loop)

    def _move(self, loop: asyncio.AbstractEventLoop) -> T:
        if self._fork != _FORKS.number:
            # The lock is the parent's, too. A thread that this process does not have may hold it.
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
