"""Times and durations as a person reads them. JSON has milliseconds instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_PARTS: Final = (
    (_DAY, "d", _HOUR, "h"),
    (_HOUR, "h", _MINUTE, "min"),
    (_MINUTE, "min", _SECOND, "s"),
)
"""The two units in which a duration of at least the first one is written."""


def duration(ms: float) -> str:
    """Write a duration in one or two units: `350 ms`, `2.4 s`, `1 min 20 s`, `3 h 5 min`, `2 d`.

    Args:
        ms: the duration; a negative one has a minus sign.
    """
    if ms < 0:
        return f"-{duration(-ms)}"
    if ms < _SECOND:
        return f"{ms:.0f} ms" if ms >= 10 or ms == int(ms) else f"{ms:.1f} ms"
    if ms < _MINUTE:
        return f"{ms / _SECOND:.3g} s"
    for unit_ms, unit, part_ms, part in _PARTS:
        if ms >= unit_ms:
            whole, rest = divmod(int(ms), unit_ms)
            parts = rest // part_ms
            return f"{whole} {unit} {parts} {part}" if parts else f"{whole} {unit}"
    raise AssertionError(ms)


def rough(ms: float) -> str:
    """Write a duration in one unit, whole: `5 s`, `3 min`, `2 h`, `4 d`."""
    for unit_ms, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if ms >= 2 * unit_ms:
            return f"{int(ms // unit_ms)} {unit}"
    return f"{int(ms // _SECOND)} s"


def exact(ms: int) -> str:
    """Write a time in UTC, to the millisecond: `2026-01-31 12:00:01.552 UTC`.

    Args:
        ms: ms since 1970.
    """
    try:
        moment = datetime.fromtimestamp(ms / _SECOND, UTC)
    except (ValueError, OverflowError, OSError):  # written by something else
        return f"{ms} ms since 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms % _SECOND:03} UTC"


@dataclass(frozen=True, slots=True)
class Clock:
    """The form in which the times of one output are written.

    Attributes:
        now_ms: Redis' time when the command asked, in ms since 1970.
        utc: write times in UTC. Otherwise they are written as seen from now.
    """

    now_ms: int
    utc: bool = False

    def moment(self, ms: int | None) -> str | None:
        """Write a time: `3 min ago`, `in 5 s`, `now`, or in UTC; None for None.

        Args:
            ms: ms since 1970.
        """
        if ms is None:
            return None
        return exact(ms) if self.utc else self.ago(ms)

    def ago(self, ms: int) -> str:
        """Write a time as seen from now, whatever was asked for."""
        away = ms - self.now_ms
        if abs(away) < _SECOND:
            return "now"
        return f"in {rough(away)}" if away > 0 else f"{rough(-away)} ago"
