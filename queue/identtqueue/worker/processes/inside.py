"""Whether this process runs jobs for a worker. To ask that, a worker need not load `child`."""

from __future__ import annotations

_inside = False


def enter() -> None:
    """Note that this process runs jobs for a worker, for the rest of its life."""
    global _inside  # noqa: PLW0603 - one for each operating-system process
    _inside = True


def is_child() -> bool:
    """Return whether this process runs jobs for a worker."""
    return _inside
