"""The schedules in force, pure: minReplicas by the time of day.

A schedule is in force from a firing of `start` until the next firing of `end`, or for
`durationSeconds`. Both are looked up anew at each look, so nothing has to be remembered, and an
operator that was down at the boundary is right at its first look.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from identtqueue.schedule import CronExpression
from identtqueue_operator.api.v1alpha1 import Schedule


@dataclass(frozen=True, slots=True)
class InForce:
    """A schedule that is in force, and until when (seconds since the epoch)."""

    schedule: Schedule
    until: float | None
    """None: its `end` never comes again."""


def in_force(schedules: Iterable[Schedule], at: float) -> InForce | None:
    """Return the schedule in force that asks for most; None if there is none."""
    found = [InForce(each, _end(each, at)) for each in schedules if _is_in_force(each, at)]
    return max(found, key=lambda each: each.schedule.min_replicas, default=None)


def next_boundary(schedules: Iterable[Schedule], at: float) -> float | None:
    """Return when a schedule begins or ends next (seconds since the epoch); None if never."""
    times = [
        time
        for each in schedules
        for time in (
            _firings.around(each.start, each.time_zone, at).following,
            _end(each, at) if _is_in_force(each, at) else None,
        )
        if time is not None
    ]
    return min(times, default=None)


def _is_in_force(schedule: Schedule, at: float) -> bool:
    started = _firings.around(schedule.start, schedule.time_zone, at).last
    if started is None:
        return False
    if schedule.end is None:
        return at < started + (schedule.duration_seconds or 0)
    ended = _firings.around(schedule.end, schedule.time_zone, at).last
    return ended is None or started > ended


def _end(schedule: Schedule, at: float) -> float | None:
    """Return when a schedule that is in force ends, unless it starts again before."""
    if schedule.end is not None:
        return _firings.around(schedule.end, schedule.time_zone, at).following
    started = _firings.around(schedule.start, schedule.time_zone, at).last
    return None if started is None else started + (schedule.duration_seconds or 0)


@dataclass(frozen=True, slots=True)
class Firings:
    """The firings of an expression around a time, true from `since` until `following`."""

    since: float
    last: float | None
    following: float | None


MOST_KNOWN = 4096


class KnownFirings:
    """The firings that were searched for last.

    A search takes most of a millisecond, and its result holds until the next firing has come.

    Args:
        most: how many expressions are remembered.
    """

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._known: dict[tuple[str, str], Firings] = {}

    def __len__(self) -> int:
        """Count the expressions that are remembered."""
        return len(self._known)

    def around(self, text: str, time_zone: str, at: float) -> Firings:
        """Return the last firing until a time, and the next one after it.

        Args:
            text: cron expression.
            time_zone: its time zone, by IANA's name.
            at: seconds since the epoch.
        """
        known = self._known.get((text, time_zone))
        if known is None or at < known.since or (known.following or math.inf) <= at:
            expression = _expression(text, time_zone)
            last = expression.last_until(at)
            known = Firings(at if last is None else last, last, expression.next_after(at))
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[text, time_zone] = known
        return known


_firings = KnownFirings()


@lru_cache(maxsize=4096)
def _expression(text: str, timezone: str) -> CronExpression:
    return CronExpression(text, timezone)
