"""The loads that scalers are put under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from benchmarks.scaling import arrivals, service
from benchmarks.scaling.fleet import Pods
from benchmarks.scaling.service import Sampler

HOUR = 3600.0
POD_START = service.lognormal(4.0, 0.4)
"""Seconds; four workers on a busy two-core cluster took 2.8 (docs/measurements.md)."""
WORKER = Pods(concurrency=4, start=POD_START)
LONG_WORKER = Pods(concurrency=1, start=POD_START)


@dataclass(frozen=True)
class Scenario:
    """One load on one queue."""

    name: str
    words: str
    arrivals: Callable[[Random], list[float]]
    service: Sampler
    pods: Pods = WORKER
    max_replicas: int = 50
    seconds: float = HOUR
    """When the last task may come; a run goes on until all is done and nothing is left."""
    patience_seconds: float = 2 * HOUR
    """After that, a run that is not over is broken off."""


SECONDS_LONG = service.lognormal(2.0, 1.0)
"""Document checking: seconds, and some take several times as long."""

SCENARIOS = (
    Scenario(
        "step",
        "nothing, then 40 tasks/s for 30 minutes, then nothing",
        lambda rng: arrivals.step(rng, 40, HOUR, 300, 2100),
        SECONDS_LONG,
    ),
    Scenario(
        "ramp",
        "from nothing to 40 tasks/s in 30 minutes, and back",
        lambda rng: arrivals.ramp(rng, 40, HOUR),
        SECONDS_LONG,
    ),
    Scenario(
        "spike",
        "2 tasks/s; 1,000 more at once after 10, 25 and 45 minutes",
        lambda rng: arrivals.spikes(rng, 2, HOUR, 1000, (600.0, 1500.0, 2700.0)),
        SECONDS_LONG,
    ),
    Scenario(
        "diurnal",
        "two days of 30 minutes each, 0 to 40 tasks/s",
        lambda rng: arrivals.diurnal(rng, 40, HOUR, HOUR / 2),
        SECONDS_LONG,
    ),
    Scenario(
        "bursty",
        "on-off: 40 tasks/s for 1 minute, nothing for 3, both exponential",
        lambda rng: arrivals.bursty(rng, 40, 0, HOUR, 60, 180),
        SECONDS_LONG,
    ),
    Scenario(
        "heavy tail",
        "5 tasks/s of Pareto run times (shape 1.5, mean 4 s, time-out 600 s)",
        lambda rng: arrivals.constant(rng, 5, HOUR),
        service.pareto(4.0, 1.5, 600.0),
    ),
    Scenario(
        "long tasks",
        "on-off: 1 task/s for 2 minutes, nothing for 5; run times of 90 s on average, one per pod",
        lambda rng: arrivals.bursty(rng, 1, 0, HOUR, 120, 300),
        service.lognormal(90.0, 0.5),
        pods=LONG_WORKER,
        max_replicas=100,
    ),
)

LARGE = Scenario(
    "1,000 replicas",
    "1,600 tasks/s of 2.5 s for 5 minutes on one queue, up to 1,000 replicas",
    lambda rng: arrivals.step(rng, 1600, 330, 30, 330),
    service.lognormal(2.5, 1.0),
    max_replicas=1000,
    seconds=330,
)


def of_many(index: int) -> Scenario:
    """One of many queues: a few are busy, most are quiet."""
    rate = max(2000.0 / (index + 1) ** 1.5, 0.2)
    return Scenario(
        "many queues",
        "on-off, on for 20 s and off for 100 s on average; when on, the i-th queue gets "
        "2,000 / i^1.5 tasks/s, at least 0.2; up to 1,000 replicas each; 5 minutes",
        lambda rng: arrivals.bursty(rng, rate, 0, 300, 20, 100),
        SECONDS_LONG,
        max_replicas=1000,
        seconds=300,
    )
