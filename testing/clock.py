"""Clocks that a test sets: one that is given to a part, and the one of a host.

libfaketime changes the time of day of a host's processes while they run. Only CLOCK_REALTIME jumps.
As on a real host, CLOCK_MONOTONIC does not.
"""

from __future__ import annotations

from pathlib import Path


def _library() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


LIBRARY = _library()
"""Path of libfaketime from Debian's package `faketime`, which `make setup` installs; None: none."""


class StoppedClock:
    """Time in seconds, which goes on when the test says so.

    Args:
        now: the time at first.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class HostClock:
    """Time of day for processes that are started with `environ`.

    Args:
        file: file with the offset, which the processes read each time they look at the clock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables for the processes of this host."""
        assert LIBRARY is not None
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock ahead of the real time by this much, or behind it if negative."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._file)
