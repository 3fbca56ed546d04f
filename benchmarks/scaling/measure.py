"""One run, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from benchmarks.scaling.engine import Events
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.scalers import Contender
from benchmarks.scaling.scenarios import Scenario

SAMPLE_SECONDS = 5.0


@dataclass
class Outcome:
    """Costs and results of one run of one scaler under one load; runs can be added up."""

    runs: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from arrival to the first start, of every task that started."""
    tasks: int = 0
    done: int = 0
    kills: int = 0
    """Times that a running task's pod was killed."""
    wasted_seconds: float = 0.0
    """The time for which the killed attempts had run."""
    pod_seconds: float = 0.0
    work_seconds: float = 0.0
    """The need of the tasks, in pod-seconds of fully used pods: no scaler can do with less."""
    writes: int = 0
    """Changes of the Deployment's number: PATCHes."""
    decisions: int = 0
    turns: int = 0
    """How often growing turned into shrinking or the reverse."""
    peak: int = 0
    to_zero: list[float] = field(default_factory=list)
    """Seconds from the last task's end to zero replicas wanted."""
    unfinished: int = 0
    """Runs that were broken off."""
    events: int = 0

    def add(self, other: Outcome) -> None:
        """Several runs as one."""
        for name in ("waits", "to_zero"):
            getattr(self, name).extend(getattr(other, name))
        self.peak = max(self.peak, other.peak)
        for name in (
            *("runs", "tasks", "done", "kills", "wasted_seconds", "pod_seconds", "work_seconds"),
            *("writes", "decisions", "turns", "unfinished", "events"),
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Course:
    """How a run went, for a picture: one entry per sample."""

    at: list[float] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    needed: list[float] = field(default_factory=list)
    """Waiting and running tasks / concurrency: pods that would be busy if all could run now."""


def run(
    scenario: Scenario, contender: Contender, seed: int, course: Course | None = None
) -> Outcome:
    """One run. The same seed gives every scaler the same tasks."""
    load, noise = Random(f"{scenario.name} {seed}"), Random(f"pods {seed}")
    moments = scenario.arrivals(load)
    durations = [scenario.service(load) for _ in moments]
    events = Events()
    fleet = Fleet(events, noise, moments, durations, scenario.pods)
    scaler = contender.make(fleet, noise, scenario.max_replicas)
    if course is not None:
        _sample(fleet, course)
    events.run(scenario.seconds + scenario.patience_seconds, lambda: fleet.over)
    fleet.close()
    return _outcome(fleet, scaler.decisions)


def _sample(fleet: Fleet, course: Course) -> None:
    course.at.append(fleet.events.now)
    course.replicas.append(fleet.replicas)
    course.needed.append((fleet.waiting + fleet.in_flight) / fleet.kind.concurrency)
    fleet.events.after(SAMPLE_SECONDS, _sample, fleet, course)


def _outcome(fleet: Fleet, decisions: int) -> Outcome:
    came, accounted = fleet.balance()
    if came != accounted:
        raise AssertionError(f"{came} tasks came, {accounted} are accounted for")
    waits = [
        start - came
        for start, came in zip(fleet.first_start, fleet.arrivals, strict=True)
        if start is not None
    ]
    numbers = [number for _, number in fleet.changes]
    moves = [after - before for before, after in pairwise(numbers)]
    return Outcome(
        runs=1,
        waits=waits,
        tasks=fleet.arrived,
        done=fleet.done,
        kills=fleet.kills,
        wasted_seconds=fleet.wasted_seconds,
        pod_seconds=fleet.pod_seconds,
        work_seconds=sum(fleet.durations) / fleet.kind.concurrency,
        writes=len(moves),
        decisions=decisions,
        turns=sum((a > 0) != (b > 0) for a, b in pairwise(moves)),
        peak=max(numbers),
        to_zero=[fleet.changes[-1][0] - fleet.last_end] if fleet.over and fleet.arrived else [],
        unfinished=int(not fleet.over),
        events=fleet.events.handled,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the sorted values does not exceed."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan
