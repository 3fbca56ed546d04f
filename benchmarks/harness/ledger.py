"""The notes of a job itself, so that the driver knows which tasks really ran: one line per event.

Each line is one `write` to a file opened for appending, so it is there whatever happens to the
process or to Redis afterwards; the clock is the machine's monotonic one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

POISON = "poison"
"""A task of this label kills the process that runs it, as the kernel does when memory is out."""

START, END = "start", "end"


class Ledger:
    """The job's side.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def hold(self, label: str, seconds: float) -> str:
        """The job: write down that it starts, take its time, write down that it ends."""
        self._start(label)
        await asyncio.sleep(seconds)
        return self._end(label)

    def hold_blocking(self, label: str, seconds: float) -> str:
        """The same for libraries whose jobs are plain functions."""
        self._start(label)
        time.sleep(seconds)
        return self._end(label)

    def _start(self, label: str) -> None:
        self._write(START, label)
        if label == POISON:
            os.kill(os.getpid(), signal.SIGKILL)

    def _end(self, label: str) -> str:
        self._write(END, label)
        return label

    def _write(self, event: str, label: str) -> None:
        line = f"{event} {label} {os.getpid()} {time.monotonic_ns()}\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


@dataclass(frozen=True)
class Line:
    """One event of one execution; `at` in seconds on the monotonic clock."""

    event: str
    label: str
    pid: int
    at: float


def parse(text: str) -> list[Line]:
    """The driver's side: all lines, in the order in which they were written."""
    rows = (row.split() for row in text.splitlines())
    return [Line(event, label, int(pid), int(at) / 1e9) for event, label, pid, at in rows]


def read(path: Path) -> list[Line]:
    """Read a ledger so far; it is empty if no job has run."""
    return parse(path.read_text("utf-8")) if path.exists() else []


def times(lines: Iterable[Line], event: str, label: str) -> list[float]:
    """When an event of a task was written."""
    return [line.at for line in lines if line.event == event and line.label == label]
