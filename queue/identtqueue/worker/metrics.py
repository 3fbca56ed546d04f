"""Metrics of a worker: plain numbers on the hot path, converted when Prometheus asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
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


@dataclass(slots=True, eq=False)  # a collector is registered by identity: it must be hashable
class Counters:
    """Counters and gauges of one worker process, over all its incarnations."""

    ended: dict[tuple[str, str], int] = field(default_factory=dict)  # (queue, outcome) -> number
    waited: dict[str, Histogram] = field(default_factory=dict)
    ran: dict[str, Histogram] = field(default_factory=dict)
    running: int = 0
    concurrency: int = 0
    abandoned_threads: int = 0
    abandoned_attempts: int = 0
    left_attempts: int = 0
    hook_errors: int = 0
    processes: int = 0
    killed_processes: int = 0
    died_processes: int = 0
    draining: bool = False

    def ended_one(self, queue: str, outcome: str, waited: float, ran: float) -> None:
        """Count one attempt that has ended."""
        key = (queue, outcome)
        self.ended[key] = self.ended.get(key, 0) + 1
        if queue not in self.ran:
            self.waited[queue], self.ran[queue] = Histogram(), Histogram()
        self.waited[queue].observe(waited)
        self.ran[queue].observe(ran)

    def collect(self) -> Iterator[Metric]:
        """Convert the numbers to Prometheus metrics."""
        from prometheus_client.core import (  # noqa: PLC0415 - 8 MB that only /metrics needs
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        ended = CounterMetricFamily(
            "identtqueue_attempts", "Attempts that have ended.", labels=["queue", "outcome"]
        )
        for (queue, outcome), number in list(self.ended.items()):
            ended.add_metric([queue, outcome], number)
        yield ended
        yield CounterMetricFamily(
            "identtqueue_hook_errors", "Errors of after_task hooks.", value=self.hook_errors
        )
        yield CounterMetricFamily(
            "identtqueue_left_attempts",
            "Attempts that were left behind because they did not end when cancelled.",
            value=self.left_attempts,
        )
        ends = CounterMetricFamily(
            "identtqueue_process_ends",
            "Processes for jobs that ended early.",
            labels=["how"],
        )
        ends.add_metric(["killed"], self.killed_processes)
        ends.add_metric(["died"], self.died_processes)
        yield ends
        for name, text, histograms in (
            ("identtqueue_wait_seconds", "Time pending before the attempt.", self.waited),
            ("identtqueue_run_seconds", "Time that the attempt ran.", self.ran),
        ):
            family = HistogramMetricFamily(name, text, labels=["queue"])
            for queue, histogram in list(histograms.items()):
                family.add_metric([queue], histogram.cumulative(), histogram.total)
            yield family
        for name, text, value in (
            ("identtqueue_running", "Attempts running now.", self.running),
            ("identtqueue_concurrency", "Attempts that may run at once.", self.concurrency),
            (
                "identtqueue_abandoned_threads",
                "Threads left behind by cut-off attempts that are still running.",
                self.abandoned_threads,
            ),
            (
                "identtqueue_abandoned_attempts",
                "Attempts left behind that still run in the event loop.",
                self.abandoned_attempts,
            ),
            ("identtqueue_processes", "Processes for jobs.", self.processes),
            ("identtqueue_draining", "1 while the worker drains.", int(self.draining)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
