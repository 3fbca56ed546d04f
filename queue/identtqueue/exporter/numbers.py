"""The numbers of queues, read when Prometheus asks, and as metrics.

Names are those of the operator where they mean the same: `identtqueue_queue_tasks_queued` is
`identtqueue_operator_tasks_queued` with a queue in place of a TaskQueue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from identtqueue.admin import Admin, Counts, LimitsInUse, QueueDepth, WorkerInfo
from identtqueue.errors import RedisError
from identtqueue.exporter.totals import MOST_JOBS, JobTotals
from identtqueue.protocol.counting import OTHER

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

PREFIX: Final = "identtqueue_queue_"

AT_ONCE: Final = 20
"""How many queues are read at the same time."""

QUANTILES: Final = (0.5, 0.95)


@dataclass(frozen=True, slots=True)
class QueueNumbers:
    """The numbers of one queue at one moment.

    Attributes:
        depth: tasks by state, and the exact counters.
        workers: the registered workers.
        limits: the limits of jobs, and how far they are used.
        minute: what happened in the last complete minute, by job.
        totals: events since the exporter was started, by job.
    """

    depth: QueueDepth
    workers: Sequence[WorkerInfo]
    limits: Sequence[LimitsInUse]
    minute: Mapping[str, Counts]
    totals: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of all queues.

    Attributes:
        queues: numbers by queue; empty while Redis can't be reached.
        problem: why Redis can't be read; empty: it can.
        seconds: how long it took to read them.
    """

    queues: Mapping[str, QueueNumbers] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0


class NumbersReader:
    """Reads the numbers of queues. Nothing is changed in Redis.

    Args:
        admin: asks Redis.
        names: the queues; empty: all of the registry.
    """

    def __init__(self, admin: Admin, names: Sequence[str]) -> None:
        self._admin = admin
        self._names = names
        self._totals: dict[str, JobTotals] = {}

    async def read(self) -> Snapshot:
        """Read the numbers of all queues now."""
        began = time.monotonic()
        try:
            queues = self._names or [queue.name for queue in await self._admin.queues()]
            self._totals = {queue: self._totals.get(queue, JobTotals()) for queue in queues}
            found: dict[str, QueueNumbers] = {}
            for first in range(0, len(queues), AT_ONCE):
                part = queues[first : first + AT_ONCE]
                numbers = await asyncio.gather(*(self._read_one(queue) for queue in part))
                found |= dict(zip(part, numbers, strict=True))
        except RedisError as error:
            return Snapshot(problem=str(error), seconds=time.monotonic() - began)
        return Snapshot(found, seconds=time.monotonic() - began)

    async def _read_one(self, queue: str) -> QueueNumbers:
        admin, totals = self._admin, self._totals.setdefault(queue, JobTotals())
        depths, workers, limits, jobs = await asyncio.gather(
            admin.depths([queue], promote=False),
            admin.workers(queue),
            admin.limits(queue),
            totals.read(admin, queue),
        )
        return QueueNumbers(depths[queue], workers, limits, _bounded(jobs.minute), jobs.totals)


def _bounded(by_job: Mapping[str, Counts]) -> Mapping[str, Counts]:
    """Keep the jobs that did most, and add up the others."""
    if len(by_job) <= MOST_JOBS:
        return by_job
    busiest = sorted(by_job, key=lambda job: -(by_job[job].enqueued + by_job[job].started))
    found = {job: by_job[job] for job in busiest[:MOST_JOBS]}
    others = [by_job[job] for job in busiest[MOST_JOBS:]]
    found[OTHER] = sum(others, found.get(OTHER, Counts()))
    return found


class Collected:
    """A `prometheus_client` collector over one reading."""

    def __init__(self, reading: Snapshot) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """Convert the numbers to Prometheus metrics."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

        reading = self._reading
        yield GaugeMetricFamily(
            "identtqueue_exporter_redis_up",
            "1 while Redis can be read.",
            value=float(not reading.problem),
        )
        yield GaugeMetricFamily(
            "identtqueue_exporter_read_seconds",
            "How long it took to read Redis.",
            value=reading.seconds,
        )
        for name, text, number in _GAUGES:
            family = _family(name, text)
            for queue, numbers in reading.queues.items():
                family.add_metric([queue], float(number(numbers)))
            yield family
        yield from _counters(reading.queues)
        yield from _limits(reading.queues)
        yield from _last_minute(reading.queues)


_GAUGES: Final[Sequence[tuple[str, str, Callable[[QueueNumbers], float]]]] = (
    ("tasks_queued", "Tasks that wait.", lambda n: n.depth.queued),
    ("tasks_held", "Waiting tasks that their jobs' limits hold back.", lambda n: n.depth.held),
    ("tasks_in_flight", "Tasks that run.", lambda n: n.depth.in_flight),
    ("tasks_scheduled", "Scheduled tasks (delays, retries, cron).", lambda n: n.depth.scheduled),
    ("tasks_dead", "Dead letters.", lambda n: n.depth.dead),
    (
        "oldest_wait_seconds",
        "For how long the oldest waiting task has waited.",
        lambda n: (n.depth.oldest_wait_ms or 0) / 1000,
    ),
    ("paused", "1 while the queue is paused.", lambda n: n.depth.paused),
    ("workers", "Registered workers.", lambda n: n.depth.workers),
    (
        "workers_connected",
        "Registered workers whose process is connected to Redis.",
        lambda n: sum(worker.connected for worker in n.workers),
    ),
    (
        "workers_draining",
        "Workers that are being drained.",
        lambda n: sum(worker.draining for worker in n.workers),
    ),
    (
        "slots",
        "Attempts that the registered workers may run at once, over all their queues.",
        lambda n: sum(worker.concurrency for worker in n.workers),
    ),
)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    return GaugeMetricFamily(PREFIX + name, text, labels=["queue", *labels])


def _counters(queues: Mapping[str, QueueNumbers]) -> Iterator[Metric]:
    """Yield the counters, which only grow."""
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    events = CounterMetricFamily(
        PREFIX + "events",
        "Events of tasks since the queue's first task.",
        labels=["queue", "event"],
    )
    sums = {
        "wait_ms": CounterMetricFamily(
            PREFIX + "waited_seconds", "Sum of all waits of claimed tasks.", labels=["queue"]
        ),
        "run_ms": CounterMetricFamily(
            PREFIX + "ran_seconds", "Sum of all runs of attempts that have ended.", labels=["queue"]
        ),
    }
    of_jobs = CounterMetricFamily(
        PREFIX + "job_events",
        "Events of tasks since the exporter was started, by job.",
        labels=["queue", "job", "event"],
    )
    for queue, numbers in queues.items():
        for job, happened in numbers.totals.items():
            for event, number in happened.items():
                of_jobs.add_metric([queue, job, event], number)
        for event, number in numbers.depth.counters.items():
            if event in sums:
                sums[event].add_metric([queue], number / 1000)
            else:
                events.add_metric([queue, event], number)
    yield events
    yield of_jobs
    yield from sums.values()


def _limits(queues: Mapping[str, QueueNumbers]) -> Iterator[Metric]:
    most = _family("limit_max_running", "Tasks of the job that may run at once.", "job")
    running = _family("limit_running", "Tasks of the job that count as running.", "job")
    held = _family("limit_held", "Tasks of the job that its limits hold back.", "job")
    for queue, numbers in queues.items():
        for row in numbers.limits[:MOST_JOBS]:
            if row.limits.max_running is not None:
                most.add_metric([queue, row.job], row.limits.max_running)
                running.add_metric([queue, row.job], row.running)
            held.add_metric([queue, row.job], row.held)
    yield from (most, running, held)


def _last_minute(queues: Mapping[str, QueueNumbers]) -> Iterator[Metric]:
    """Yield the waits and runs of the last complete minute."""
    waits = _family("minute_wait_seconds", "Waits in the last complete minute.", "job", "quantile")
    runs = _family("minute_run_seconds", "Runs in the last complete minute.", "job", "quantile")
    for queue, numbers in queues.items():
        for job, counts in numbers.minute.items():
            for family, histogram in ((waits, counts.waited), (runs, counts.ran)):
                for share in QUANTILES:
                    value = histogram.quantile(share)
                    if value is not None:
                        family.add_metric([queue, job, str(share)], value)
    yield from (waits, runs)
