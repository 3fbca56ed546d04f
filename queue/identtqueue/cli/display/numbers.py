"""Numbers, times and errors that were counted, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from identtqueue.cli.display.times import duration

if TYPE_CHECKING:
    from identtqueue.admin import Counts, Histogram

_COUNTS: Final = (
    *("enqueued", "started", "succeeded", "failed", "retried", "released", "cancelled"),
    "recovered",
)


def quantile(times: Histogram, share: float) -> str | None:
    """Write a quantile of durations; None if there are none.

    Args:
        times: the durations.
        share: from 0 to 1; 0.95 for the 95th percentile.
    """
    seconds = times.quantile(share)
    return None if seconds is None else duration(seconds * 1000)


def errors_text(errors: Mapping[str, int], most: int = 3) -> str:
    """Name the most frequent types of errors with their numbers."""
    found = sorted(errors.items(), key=lambda entry: (-entry[1], entry[0]))
    words = [f"{kind} {number}" for kind, number in found[:most]]
    return ", ".join([*words, *(["…"] if len(found) > most else [])])


def counted(counts: Counts) -> dict[str, Any]:
    """Return what was counted for JSON. Times are seconds."""
    row: dict[str, Any] = {name: getattr(counts, name) for name in _COUNTS}
    for name, times in (("wait", counts.waited), ("run", counts.ran)):
        for percent in (50, 95, 99):
            row[f"{name}_p{percent}_seconds"] = times.quantile(percent / 100)
    return row | {"errors": dict(counts.errors)}
