"""Numbers and durations in at most four characters, for narrow columns."""

from __future__ import annotations

from typing import Final

NONE: Final = "-"


def number(value: float | None) -> str:
    """Write a number in at most four characters: `0.3`, `42`, `9999`, `12k`, `1.2M`; - for None."""
    if value is None:
        return NONE
    if 0 < value < 9.95 and value != int(value):
        return f"{value:.1f}"
    if value < 9_999.5:
        return f"{value:.0f}"
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        if value < 9.95 * size:
            return f"{value / size:.1f}{unit}"
        if value < 999.5 * size:
            return f"{value / size:.0f}{unit}"
    return "lots"


def duration(ms: float | None) -> str:
    """Write a duration in at most four characters: `8ms`, `0.4s`, `45s`, `12m`, `3h`, `4d`."""
    if ms is None:
        return NONE
    seconds = ms / 1000
    if ms < 99.5:
        return f"{max(0.0, ms):.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    for unit_seconds, unit in ((60, "m"), (3_600, "h"), (86_400, "d")):
        value = seconds / unit_seconds
        if value < 99.5 or unit == "d":
            return f"{value:.0f}{unit}" if value < 999.5 else "ages"
    raise AssertionError(ms)


def size(used_bytes: int) -> str:
    """Write a size in at most four characters: `900k`, `1.2M`, `12G`."""
    return number(max(1_000, used_bytes))
