"""Values as people read them: numbers, durations, moments; and text that cannot mislead."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

NOTHING: Final = "\u2013"
"""Shown where there is no value."""

_MISLEADING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, characters that change the direction of text, invisible ones, and halves of
characters: a browser would not show them, or would show other text than there is."""


def plain(value: Any) -> Any:
    r"""Make text show what it holds: `\u202e` instead of text that runs backwards.

    It is applied to all that templates print. HTML of our own stays as it is.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _MISLEADING.sub(lambda found: repr(found[0])[1:-1], value)


def number(value: float | None) -> str:
    """Write a number: 1,234; 0.25; 12.3."""
    if value is None:
        return NOTHING
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"


def duration(milliseconds: float | None) -> str:
    """Write a duration in two units at most: 380 ms; 3.2 s; 4 min 10 s; 2 h 5 min; 3 d 4 h."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 0:
        return f"-{duration(-milliseconds)}"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, name, small, small_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def seconds(value: float | None) -> str:
    """Write a duration that is given in seconds."""
    return NOTHING if value is None else duration(value * 1_000)


def moment(milliseconds: int | None) -> str:
    """Write a moment, ms since 1970. The browser's script shows how long ago it is."""
    if milliseconds is None:
        return NOTHING
    try:
        at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{milliseconds} ms"
    return Markup('<time datetime="{}" data-ms="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        milliseconds,
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
    )


def size(byte_count: float | None) -> str:
    """Write a number of bytes: 512 B; 1.5 KiB; 230 MiB."""
    if byte_count is None:
        return NOTHING
    value, units = float(byte_count), ["TiB", "GiB", "MiB", "KiB", "B"]
    unit = units.pop()
    while value >= 1_024 and units:
        value, unit = value / 1_024, units.pop()
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def plural(count: int, one: str, many: str = "") -> str:
    """Write a number of things: 1 task, 2 tasks."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def fold(text: str, length: int = 120) -> str:
    """Shorten a text in its middle, so that its end can be read too."""
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[-tail:]}"
