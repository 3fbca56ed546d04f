"""The pause before the next attempt at something that failed."""

import random


def pause_after(failures: int, bounds: tuple[float, float]) -> float:
    """Return the seconds to wait, jittered by a quarter so that thousands don't return in step.

    Args:
        failures: in a row, 1 or more.
        bounds: the first pause and the longest, in seconds; in between it doubles.
    """
    first, longest = bounds
    return min(longest, first * float(2 ** min(failures - 1, 10))) * (0.75 + random.random() / 2)
