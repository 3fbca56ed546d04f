"""Metrics of a worker, converted from its plain numbers (`counts`) when Prometheus asks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Final

from identtqueue.protocol.counting import OTHER, Number
from identtqueue.worker.counts import Counters, Durations, JobCounts
from identtqueue.worker.gauges import Gauges

if TYPE_CHECKING:
    from prometheus_client.core import Metric

MOST_LABELLED: Final = 200
"""How many pairs of queue and job get series of their own in Prometheus: those that ran first. The
others are added up under the job "(other)"."""

_OUTCOMES: Final = {
    place: place.name.lower() for place in Number if Number.STARTED < place < Number.WAITED_US
}


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
        gauges = self._gauges()
        jobs = _labelled(self._counters)
        yield from _attempts(jobs)
        yield from _events(self._counters, gauges)
        yield from _durations(self._counters, jobs)
        yield from _levels(gauges)
        yield build_info()


def build_info() -> Metric:
    """Return the metric that says which version of the library runs on which Python."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    family = GaugeMetricFamily(
        "identtqueue_build_info",
        "1; the labels name the versions of identtqueue and of Python.",
        labels=["version", "python"],
    )
    try:
        version = metadata.version("identtqueue")
    except metadata.PackageNotFoundError:  # it runs from a checkout that is not installed
        version = "unknown"
    family.add_metric([version, platform.python_version()], 1)
    return family


def _labelled(counters: Counters) -> Mapping[tuple[str, str], JobCounts]:
    """Return the numbers by the labels under which they are shown."""
    found: dict[tuple[str, str], JobCounts] = {}
    for number, ((queue, job), counts) in enumerate(list(counters.by_job.items())):
        if number < MOST_LABELLED:
            found[queue, job] = counts
        else:
            others = found.get((queue, OTHER))
            sum_of = JobCounts(counters.bounds) if others is None else others
            found[queue, OTHER] = _added(sum_of, counts, counters)
    return found


def _added(first: JobCounts, second: JobCounts, counters: Counters) -> JobCounts:
    """Add the numbers of two jobs."""
    added = JobCounts(counters.bounds)
    added.numbers = [a + b for a, b in zip(first.numbers, second.numbers, strict=True)]
    for errors in (first.errors, second.errors):
        for kind, number in list(errors.items()):
            added.errors[kind] = added.errors.get(kind, 0) + number
    return added


# `prometheus_client` takes 8 MB, so it is imported only where /metrics needs it.


def _attempts(jobs: Mapping[tuple[str, str], JobCounts]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    of_job = ["queue", "job"]
    started = CounterMetricFamily(
        "identtqueue_attempts_started", "Attempts that were started.", labels=of_job
    )
    ended = CounterMetricFamily(
        "identtqueue_attempts", "Attempts that have ended.", labels=[*of_job, "outcome"]
    )
    failures = CounterMetricFamily(
        "identtqueue_failures",
        "Attempts that have failed, by the type of their error.",
        labels=[*of_job, "error"],
    )
    for labels, counts in jobs.items():
        started.add_metric(labels, counts.numbers[Number.STARTED])
        for place, outcome in _OUTCOMES.items():
            if counts.numbers[place]:
                ended.add_metric([*labels, outcome], counts.numbers[place])
        for kind, number in list(counts.errors.items()):
            failures.add_metric([*labels, kind], number)
    yield started
    yield ended
    yield failures


def _events(counters: Counters, gauges: Gauges) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

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
    yield CounterMetricFamily(
        "identtqueue_reconnects",
        "Connections to Redis that were opened again after they had been lost.",
        value=gauges.reconnects,
    )
    yield CounterMetricFamily(
        "identtqueue_loop_blocked_seconds",
        "Time for which the event loop was blocked, without blocks of less than a second.",
        value=gauges.loop_blocked_seconds,
    )


def _durations(counters: Counters, jobs: Mapping[tuple[str, str], JobCounts]) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    of_job = ["queue", "job"]
    waits = HistogramMetricFamily(
        "identtqueue_wait_seconds", "Time pending before the attempt.", labels=of_job
    )
    runs = HistogramMetricFamily(
        "identtqueue_run_seconds", "Time that the attempt ran.", labels=of_job
    )
    for labels, counts in jobs.items():
        numbers = counts.numbers
        waits.add_metric(labels, counters.cumulative(counts.waits), numbers[Number.WAITED_US] / 1e6)
        runs.add_metric(labels, counters.cumulative(counts.runs), numbers[Number.RAN_US] / 1e6)
    yield waits
    yield runs
    claims = HistogramMetricFamily(
        "identtqueue_claim_seconds",
        "Time from the request for tasks to the answer of Redis.",
        labels=["queue"],
    )
    for queue, durations in list(counters.claimed.items()):
        claims.add_metric([queue], _cumulative(durations), durations.total)
    yield claims
    late = HistogramMetricFamily(
        "identtqueue_cron_lateness_seconds",
        "Time from when a schedule was due to the start of its task.",
        labels=of_job,
    )
    for labels, durations in list(counters.cron_late.items()):
        late.add_metric(labels, _cumulative(durations), durations.total)
    yield late


def _cumulative(durations: Durations) -> list[tuple[str, float]]:
    rows, running = [], 0
    for bound, count in zip((*map(str, durations.bounds), "+Inf"), durations.counts, strict=True):
        running += count
        rows.append((bound, float(running)))
    return rows


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
