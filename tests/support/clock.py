"""The time of day of a host, as its processes see it: libfaketime, changed while they run.

Only CLOCK_REALTIME jumps. CLOCK_MONOTONIC does not, as on a real host: the kernel promises it.
"""

from __future__ import annotations

from pathlib import Path


def _library() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


LIBRARY = _library()
"""From Debian's package `faketime` (`make setup` installs it); None: there is none."""


class HostClock:
    """What processes started with `environ` take for the time of day.

    Args:
        file: holds the offset; the processes read it each time that they look at the clock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    @property
    def environ(self) -> dict[str, str]:
        """For the processes of this host."""
        assert LIBRARY is not None
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """From now on the clock shows so much more (or less) than the real time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._file)
