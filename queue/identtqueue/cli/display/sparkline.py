"""Numbers over time as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """Draw a bar for each value, the largest one at full height. Zeros are blank."""
    most = max(values, default=0)
    if most <= 0:
        return " " * len(values)
    top = len(BARS) - 1
    return "".join(" " if v <= 0 else BARS[round(v / most * top)] for v in values)


def squeezed(values: Sequence[float], most: int) -> list[float]:
    """Add up neighbours, until there are at most so many values; the first group may be smaller."""
    per = -(-len(values) // most) or 1
    first = len(values) % per
    groups = [values[:first]] if first else []
    groups += [values[i : i + per] for i in range(first, len(values), per)]
    return [sum(group) for group in groups]
