"""Real shortages in this process: no more threads, or no more file descriptors."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def pid(_ctx: object) -> int:
    """Return the id of the process, as a job that runs in one."""
    return os.getpid()


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Make the system refuse new threads, because their stack would not fit the address space."""
    before = threading.stack_size(1 << 48)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Lower the limit of open files to those that are open, so one more raises EMFILE."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
