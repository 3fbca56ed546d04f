"""The queues in Redis behind a queue of Django, one for each band of priorities. Pure.

Django has 201 priorities, from -100 to 100. A list in Redis has none, so priorities form three
bands, and each band is a queue of its own: `emails.high` for priorities above 0, `emails` for 0,
and `emails.low` for those below 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from identtqueue.errors import InvalidInput
from identtqueue.task import check_queue_name

HIGH: Final = ".high"
NORMAL: Final = ""
LOW: Final = ".low"

BANDS: Final = (HIGH, NORMAL, LOW)
"""The suffixes of the three bands, the highest first."""


def band_of(priority: int) -> str:
    """Return the band of a priority."""
    return HIGH if priority > 0 else LOW if priority < 0 else NORMAL


def redis_queue(queue: str, priority: int) -> str:
    """Name the queue in Redis for tasks of a Django queue with this priority."""
    return queue + band_of(priority)


def django_queue(name: str) -> tuple[str, str]:
    """Split the name of a queue in Redis into Django's queue and the band."""
    for band in (HIGH, LOW):
        if name.endswith(band):
            return name.removesuffix(band), band
    return name, NORMAL


def check_queue(queue: str) -> None:
    """Check the name of a Django queue.

    Raises:
        InvalidInput: it, or the name of one of its bands, breaks the rule for queue names.
    """
    for band in (HIGH, LOW):
        if isinstance(queue, str) and queue.endswith(band):
            raise InvalidInput(
                f"queue {queue!r}: names that end in {band!r} are taken by the priorities of "
                f"the queue {queue.removesuffix(band)!r}: use another name"
            )
    check_queue_name(queue)
    check_queue_name(queue + HIGH)


def in_strict_order(queues: Iterable[str]) -> list[str]:
    """List the queues in Redis, those of the highest band first."""
    names = list(queues)
    return [name + band for band in BANDS for name in names]
