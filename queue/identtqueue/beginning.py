"""SIGTERM while a program still starts: the time before it handles signals itself."""

from __future__ import annotations

import os
import signal
import sys


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process at once with exit code 0, until another handler is installed.

    Linux drops a SIGTERM that process 1 of a container does not handle (pid_namespaces(7)). A
    worker whose pod is deleted while it still imports the application would miss it, take tasks,
    and be killed in the middle of them when the pod's grace time is over. Call this first, before
    anything that takes time; only the main thread can.
    """
    signal.signal(signal.SIGTERM, _exit)


def _exit(_number: int, _frame: object) -> None:
    # Nothing has to be given back yet. SystemExit could be caught by a module that is being
    # imported, and would wait for the threads that it has started.
    os.write(sys.stderr.fileno(), b"SIGTERM while starting: nothing to stop, exiting\n")
    os._exit(0)
