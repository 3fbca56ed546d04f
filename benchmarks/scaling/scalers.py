"""The scalers that are compared, each with its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from benchmarks.scaling import keda, ours
from benchmarks.scaling.fleet import Fleet


class Scaler(Protocol):
    """The interface of a scaler to a run that is under way."""

    decisions: int


Make = Callable[[Fleet, Random, int], Scaler]
"""(fleet, generator, highest number of replicas) -> a scaler at work on the fleet."""


@dataclass(frozen=True)
class Contender:
    """A scaler with settings and a name."""

    name: str
    make: Make
    settings: str
    """For the reader."""


def _ours(**scaling: object) -> Make:
    def make(fleet: Fleet, _: Random, highest: int) -> Scaler:
        concurrency = fleet.kind.concurrency
        spec = ours.spec(maxReplicas=highest, concurrencyPerReplica=concurrency, **scaling)
        return ours.OurScaler(fleet, spec)

    return make


def _keda(settings: keda.ScaledObject) -> Make:
    def make(fleet: Fleet, rng: Random, highest: int) -> Scaler:
        return keda.KedaScaler(fleet, replace(settings, max_replicas=highest), rng)

    return make


_WAIT_TIME = {"type": "WaitTime", "waitTime": {"targetSeconds": 10}}
QUICK_DOWN = {"stabilizationSeconds": 10, "idleSeconds": 5}

CONTENDERS = (
    Contender("Backlog", _ours(), "defaults"),
    Contender(
        "Backlog, tuned",
        _ours(scaleDown=QUICK_DOWN),
        "stabilizationSeconds 10, idleSeconds 5",
    ),
    Contender("WaitTime", _ours(strategy=_WAIT_TIME), "targetSeconds 10, else defaults"),
    Contender("KEDA", _keda(keda.DEFAULTS), "defaults"),
    Contender(
        "KEDA, tuned",
        _keda(keda.TUNED),
        "pollingInterval 1, HPA up 900 % per 15 s, no stabilisation, cooldownPeriod 5",
    ),
)
