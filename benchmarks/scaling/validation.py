"""Whether the model of KEDA does what KEDA does: its figures beside measured ones.

Measured with KEDA 2.21 on a kind cluster of three nodes (Kubernetes 1.34), workers that BLPOP one
item at a time, listLength 5, at most 20 replicas; `TUNED` as in `keda.py`. The medians of 20 to 24
repetitions (0 -> 1), of a few (the others), and single runs (the drain).

The model knows nothing of these figures but one, the latency of a write.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from benchmarks.scaling import arrivals, service
from benchmarks.scaling.engine import Events
from benchmarks.scaling.fleet import Fleet, Pods
from benchmarks.scaling.keda import DEFAULTS, TUNED, TUNED_100_PODS, KedaScaler, ScaledObject
from benchmarks.scaling.measure import quantile
from benchmarks.scaling.service import Sampler

BAND = 0.95
"""So large a share of the model's runs, in the middle, must enclose the measured figure."""
RUNS = 200
PUSH_AT = 100.0
BLPOP = Pods(concurrency=1, start=service.lognormal(3.0, 0.3), grace_seconds=0.0, killed="lost")
"""A worker without a handler of SIGTERM, on a list without acknowledgement."""
NEVER_READY = replace(BLPOP, start=service.constant(1e9))
"""So that the items stay in the list."""

Model = Callable[[ScaledObject, int], float]


def _begin(
    settings: ScaledObject,
    seed: int,
    tasks: int,
    lasting: Sampler,
    pods: Pods = BLPOP,
    replicas: int = 0,
) -> Fleet:
    """So many tasks, pushed at once, and KEDA over their workers."""
    rng, events = Random(seed), Events()
    moments = arrivals.at_once(tasks, 0.0 if replicas else PUSH_AT)
    fleet = Fleet(events, rng, moments, [lasting(rng) for _ in moments], pods, replicas)
    KedaScaler(fleet, settings, rng, active_at=0.0)
    return fleet


def _until(fleet: Fleet, replicas: int) -> float:
    """When the number was first written as high."""
    fleet.events.run(2000.0, lambda: fleet.replicas >= replicas)
    return fleet.events.now - PUSH_AT


def first_replica(settings: ScaledObject, seed: int) -> float:
    """Push of one item -> 1 replica, seconds."""
    return _until(_begin(settings, seed, 1, service.constant(1.0)), 1)


def twenty_replicas(settings: ScaledObject, seed: int) -> float:
    """Push of 100 items that nobody takes -> 20 replicas, seconds."""
    settings = replace(settings, max_replicas=20)
    return _until(_begin(settings, seed, 100, service.constant(1.0), NEVER_READY), 20)


def to_zero(settings: ScaledObject, seed: int) -> float:
    """Last item taken from the list -> 0 replicas, seconds. (40 items, one worker.)"""
    fleet = _begin(replace(settings, max_replicas=1), seed, 40, service.exponential(10.0))
    fleet.events.run(2000.0, lambda: fleet.over)
    return fleet.changes[-1][0] - max(start for start in fleet.first_start if start is not None)


def _drained(settings: ScaledObject, seed: int) -> Fleet:
    fleet = _begin(replace(settings, max_replicas=20), seed, 100, service.constant(60.0))
    fleet.events.run(5000.0, lambda: fleet.over)
    return fleet


def drain_seconds(settings: ScaledObject, seed: int) -> float:
    """100 tasks of 60 s with up to 20 workers: push -> the last one ended."""
    return _drained(settings, seed).last_end - PUSH_AT


def drain_lost(settings: ScaledObject, seed: int) -> float:
    """The same: tasks lost."""
    return _drained(settings, seed).lost


def killed_busy(settings: ScaledObject, seed: int) -> float:
    """An empty list and workers busy with 600 s each: how many are killed, as a share."""
    workers = 10 if settings is DEFAULTS else 20
    fleet = _begin(settings, seed, workers, service.constant(600.0), replicas=workers)
    fleet.events.run(2000.0, lambda: fleet.over)
    return fleet.pods_killed / workers


@dataclass(frozen=True)
class Check:
    """One figure, measured and modelled."""

    words: str
    settings_name: str
    settings: ScaledObject
    model: Model
    measured: float
    unit: str = "s"


CHECKS = (
    Check("first push → 1 replica", "defaults", DEFAULTS, first_replica, 12.9),
    Check("first push → 1 replica", "tuned", TUNED, first_replica, 0.58),
    Check("push of 100 items → 20 replicas", "defaults", DEFAULTS, twenty_replicas, 64.8),
    Check("push of 100 items → 20 replicas", "tuned", TUNED, twenty_replicas, 23.4),
    Check(
        "push of 100 items → 20 replicas",
        "tuned, 100 pods per 15 s",
        TUNED_100_PODS,
        twenty_replicas,
        13.6,
    ),
    Check("empty list → 0", "defaults", DEFAULTS, to_zero, 287.0),
    Check("empty list → 0", "tuned", TUNED, to_zero, 4.5),
    Check(
        "100 tasks of 60 s, up to 20 workers: last ended",
        "defaults",
        DEFAULTS,
        drain_seconds,
        373.0,
    ),
    Check("100 tasks of 60 s, up to 20 workers: last ended", "tuned", TUNED, drain_seconds, 975.0),
    Check("the same: tasks lost", "defaults", DEFAULTS, drain_lost, 1.0, ""),
    Check("the same: tasks lost", "tuned", TUNED, drain_lost, 18.0, ""),
    Check("list empty, all busy: share killed", "defaults", DEFAULTS, killed_busy, 1.0, ""),
    Check("list empty, all busy: share killed", "tuned", TUNED, killed_busy, 1.0, ""),
)


@dataclass(frozen=True)
class Finding:
    """Ask the model about one check."""

    check: Check
    median: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the measured figure is one that the model may give."""
        return self.low <= self.check.measured <= self.high

    def told(self) -> dict[str, Any]:
        """For the report."""
        return {
            "words": f"{self.check.words}, {self.check.settings_name}",
            "unit": self.check.unit,
            "measured": self.check.measured,
            "median": self.median,
            "low": self.low,
            "high": self.high,
            "holds": self.holds,
        }


def find(check: Check, runs: int = RUNS) -> Finding:
    """Run the model often; each run is one repetition of the measurement."""
    values = sorted(check.model(check.settings, seed) for seed in range(runs))
    rest = (1 - BAND) / 2
    return Finding(
        check, statistics.median(values), quantile(values, rest), quantile(values, 1 - rest)
    )
