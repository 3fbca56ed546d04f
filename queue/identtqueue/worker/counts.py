"""The counters of a worker: plain numbers in memory, per queue and job.

The same numbers are read by Prometheus (`metrics`) and reported to Redis (`count_reports`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from identtqueue.protocol.counting import (
    BOUNDS_SECONDS,
    BUCKETS,
    FIRST_BUCKET,
    OTHER,
    Number,
)
from identtqueue.worker.outcome import Outcome

DEFAULT_BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the histograms for Prometheus in seconds, from a no-op to a job that reads a long
document. They are among those of Redis."""

MOST_JOBS: Final = 1_000
"""How many pairs of queue and job are told apart. Clients may enqueue jobs of any name."""

MOST_ERRORS: Final = 20
"""How many types of error are told apart for each job."""

_ENDS: Final = {
    place.name.lower(): int(place) for place in Number if Number.STARTED < place < Number.WAITED_US
}
"""Places of the outcomes, by their names. Plain numbers, since one is looked up for each task."""

_STARTED, _FAILED, _RETRIED = int(Number.STARTED), int(Number.FAILED), int(Number.RETRIED)
_WAITED_US, _RAN_US = int(Number.WAITED_US), int(Number.RAN_US)


class Durations:
    """A histogram of durations.

    Args:
        bounds: upper bounds of the buckets in seconds, without that of the last one.

    Attributes:
        bounds: the same.
        counts: number of durations in each bucket.
        total: sum of all durations in seconds.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class JobCounts:
    """The numbers of one job on one queue. They only grow.

    Args:
        bounds: upper bounds of the buckets in seconds.

    Attributes:
        numbers: the numbers, in the order of `Number`, then the counts per bucket: first of the
            waits, then of the runs.
        errors: failed and retried attempts by the type of their error.
        reported: the numbers that Redis has.
        reported_errors: the errors that Redis has.
    """

    __slots__ = ("_bounds", "_first_run", "errors", "numbers", "reported", "reported_errors")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._first_run = FIRST_BUCKET + len(bounds) + 1
        self.numbers = [0] * (self._first_run + len(bounds) + 1)
        self.errors: dict[str, int] = {}
        self.reported = list(self.numbers)
        self.reported_errors: dict[str, int] = {}

    def end(self, outcome: Outcome, waited_ms: int, ran_seconds: float) -> None:
        """Count one attempt that has ended.

        Args:
            outcome: how it ended.
            waited_ms: how long its task had been pending.
            ran_seconds: how long it ran.
        """
        numbers, bounds, place = self.numbers, self._bounds, _ENDS[outcome.name]
        numbers[place] += 1
        numbers[_WAITED_US] += waited_ms * 1000
        numbers[_RAN_US] += int(ran_seconds * 1e6)
        numbers[FIRST_BUCKET + bisect_left(bounds, waited_ms / 1000)] += 1
        numbers[self._first_run + bisect_left(bounds, ran_seconds)] += 1
        if place in (_FAILED, _RETRIED):
            self._fail(outcome)

    def _fail(self, outcome: Outcome) -> None:
        kind = outcome.failure.type if outcome.failure else OTHER
        if kind not in self.errors and len(self.errors) >= MOST_ERRORS:
            kind = OTHER
        self.errors[kind] = self.errors.get(kind, 0) + 1

    @property
    def waits(self) -> Sequence[int]:
        """Number of waits in each bucket."""
        return self.numbers[FIRST_BUCKET : self._first_run]

    @property
    def runs(self) -> Sequence[int]:
        """Number of runs in each bucket."""
        return self.numbers[self._first_run :]


class Counters:
    """The counters of one worker, over all its incarnations. They only grow.

    Args:
        buckets: upper bounds of the histograms for Prometheus, in seconds.

    Attributes:
        buckets: the same.
        bounds: upper bounds of the histograms that are kept: those for Prometheus, and those of
            Redis. So both can be computed from them.
        by_job: the numbers by queue and job.
        claimed: how long claims took until Redis had answered, by queue.
        cron_late: how late firings of schedules were started, by queue and job.
        left_attempts: attempts that were left behind.
        hook_errors: errors of `after_task` hooks.
        killed_processes: processes for jobs that were killed to cut off an attempt.
        died_processes: processes for jobs that ended by themselves.
    """

    def __init__(self, buckets: Sequence[float] = DEFAULT_BUCKETS) -> None:
        self.buckets = tuple(buckets)
        self.bounds = tuple(sorted({*BOUNDS_SECONDS, *self.buckets}))
        self.by_job: dict[tuple[str, str], JobCounts] = {}
        self.claimed: dict[str, Durations] = {}
        self.cron_late: dict[tuple[str, str], Durations] = {}
        self.left_attempts = 0
        self.hook_errors = 0
        self.killed_processes = 0
        self.died_processes = 0
        self._folded = [bisect_left(BOUNDS_SECONDS, bound) for bound in self.bounds]
        self._folded.append(BUCKETS - 1)

    def start(self, queue: str, job: str) -> JobCounts:
        """Count one attempt that starts, and return the numbers of its job."""
        counts = self.by_job.get((queue, job)) or self._of(queue, job)
        counts.numbers[_STARTED] += 1
        return counts

    def _of(self, queue: str, job: str) -> JobCounts:
        """Return the numbers of a job that has none yet, or those of all further jobs."""
        if len(self.by_job) >= MOST_JOBS:
            job = OTHER
        return self.by_job.setdefault((queue, job), JobCounts(self.bounds))

    def claim(self, queue: str, seconds: float) -> None:
        """Count one answered claim."""
        durations = self.claimed.get(queue)
        if durations is None:
            durations = self.claimed[queue] = Durations(self.buckets)
        durations.observe(seconds)

    def plan(self, queue: str, job: str) -> Durations:
        """Return how late firings of a job were. Before the first one Prometheus should see a 0."""
        key = (queue, job)
        if key not in self.cron_late and len(self.cron_late) >= MOST_JOBS:
            key = (queue, OTHER)
        return self.cron_late.setdefault(key, Durations(self.buckets))

    def fire(self, queue: str, job: str, late_seconds: float) -> None:
        """Count how late a firing of a schedule has started."""
        self.plan(queue, job).observe(late_seconds)

    @property
    def ended(self) -> int:
        """How many attempts have ended, in all queues."""
        return sum(sum(counts.runs) for counts in list(self.by_job.values()))

    def cumulative(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound for Prometheus.

        Args:
            counts: number of durations in each bucket of `bounds`.
        """
        # A bound is shown as it was given: 300 stays 300, although Redis has 300.0.
        shown = {bound: str(bound) for bound in self.buckets}
        rows, running = [], 0
        for bound, count in zip(self.bounds, counts, strict=False):
            running += count
            if bound in shown:
                rows.append((shown[bound], float(running)))
        return [*rows, ("+Inf", float(sum(counts)))]

    def folded(self, numbers: Sequence[int]) -> list[int]:
        """Return numbers with the buckets that Redis has.

        Args:
            numbers: numbers of a job, in the form of `JobCounts.numbers`.
        """
        if len(self.bounds) == len(BOUNDS_SECONDS):
            return list(numbers)
        found = [*numbers[:FIRST_BUCKET], *[0] * (2 * BUCKETS)]
        for i, number in enumerate(numbers[FIRST_BUCKET:]):
            histogram, bucket = divmod(i, len(self.bounds) + 1)
            found[FIRST_BUCKET + histogram * BUCKETS + self._folded[bucket]] += number
        return found
