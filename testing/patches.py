"""Process-wide state that tests change, and a way to put it back."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import redis
import redis.asyncio


def process_wide() -> dict[str, object]:
    """Return what all tests of a process share, and tools and applications like to replace."""
    return {
        "Logger.callHandlers": logging.Logger.callHandlers,
        "record factory": logging.getLogRecordFactory(),
        "logger class": logging.getLoggerClass(),
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "Thread.start": threading.Thread.start,
        "Popen.__init__": subprocess.Popen.__init__,
        "Redis.execute_command": redis.Redis.execute_command,
        "asyncio's Redis.execute_command": redis.asyncio.Redis.execute_command,
        "collection of garbage": gc.isenabled(),
        "working directory": Path.cwd(),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "SIGINT": signal.getsignal(signal.SIGINT),
    }


@contextmanager
def undone(package: str) -> Iterator[None]:
    """Take back what a package replaces meanwhile: functions of modules and classes.

    Args:
        package: the package whose functions take the place of others. Sentry's SDK, for one, has
            no way to take them back.
    """
    before = dict(_functions(package))
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    for (owner, name), function in _functions(package):
        known = before.get((owner, name))
        if known is not None and known is not function:
            setattr(owner, name, known)


def _functions(package: str) -> Iterator[tuple[tuple[object, str], object]]:
    """Find the functions of all modules and their classes, but the package's own."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == package:
            continue
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if type(value) is FunctionType:
                yield (module, name), value
            elif issubclass(type(value), type) and vars(value).get("__module__") == module_name:
                for part, function in list(vars(value).items()):
                    if type(function) is FunctionType:
                        yield (value, part), function
