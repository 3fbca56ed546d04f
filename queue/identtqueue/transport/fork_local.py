"""An object of which each process has its own, also after a fork."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from identtqueue.transport.home import fork_number, leave_behind


class Releasable(Protocol):
    """A blocking client, or a part of one."""

    def close(self) -> None:
        """Close its connections."""


C = TypeVar("C", bound=Releasable)


class ForkLocal(Generic[C]):
    """A holder of an object that belongs to one process.

    The object is closed at the latest when the holder is collected.

    Args:
        make: creates the object. Two threads may call it at the same time, and one of the two
            objects is dropped, so it must not open anything yet.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._by_fork: dict[int, C] = {}

    @property
    def here(self) -> C:
        """The object of this process."""
        number = fork_number()
        here = self._by_fork.get(number)
        if here is not None:
            return here
        # In a forked process, the parent's object and its locks stay untouched. No lock is taken
        # here either, since a thread of the parent may have held it at the fork.
        for fork, inherited in list(self._by_fork.items()):
            if fork != number:
                leave_behind(inherited)
        made = self._make()
        here = self._by_fork.setdefault(number, made)  # another thread may have been faster
        if here is made:
            weakref.finalize(self, _close, made, number)
        return here


def _close(made: Releasable, fork: int) -> None:
    """Close an object, unless it is the parent's: that would send on the parent's connections."""
    if fork == fork_number():
        made.close()
