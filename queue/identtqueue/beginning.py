"""A program while it still starts: how it ends on SIGTERM, and how seldom it looks for garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from typing import Final

_STDERR: Final = 2

STARTING: Final = 100_000
"""So many new objects make Python look for garbage during a start. Imports make 70,000 and hardly
any garbage. Yet an application that makes much of it in its imports shall not fill the memory."""

_usual: Final = gc.get_threshold()


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process at once with exit code 0, until another handler is installed.

    Linux drops a SIGTERM that process 1 of a container does not handle (pid_namespaces(7)). A
    worker whose pod is deleted while it still imports the application would miss it, take tasks,
    and be killed in the middle of them when the pod's grace time is over. Call this first, before
    anything that takes time; only the main thread can.
    """
    signal.signal(signal.SIGTERM, _exit)


def undo_exit_on_sigterm() -> None:
    """Let SIGTERM kill this process again: a command that is cut off must not exit with 0."""
    if signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def collect_seldom() -> None:
    """Let Python look for garbage seldom, until `collect_as_usual`. A program calls this first.

    Each look goes through what the imports have made, and finds nothing.
    """
    gc.set_threshold(STARTING, *_usual[1:])


def collect_as_usual(*, freeze: bool = False) -> None:
    """Let Python look for garbage as usual, unless the application has changed that meanwhile.

    Args:
        freeze: leave out what there is now whenever Python looks for garbage. Modules, classes and
            functions live as long as the process, and looking at them interrupts its tasks.
    """
    if gc.get_threshold() != (STARTING, *_usual[1:]):
        return
    gc.set_threshold(*_usual)
    if freeze:
        gc.freeze()


def _exit(_number: int, _frame: object) -> None:
    # Nothing has to be given back yet. SystemExit could be caught by a module that is being
    # imported, and would wait for the threads that it has started.
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(_STDERR, b"SIGTERM while starting: nothing to stop, exiting\n")
    os._exit(0)
