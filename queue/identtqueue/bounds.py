"""The bounds of the numbers that users give: settings, options, delays.

`checks` turns these questions into errors. They stand apart because `errors` itself needs them.
"""

from __future__ import annotations

from typing import Final

LONGEST_SECONDS: Final = 100 * 365 * 86_400.0
"""Upper bound for every duration. Larger values would overflow Redis' 64-bit milliseconds."""


def is_number(value: object, kind: type[float] = float) -> bool:
    """Return whether a value is a number from 0 to LONGEST_SECONDS.

    Args:
        value: the value to check. A bool, nan and None are not numbers.
        kind: `int` for whole numbers only; `float` accepts an int as well.
    """
    if not isinstance(value, kind | int) or isinstance(value, bool):
        return False
    return 0 <= value <= LONGEST_SECONDS
