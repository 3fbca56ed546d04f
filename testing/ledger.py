"""Ledger: a file into which jobs write one line per event, so that tests know what really ran.

A line is written with one `write` to a file that is opened for appending. So it is there whatever
happens to the process afterwards.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.waiting import LONG_SECONDS, eventually

VARIABLE = "IDENTTQUEUE_TEST_LEDGER"
"""Environment variable with the path of a worker process' ledger."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event of one attempt."""

    event: str  # "start" or "end"
    task_id: str
    attempt: int
    pid: int
    at: float
    """`time.monotonic()`, a clock that all processes share and that never jumps."""


class Ledger:
    """File of lines that any number of processes write.

    Lines that were read are kept in memory, because a long run asks often and its file has hundreds
    of thousands of lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._lines: list[Line] = []
        self._first_starts: dict[str, Line] = {}

    @classmethod
    def of_this_process(cls) -> Ledger:
        """Open the ledger that the environment names."""
        return cls(Path(os.environ[VARIABLE]))

    def write(self, event: str, task_id: str, attempt: int) -> None:
        """Add a line."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            line = f"{event} {task_id} {attempt} {os.getpid()} {time.monotonic():.6f}\n"
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[Line]:
        """Return all lines so far."""
        self._catch_up()
        return list(self._lines)

    def first_start(self, task_id: str) -> Line | None:
        """Find the line of a task's first start."""
        self._catch_up()
        return self._first_starts.get(task_id)

    def _catch_up(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_bytes)
                new = file.read()
        except FileNotFoundError:
            return
        new = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(new)
        for row in new.decode().splitlines():
            event, task_id, attempt, pid, at = row.split()
            line = Line(event, task_id, int(attempt), int(pid), float(at))
            self._lines.append(line)
            if event == "start":
                self._first_starts.setdefault(task_id, line)

    def starts(self) -> list[Line]:
        """List the lines of attempts that have started."""
        return [line for line in self.lines() if line.event == "start"]

    def ends(self) -> list[Line]:
        """List the lines of attempts whose job came to its end."""
        return [line for line in self.lines() if line.event == "end"]

    def repeats(self) -> dict[str, int]:
        """Count the starts of tasks that started more than once."""
        counts = Counter(line.task_id for line in self.starts())
        return {task_id: number for task_id, number in counts.items() if number > 1}

    async def wait_for(
        self, condition: Callable[[Ledger], Any], what: str, *, seconds: float = LONG_SECONDS
    ) -> Any:
        """Wait until a condition on the ledger is true; return its value."""
        return await eventually(
            lambda: condition(self),
            lambda: f"{what}; the ledger has {self.lines()[-20:]}",
            seconds=seconds,
        )
