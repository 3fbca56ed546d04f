"""Metrics of a worker: plain numbers on the hot path, converted when Prometheus asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the histograms in seconds, from a no-op to a job that reads a long document."""


@dataclass(slots=True)
class Histogram:
    """Counts per bucket, and the sum of all values."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound, as Prometheus expects them."""
        rows, running = [], 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            running += count
            rows.append((bound, float(running)))
        return rows


@dataclass(slots=True)
class Counters:
    """Counters of one worker, over all its incarnations. They only grow."""

    ended: dict[tuple[str, str], int] = field(default_factory=dict)  # (queue, outcome) -> number
    waited: dict[str, Histogram] = field(default_factory=dict)
    ran: dict[str, Histogram] = field(default_factory=dict)
    left_attempts: int = 0
    hook_errors: int = 0
    killed_processes: int = 0
    died_processes: int = 0

    def ended_one(self, queue: str, outcome: str, waited: float, ran: float) -> None:
        """Count one attempt that has ended."""
        key = (queue, outcome)
        self.ended[key] = self.ended.get(key, 0) + 1
        if queue not in self.ran:
            self.waited[queue], self.ran[queue] = Histogram(), Histogram()
        self.waited[queue].observe(waited)
        self.ran[queue].observe(ran)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What a worker does at one moment. `Worker.gauges` asks each number of the part that owns it.

    Attributes:
        running: attempts that run.
        concurrency: attempts that may run at the same time.
        abandoned_threads: threads left behind by cut-off attempts that are still running.
        abandoned_attempts: attempts left behind that still run in the event loop.
        processes: processes for jobs.
        draining: whether the worker drains.
    """

    running: int
    concurrency: int
    abandoned_threads: int
    abandoned_attempts: int
    processes: int
    draining: bool


class Metrics:
    """Collector of a worker's metrics, as Prometheus expects it.

    Args:
        counters: the worker's counters.
        gauges: returns what the worker does now.
    """

    def __init__(self, counters: Counters, gauges: Callable[[], Gauges]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Convert the numbers to Prometheus metrics."""
        yield from _counts(self._counters)
        yield from _durations(self._counters)
        yield from _levels(self._gauges())


# `prometheus_client` takes 8 MB, so it is imported only where /metrics needs it.


def _counts(counters: Counters) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    ended = CounterMetricFamily(
        "identtqueue_attempts", "Attempts that have ended.", labels=["queue", "outcome"]
    )
    for (queue, outcome), number in list(counters.ended.items()):
        ended.add_metric([queue, outcome], number)
    yield ended
    yield CounterMetricFamily(
        "identtqueue_hook_errors", "Errors of after_task hooks.", value=counters.hook_errors
    )
    yield CounterMetricFamily(
        "identtqueue_left_attempts",
        "Attempts that were left behind because they did not end when cancelled.",
        value=counters.left_attempts,
    )
    ends = CounterMetricFamily(
        "identtqueue_process_ends", "Processes for jobs that ended early.", labels=["how"]
    )
    ends.add_metric(["killed"], counters.killed_processes)
    ends.add_metric(["died"], counters.died_processes)
    yield ends


def _durations(counters: Counters) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    for name, text, histograms in (
        ("identtqueue_wait_seconds", "Time pending before the attempt.", counters.waited),
        ("identtqueue_run_seconds", "Time that the attempt ran.", counters.ran),
    ):
        family = HistogramMetricFamily(name, text, labels=["queue"])
        for queue, histogram in list(histograms.items()):
            family.add_metric([queue], histogram.cumulative(), histogram.total)
        yield family


def _levels(gauges: Gauges) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    for name, text, value in (
        ("identtqueue_running", "Attempts running now.", gauges.running),
        ("identtqueue_concurrency", "Attempts that may run at once.", gauges.concurrency),
        (
            "identtqueue_abandoned_threads",
            "Threads left behind by cut-off attempts that are still running.",
            gauges.abandoned_threads,
        ),
        (
            "identtqueue_abandoned_attempts",
            "Attempts left behind that still run in the event loop.",
            gauges.abandoned_attempts,
        ),
        ("identtqueue_processes", "Processes for jobs.", gauges.processes),
        ("identtqueue_draining", "1 while the worker drains.", int(gauges.draining)),
    ):
        yield GaugeMetricFamily(name, text, value=value)
