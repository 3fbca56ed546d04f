"""Counters by job: what happened to the tasks of each job since the exporter was started.

Redis counts per minute and forgets a minute after a day, so the exporter adds the minutes up. They
begin at 0 with its process, as Prometheus expects of a counter, and follow the minutes that ended
while nobody has asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from identtqueue.admin import Admin, Counts, Point
from identtqueue.protocol.counting import MINUTE_MS, OTHER

MOST_JOBS: Final = 200
"""How many jobs of a queue get series of their own: those seen first. The others are added up."""

EVENTS: Final = (
    *("enqueued", "started", "succeeded", "failed", "retried", "released", "cancelled"),
    *("declined", "recovered"),
)
"""The events that are counted per job: attributes of `Counts`."""

Events = dict[str, int]

NOTHING: Final = Counts()


class MinuteAndTotals(NamedTuple):
    """Numbers of the jobs of one queue.

    Attributes:
        minute: what happened in the last complete minute, by job.
        totals: the counters, by job.
    """

    minute: Mapping[str, Counts]
    totals: Mapping[str, Events]


class JobTotals:
    """Counters of the jobs of one queue."""

    def __init__(self) -> None:
        self._ended: dict[str, Events] = {}  # of all minutes that have ended
        self._shown: dict[str, Events] = {}
        self._next_ms = -1  # the first minute that is not among them
        self._before: Mapping[str, Counts] = {}  # what its first minute had when this began

    async def read(self, admin: Admin, queue: str) -> MinuteAndTotals:
        """Read what has happened since the last reading.

        Args:
            admin: asks Redis.
            queue: name of the queue.
        """
        if self._next_ms < 0:
            since_ms = ((await admin.server()).now_ms or 0) - MINUTE_MS
        else:
            since_ms = self._next_ms - MINUTE_MS
        points = (await admin.series(queue, step="minute", since_ms=since_ms)).points
        return MinuteAndTotals(points[-2].by_job if len(points) > 1 else {}, self.add(points))

    def add(self, points: Sequence[Point]) -> Mapping[str, Events]:
        """Add minutes, the newest of which goes on, and return the counters by job.

        A counter never falls: not if an older answer arrives later, and not if the clock of Redis
        is set back.
        """
        if points and self._next_ms < 0:
            self._next_ms, self._before = points[-1].at_ms, points[-1].by_job
        for point in points[:-1]:
            if point.at_ms >= self._next_ms:
                _add(self._ended, self._since_start(point))
                self._next_ms, self._before = point.at_ms + MINUTE_MS, {}
        found = {job: dict(events) for job, events in self._ended.items()}
        if points and points[-1].at_ms >= self._next_ms:
            _add(found, self._since_start(points[-1]))
        for job, events in found.items():
            shown = self._shown.setdefault(job, {})
            shown.update({event: max(n, shown.get(event, 0)) for event, n in events.items()})
        return {job: dict(events) for job, events in self._shown.items()}

    def _since_start(self, point: Point) -> dict[str, Events]:
        """Return the events of a minute, without those that its first one had at the beginning."""
        return {
            job: {
                event: getattr(counts, event) - getattr(self._before.get(job, NOTHING), event)
                for event in EVENTS
            }
            for job, counts in point.by_job.items()
        }


def _add(totals: dict[str, Events], more: Mapping[str, Events]) -> None:
    """Add events to the counters of their jobs."""
    for job, events in more.items():
        name = job if job in totals or len(totals) < MOST_JOBS else OTHER
        sums = totals.setdefault(name, dict.fromkeys(EVENTS, 0))
        for event, number in events.items():
            sums[event] += number
