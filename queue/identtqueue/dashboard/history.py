"""The numbers of the last day, in steps of five minutes.

Steps that are over do not change. So each is read from Redis once, and a look at a queue costs the
minutes of the last steps only.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from identtqueue.admin import Admin, Counts

STEP_MINUTES: Final = 5
STEP_MS: Final = STEP_MINUTES * 60_000
STEPS_PER_HOUR: Final = 60 // STEP_MINUTES
HOURS: Final = 24
_RECENT_STEPS: Final = 3
_OPEN_STEPS: Final = 2
"""The newest steps are read each time: workers report up to some seconds late."""
_MOST_COURSES: Final = 300

NOTHING_HAPPENED: Final = Counts()


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """Five minutes: when they began (ms since 1970), and what happened."""

    at_ms: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Course:
    """Steps without a gap, the oldest first; the last one is not over.

    Attributes:
        steps: at least three.
        now_ms: until when the last step was read.
    """

    steps: tuple[HistoryStep, ...]
    now_ms: int

    @property
    def recent(self) -> Counts:
        """The numbers of the last ten to fifteen minutes."""
        return sum((step.counts for step in self.steps[-_RECENT_STEPS:]), NOTHING_HAPPENED)

    @property
    def recent_minutes(self) -> float:
        """How many minutes that is."""
        return max(1.0, (self.now_ms - self.steps[-_RECENT_STEPS].at_ms) / 60_000)

    def __add__(self, other: Course) -> Course:
        """Add the course of another queue."""
        counts = {step.at_ms: step.counts for step in other.steps}
        steps = tuple(
            HistoryStep(step.at_ms, step.counts + counts.get(step.at_ms, NOTHING_HAPPENED))
            for step in self.steps
        )
        return Course(steps, max(self.now_ms, other.now_ms))


class History:
    """The courses of queues and jobs.

    Args:
        admin: asks Redis.
        clock: the time in s since 1970.
    """

    def __init__(self, admin: Admin, clock: Callable[[], float] = time.time) -> None:
        self._admin = admin
        self._clock = clock
        self._known: OrderedDict[tuple[str, str | None], dict[int, Counts]] = OrderedDict()

    async def course(self, queue: str, job: str | None = None, *, hours: int = HOURS) -> Course:
        """Return what happened to a queue, or to one of its jobs.

        Args:
            queue: name of the queue.
            job: name of the job; None: all of them.
            hours: how far back, 24 at most.
        """
        now_ms = round(self._clock() * 1000)
        newest = now_ms - now_ms % STEP_MS
        first = newest - (min(hours, HOURS) * STEPS_PER_HOUR - 1) * STEP_MS
        known = self._known.pop((queue, job), {})
        wanted = range(first, newest + 1, STEP_MS)
        since = next((at for at in wanted if at not in known), newest)
        since = min(since, newest - _OPEN_STEPS * STEP_MS)
        found = {at: NOTHING_HAPPENED for at in wanted if at >= since}
        series = await self._admin.series(queue, job=job, step="minute", since_ms=since)
        for point in series.points:
            at = point.at_ms - point.at_ms % STEP_MS
            if at in found:
                found[at] += point.total
        known = {at: known[at] for at in wanted if at < since} | found
        closed = newest - _OPEN_STEPS * STEP_MS
        self._known[queue, job] = {at: counts for at, counts in known.items() if at < closed}
        while len(self._known) > _MOST_COURSES:
            self._known.popitem(last=False)
        return Course(tuple(HistoryStep(at, known[at]) for at in wanted), now_ms)
