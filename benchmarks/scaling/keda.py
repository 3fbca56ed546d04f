"""KEDA 2.21 with its redis-lists scaler, and the HorizontalPodAutoscaler of Kubernetes 1.34.

KEDA moves a workload between zero and one; from one on, the HPA that it made does, and asks KEDA
for the length of the list. Sources:

* https://keda.sh/docs/2.21/reference/scaledobject-spec/: pollingInterval 30 s, cooldownPeriod
  300 s, idleReplicaCount, minReplicaCount 0, maxReplicaCount 100; HPA's minReplicas is 1 where
  minReplicaCount is 0.
* https://keda.sh/docs/2.21/scalers/redis-lists/: listLength 5 is the average per replica,
  activationListLength 0 must be exceeded. The metric is LLEN: what a worker has taken is not in it.
* kedacore/keda pkg/scaling/executor/scale_scaledobjects.go: from zero to max(1, minReplicaCount)
  when active; to idleReplicaCount or minReplicaCount when lastActiveTime + cooldownPeriod has
  passed. lastActiveTime is set at polls, and stored in whole seconds.
* https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/: desired =
  ceil(current x metric / target), tolerance 0.1, sync period 15 s, downscale stabilisation 300 s,
  policies of `behavior`.
* kubernetes/kubernetes pkg/controller/podautoscaler/horizontal.go: an HPA *without* `behavior`, as
  KEDA makes it by default, grows to max(2 x current, 4) per sync (`calculateScaleUpLimit`) and
  shrinks to the highest recommendation of 300 s (`stabilizeRecommendation`); one with `behavior`
  uses its policies. (The documentation gives the defaults of `behavior`, 4 pods or 100 % per 15 s;
  they hold once `behavior` is set.) `GetExternalPerPodMetricReplicas` in replica_calculator.go: for
  an average value, desired = ceil(metric / target) where |1 - metric / (target x current)| exceeds
  the tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from benchmarks.scaling.fleet import Fleet

SYNC_SECONDS = 15.0
TOLERANCE = 0.1
DOWNSCALE_WINDOW_SECONDS = 300.0
"""Three flags of kube-controller-manager, at their defaults."""
LATENCY_SECONDS = 0.08
"""From a poll to the written number; the fastest 0 -> 1 measured, with polls each second."""


@dataclass(frozen=True)
class Policy:
    """So many pods, or so many per cent of the pods, per period."""

    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: float = 15.0


@dataclass(frozen=True)
class Behavior:
    """`spec.behavior` of an HPA; the defaults are what the API server fills in."""

    up: tuple[Policy, ...] = (Policy("Pods", 4), Policy("Percent", 100))
    down: tuple[Policy, ...] = (Policy("Percent", 100),)
    up_window_seconds: float = 0.0
    down_window_seconds: float = DOWNSCALE_WINDOW_SECONDS


@dataclass(frozen=True)
class ScaledObject:
    """KEDA's settings for one workload; the defaults are KEDA's."""

    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    list_length: int = 5
    activation_length: int = 0
    min_replicas: int = 0
    max_replicas: int = 100
    idle_replicas: int | None = None
    behavior: Behavior | None = None


DEFAULTS = ScaledObject()
TUNED = ScaledObject(
    polling_seconds=1.0,
    cooldown_seconds=5.0,
    behavior=Behavior(up=(Policy("Percent", 900),), down_window_seconds=0.0),
)
"""Poll each second, 900 % per 15 s, no stabilisation, zero after 5 s."""
TUNED_100_PODS = ScaledObject(
    polling_seconds=1.0,
    cooldown_seconds=5.0,
    behavior=Behavior(up=(Policy("Pods", 100),), down_window_seconds=0.0),
)


@dataclass
class Hpa:
    """The memory of one HorizontalPodAutoscaler, and its calculation."""

    settings: ScaledObject
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def desired(self, current: int, metric: int, at: float) -> int:
        """The number of replicas after a sync; `current` is at least 1."""
        low = max(self.settings.min_replicas, 1)
        target = self.settings.list_length
        wanted = current
        if abs(1 - metric / (target * current)) > TOLERANCE:
            wanted = math.ceil(metric / target)
        behavior = self.settings.behavior
        if behavior is None:
            found = min(self._highest(wanted, at), max(2 * current, 4))
        else:
            found = self._behave(behavior, current, wanted, at)
        found = max(low, min(found, self.settings.max_replicas))
        if found != current and behavior is not None:
            self._changes.append((at, found - current))
        return found

    def _highest(self, wanted: int, at: float) -> int:
        """The highest recommendation of the downscale window, this one included."""
        self._recommend(wanted, at, DOWNSCALE_WINDOW_SECONDS)
        return max(number for _, number in self._recommended)

    def _recommend(self, wanted: int, at: float, window: float) -> None:
        kept = [(when, number) for when, number in self._recommended if at - when < window]
        self._recommended = [*kept, (at, wanted)]

    def _behave(self, behavior: Behavior, current: int, wanted: int, at: float) -> int:
        up, down = behavior.up_window_seconds, behavior.down_window_seconds
        self._recommend(wanted, at, max(up, down))
        window, choose = (up, min) if wanted >= current else (down, max)
        stable = choose([n for when, n in self._recommended if at - when < window] + [wanted])
        if stable > current:
            limits = [self._limit(policy, current, at) for policy in behavior.up]
            return min(stable, max(current, *limits))
        if stable < current:
            limits = [self._limit(policy, current, at, down=True) for policy in behavior.down]
            return max(stable, min(current, *limits))
        return current

    def _limit(self, policy: Policy, current: int, at: float, *, down: bool = False) -> int:
        """How far one policy lets the number go, counted from the start of its period."""
        recent = [n for when, n in self._changes if at - when < policy.period_seconds]
        start = current - sum(n for n in recent if (n < 0) == down)
        if policy.type == "Pods":
            return start - policy.value if down else start + policy.value
        share = policy.value / 100
        return int(start * (1 - share)) if down else math.ceil(start * (1 + share))


class KedaScaler:
    """KEDA's poll and the HPA's sync, on one fleet.

    Args:
        fleet: what they scale.
        settings: the ScaledObject.
        rng: for where in their periods the poll and the sync stand when the run begins.
        active_at: when a poll last found the list longer than the activation length.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: ScaledObject,
        rng: Random,
        active_at: float | None = None,
    ) -> None:
        self.decisions = 0
        """Polls and syncs."""
        self._fleet, self._events, self._settings = fleet, fleet.events, settings
        self._hpa = Hpa(settings)
        self._active_at = active_at
        self._events.after(rng.random() * settings.polling_seconds, self.poll)
        self._events.after(rng.random() * SYNC_SECONDS, self.sync)

    def poll(self) -> None:
        self._events.after(self._settings.polling_seconds, self.poll)
        self.decisions += 1
        settings, now, current = self._settings, self._events.now, self._fleet.replicas
        idle = settings.min_replicas if settings.idle_replicas is None else settings.idle_replicas
        if self._fleet.waiting > settings.activation_length:
            self._active_at = math.floor(now)
            if current <= idle and current < max(settings.min_replicas, 1):
                self._write(max(settings.min_replicas, 1))
        elif current > idle and (settings.min_replicas == 0 or settings.idle_replicas is not None):
            if self._active_at is None or now > self._active_at + settings.cooldown_seconds:
                self._write(idle)
        elif current < settings.min_replicas and settings.idle_replicas is None:
            self._write(settings.min_replicas)

    def sync(self) -> None:
        self._events.after(SYNC_SECONDS, self.sync)
        current = self._fleet.replicas
        if current == 0:
            return  # an HPA whose workload is at zero is switched off
        self.decisions += 1
        self._write(self._hpa.desired(current, self._fleet.waiting, self._events.now))

    def _write(self, replicas: int) -> None:
        """A little later, and only if nobody wrote meanwhile: both send a resourceVersion."""
        seen = len(self._fleet.changes)
        if replicas != self._fleet.replicas:
            self._events.after(LATENCY_SECONDS, self._arrive, replicas, seen)

    def _arrive(self, replicas: int, seen: int) -> None:
        if len(self._fleet.changes) == seen:
            self._fleet.scale(replicas)
