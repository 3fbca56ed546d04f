"""How many jobs have run, and when: the job itself says so, in the same way for every library.

Each job appends the time at which it ran to one file. Appending is atomic, so threads and processes
share it; the clock is the machine's monotonic one, so the times of several processes compare.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

STAMP = struct.Struct("=q")


class Tally:
    """The worker's side.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def count(self) -> None:
        """One job runs, now."""
        os.write(self._file, STAMP.pack(time.monotonic_ns()))


@dataclass(frozen=True)
class Span:
    """`jobs` jobs have run between two points in time (ns)."""

    jobs: int
    first: int
    last: int

    @property
    def rate(self) -> float:
        """Jobs per second; the first one only starts the clock."""
        return (self.jobs - 1) / max(1e-9, (self.last - self.first) / 1e9)


def jobs_in(path: Path) -> int:
    """How many have run so far."""
    return path.stat().st_size // STAMP.size if path.exists() else 0


def span(path: Path, start: int = 0, end: int | None = None) -> Span:
    """Jobs `start` to `end`, in the order in which they ran."""
    data = path.read_bytes()
    times = [stamp for (stamp,) in STAMP.iter_unpack(data[: len(data) // STAMP.size * STAMP.size])]
    times = sorted(times)[start:end]
    return Span(len(times), times[0], times[-1])
