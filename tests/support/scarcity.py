"""Limits of this very process, reached for real: no more threads, no more file descriptors."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def pid(_ctx: object) -> int:
    """As a job in a process: which one it is."""
    return os.getpid()


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Have the system refuse each new thread: its stack is larger than an address space."""
    before = threading.stack_size(1 << 48)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Lower the limit of open files to those that are open: EMFILE for one more."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
