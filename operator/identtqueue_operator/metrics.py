"""Numbers for Prometheus.

The numbers of each TaskQueue are read from its last round when Prometheus asks, rather than kept in
gauge objects of their own: two thousand TaskQueues would otherwise take tens of megabytes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from identtqueue_operator.model import Decision, Depth, Key, Observed, Outcome

PREFIX = "identtqueue_operator_"
LABELS = ("namespace", "taskqueue")


class Snapshot(NamedTuple):
    """The last round of one TaskQueue."""

    key: Key
    ready: bool
    reason: str
    seen: Observed | None
    """None: the round did not get so far, and what was seen before may be untrue by now."""
    decision: Decision | None


class _Look(NamedTuple):
    """The observation and the decision of a round."""

    key: Key
    seen: Observed
    decision: Decision


_NUMBERS: tuple[tuple[str, str, Callable[[_Look], float]], ...] = (
    ("replicas_desired", "Replicas that the operator wants.", lambda s: s.decision.target.replicas),
    ("replicas_current", "Replicas in the workload's spec.", lambda s: s.decision.current),
    (
        "workers_draining",
        "Workers that are being drained.",
        lambda s: len(s.decision.drain.victims),
    ),
    (
        "redis_reachable",
        "1 while Redis answers and works; with several Redis, while all of them do.",
        lambda s: s.seen.source.trouble is None,
    ),
    (
        "workers_working",
        "Pods that are ready and registered as workers.",
        lambda s: s.decision.health.working,
    ),
    (
        "workers_failing",
        "1 while workers cannot work, for the reason in the condition WorkersReady.",
        lambda s: s.decision.health.trouble,
    ),
    (
        "entries_unreadable",
        "Workers' entries in Redis that cannot be read, in part or at all.",
        lambda s: len(s.seen.flaws),
    ),
    (
        "conflicting",
        "1 while another autoscaler scales the workload too.",
        lambda s: bool(s.seen.conflict),
    ),
)
_QUEUE_NUMBERS: tuple[tuple[str, str, Callable[[Depth], float]], ...] = (
    ("tasks_queued", "Tasks that wait.", lambda d: d.queued),
    ("tasks_held", "Waiting tasks that their jobs' limits hold back.", lambda d: d.held),
    ("tasks_in_flight", "Tasks that run.", lambda d: d.in_flight),
    ("tasks_scheduled", "Scheduled tasks (delays, retries, cron).", lambda d: d.scheduled),
    (
        "tasks_due_soon",
        "Scheduled tasks that fall due before a new pod would be ready.",
        lambda d: d.due_soon,
    ),
    (
        "startup_seconds",
        "How long a pod is expected to take until it is ready.",
        lambda d: d.due_within_seconds,
    ),
    ("tasks_dead", "Dead letters.", lambda d: d.dead),
    (
        "oldest_wait_seconds",
        "For how long the oldest waiting task has waited.",
        lambda d: d.oldest_wait_seconds or 0.0,
    ),
)


_TRIGGER_NUMBERS: tuple[tuple[str, str, Callable[[Depth], float]], ...] = (
    ("trigger_tasks_queued", "Tasks of the trigger that wait.", lambda d: d.queued),
    ("trigger_tasks_in_flight", "Tasks of the trigger that run.", lambda d: d.in_flight),
    (
        "trigger_oldest_wait_seconds",
        "For how long the oldest waiting task of the trigger has waited.",
        lambda d: d.oldest_wait_seconds or 0.0,
    ),
)
"""Numbers of each trigger that can be read; the main fields form `main`."""


class _PerTaskQueue:
    """A prometheus_client collector over the last rounds. What is not known is left out."""

    def __init__(self, snapshots: Callable[[], Iterable[Snapshot]]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        snapshots = list(self._snapshots())
        ready = ((s.key, float(s.ready)) for s in snapshots)
        yield _family("ready", "1 while the condition Ready is True.", ready)
        yield _reasons(snapshots)
        looks = [_Look(s.key, s.seen, s.decision) for s in snapshots if s.seen and s.decision]
        for name, text, number in _NUMBERS:
            yield _family(name, text, ((look.key, number(look)) for look in looks))
        known = [(look.key, look.seen.depth) for look in looks if look.seen.depth is not None]
        for name, text, of_depth in _QUEUE_NUMBERS:
            yield _family(name, text, ((key, of_depth(depth)) for key, depth in known))
        yield from _of_triggers(looks)
        there = ((look.key, d.ready) for look in looks if (d := look.seen.workload) is not None)
        yield _family("replicas_ready", "Pods that are ready.", there)


def _of_triggers(looks: Sequence[_Look]) -> Iterable[Metric]:
    triggers = [(look.key, trigger) for look in looks for trigger in look.seen.triggers]
    family = _labelled(
        "trigger_reachable",
        "1 while the queues of the trigger can be read; main is the trigger of the main fields.",
        "trigger",
    )
    for key, trigger in triggers:
        family.add_metric((*key, trigger.name), float(trigger.depth is not None))
    yield family
    for name, text, of_depth in _TRIGGER_NUMBERS:
        family = _labelled(name, text, "trigger")
        for key, trigger in triggers:
            if trigger.depth is not None:
                family.add_metric((*key, trigger.name), float(of_depth(trigger.depth)))
        yield family
    family = _labelled(
        "trigger_replicas_desired",
        "Replicas that the trigger asks for; the largest counts.",
        "trigger",
    )
    for look in looks:
        for name, replicas in look.decision.target.wishes:
            family.add_metric((*look.key, name), float(replicas))
    yield family


def _reasons(snapshots: Iterable[Snapshot]) -> GaugeMetricFamily:
    text = "1 for the reason in the status."
    family = _labelled("reason", text, "reason")
    for snapshot in snapshots:
        family.add_metric((*snapshot.key, snapshot.reason), 1.0)
    return family


def _labelled(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=(*LABELS, label))


def _family(name: str, text: str, values: Iterable[tuple[Key, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, text, labels=LABELS)
    for key, value in values:
        family.add_metric(key, float(value))
    return family


class _ApiWrites:
    """A prometheus_client collector over a number that its owner counts."""

    def __init__(self, number: Callable[[], float]) -> None:
        self._number = number

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            PREFIX + "api_writes", "Writes to the API server.", value=self._number()
        )


class Meter:
    """Counts what the operator does."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rounds = Histogram(
            PREFIX + "reconcile_seconds",
            "Duration of a reconcile round.",
            registry=self._registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
        )
        self._ring_to_patch = Histogram(
            PREFIX + "ring_to_patch_seconds",
            "Time from the doorbell to the confirmed PATCH of the workload.",
            registry=self._registry,
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
        )
        self._decisions = Counter(
            PREFIX + "scalings", "Changes of replicas.", ("reason",), registry=self._registry
        )
        self._recovered = Counter(
            PREFIX + "tasks_recovered",
            "Tasks recovered from dead workers: requeued, or made dead letters (dead).",
            ("cause", "fate"),
            registry=self._registry,
        )
        self._failures = Counter(
            PREFIX + "round_failures",
            "Reconcile rounds that failed, or whose decision was not carried out completely.",
            registry=self._registry,
        )
        self.leading = Gauge(
            PREFIX + "leading", "1 in the pod that leads.", registry=self._registry
        )

    def watch(
        self, snapshots: Callable[[], Iterable[Snapshot]], api_writes: Callable[[], float]
    ) -> None:
        """Include the numbers of the TaskQueues, and of requests that change something."""
        self._registry.register(_PerTaskQueue(snapshots))
        self._registry.register(_ApiWrites(api_writes))

    def round_done(self, decision: Decision, outcome: Outcome, seconds: float) -> None:
        """Count a round that came to its end, whether or not it could be reported."""
        self._rounds.observe(seconds)
        if outcome.scaled_to is not None:
            self._decisions.labels(decision.target.reason).inc()
        for item in outcome.recovered:
            cause = item.cause.partition(" (")[0]
            self._recovered.labels(cause, "requeued").inc(len(item.requeued))
            self._recovered.labels(cause, "dead").inc(len(item.dead))

    def round_failed(self) -> None:
        """Count a round that was cut off, or did not do all it had decided."""
        self._failures.inc()

    def rung_to_patched(self, seconds: float) -> None:
        """Record how long it took from a doorbell to more replicas."""
        self._ring_to_patch.observe(seconds)

    def exposition(self) -> bytes:
        """Write what /metrics answers."""
        return generate_latest(self._registry)
