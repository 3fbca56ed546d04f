"""SIGTERM while a program still starts: the time before it handles signals itself."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

_STDERR: Final = 2


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


def _exit(_number: int, _frame: object) -> None:
    # Nothing has to be given back yet. SystemExit could be caught by a module that is being
    # imported, and would wait for the threads that it has started.
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(_STDERR, b"SIGTERM while starting: nothing to stop, exiting\n")
    os._exit(0)
