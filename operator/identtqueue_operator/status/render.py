"""The report of one round, pure: as the status of a TaskQueue, and as events.

The status has two speeds. Words (reason, conditions, the decision) change when something happens
and are written at once. Numbers change all the time; they are written along with words, else at
most every 30 s. `Told.fingerprint` is what makes a status worth writing at once.

Events follow from the difference between two statuses and from what was done, so an operator that
restarts does not repeat them. A condition that was not observed is Unknown and keeps its reason, so
that a later finding is news only if it differs.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from identtqueue.logs import clean
from identtqueue_operator.model import (
    Cause,
    Decision,
    Limit,
    Observed,
    Outcome,
    Pod,
    SourceTrouble,
    Startup,
    Trigger,
    WorkerTrouble,
    WorkloadKey,
)
from identtqueue_operator.policy.foreign_changes import TOLD_SECONDS, describe_change
from identtqueue_operator.times import rfc3339, timestamp

Json = dict[str, Any]

MAX_IDS_IN_EVENT = 10
MOST_CHARACTERS = 1_024
"""Longest text in a status or an event; the API server's own limit for events."""
NOBODY_WORKS_SECONDS = 60.0
"""Time without any working pod, for a known reason, after which the TaskQueue is not Ready."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth an Event of Kubernetes."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round, as far as it got. A field that it did not reach is None."""

    at: float
    generation: int
    workload: WorkloadKey | None
    problem: Cause | None = None
    """What is wrong with the resource or its workload."""
    pause: Cause | None = None
    """The part of scaling that is paused."""
    failing: bool = False
    """Whether rounds before this one have failed too, so that `outcome.failure` is news."""
    seen: Observed | None = None
    decision: Decision | None = None
    outcome: Outcome = field(default_factory=Outcome)
    reverted: bool = False
    """Whether another's change of a template's workload was reverted."""
    warnings: tuple[str, ...] = ()
    """Warnings of the API server when that workload was written."""
    startup: Startup | None = None
    """The start-up time as measured so far."""
    original: int | None = None
    """The number of replicas to restore when the TaskQueue is deleted."""
    operator: str = ""
    """Name of the operator that reports."""
    blind: str = ""
    """Why changes in the namespace are not seen, in the API server's words."""
    other_operator: str = ""
    """Name of another operator that serves the TaskQueue too, and was turned away."""

    @property
    def paused(self) -> bool:
        """Whether the number of replicas is left alone."""
        return self.pause is not None and self.pause.reason == "SpecPaused"


@dataclass(frozen=True, slots=True)
class Told:
    """A status to write, and the events that go with it."""

    status: Json
    events: tuple[Event, ...]
    fingerprint: tuple[Any, ...]


def render_status(now: Round, previous: Mapping[str, Any]) -> Told:
    """Make status and events after a round.

    Args:
        now: the round.
        previous: the status before it, as stored.
    """
    reason, message = headline(now, previous)
    status: Json = {
        "brief": f"{reason}: {message}",
        "operator": {"name": now.operator} if now.operator else previous.get("operator"),
        "observedGeneration": now.generation,
        "workload": now.workload.name if now.workload else None,
        "reason": reason,
        "message": message,
        "originalReplicas": _original(now, previous),
        "replicas": _replicas(now, previous),
        "tasks": _tasks(now) or previous.get("tasks"),
        **_triggers(now, previous),
        "lastDecision": _last_decision(now, previous),
        "lastScaleTime": _last_scale_time(now, previous),
        "lastActiveTime": _last_active_time(now, previous),
        "startupSeconds": _startup_seconds(now, previous),
        "recovered": _recovered(now, previous),
        "conditions": _conditions(now, previous, reason, message),
    }
    status = _tidy(status)
    found = _events(now, previous, status)
    events = tuple(replace(each, message=_tidy(each.message)) for each in found)
    return Told(status, events, _fingerprint(status))


def _tidy(value: Any) -> Any:
    """Make a status as the API server stores it, and as a terminal may show it.

    Fields without a value are left out. Texts may quote others: the API server, a container.
    """
    if isinstance(value, dict):
        return {key: _tidy(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_tidy(child) for child in value]
    return clean(str(value), MOST_CHARACTERS, line_break=" ") if isinstance(value, str) else value


# --- in one word ----------------------------------------------------------------------------------

_SET_BY_HAND = (Limit.REPLICAS_CHANGED_BY_OTHERS, Limit.SCALE_UP_PAUSED, Limit.SCALE_DOWN_PAUSED)
"""What a person has set, or can fix. It comes before what follows from the rules."""
_HEADLINES = {
    Limit.MAX_REPLICAS: "AtMaxReplicas",
    Limit.IDLE_SECONDS: "CoolingDown",
    Limit.STABILIZATION_WINDOW: "Stabilizing",
    Limit.ACTIVATION_THRESHOLD: "BelowThreshold",
    Limit.INITIAL_COOLDOWN: "CoolingDown",
    Limit.SCALE_UP_MAX_STEP: "ScalingUp",
    Limit.SCALE_UP_POLICY: "ScalingUp",
    Limit.SCALE_DOWN_MAX_STEP: "ScalingDown",
    Limit.SCALE_DOWN_POLICY: "ScalingDown",
    Limit.ROLLOUT: "RollingOut",
}


def headline(now: Round, previous: Mapping[str, Any]) -> Cause:
    """Say what is going on: one word for the Reason column, and a sentence."""
    if now.problem is not None:
        return now.problem
    seen, decision = now.seen, now.decision
    assert seen is not None
    assert decision is not None
    if seen.workload is None:
        return Cause("WorkloadMissing", f"{now.workload} does not exist")
    target = decision.target
    failed = now.failing and now.outcome.failure and seen.source.trouble is None
    if now.blind or failed:
        missing = Cause("RightsMissing", f"{now.blind}; {target.message}")
        return missing if now.blind else Cause("ActionFailed", now.outcome.failure)
    if now.paused and not seen.conflict and seen.source.trouble is None:
        return Cause("Paused", target.message)
    if decision.drain.victims and target.replicas < decision.current:
        workers = seen.workers_by_pod()
        held = sum(w.in_flight for pod in decision.drain.victims for w in workers[pod.uid])
        holds = f"still hold {_count(held, 'task')}" if held else "hold no task"
        count = f"{len(decision.drain.victims)} of {decision.current}"
        return Cause("Draining", f"{count} pods are draining and {holds}; {target.message}")
    return _otherwise(now, previous, seen, decision)


def _otherwise(
    now: Round, previous: Mapping[str, Any], seen: Observed, decision: Decision
) -> Cause:
    health, target, trouble = decision.health, decision.target, _trouble(now, previous)
    if health.trouble and not health.working and trouble in (None, health.reason):
        return Cause(health.reason, f"{health.message}; {target.message}")
    return Cause(trouble or _at_work(seen, decision), target.message)


def _at_work(seen: Observed, decision: Decision) -> str:
    assert seen.workload is not None
    target = decision.target
    for limit in _SET_BY_HAND:
        if limit in target.limited_by:
            return limit
    if target.reason == "PausedAtReplicas" and target.replicas == decision.current:
        return target.reason
    found = next((limit for limit in target.limited_by if limit in _HEADLINES), None)
    if found is not None:
        return _HEADLINES[found]
    return _on_its_way(seen, decision)


def _on_its_way(seen: Observed, decision: Decision) -> str:
    assert seen.workload is not None
    target = decision.target
    if target.replicas > decision.current:
        return "ScalingUp"
    if target.replicas < decision.current:
        return "ScalingDown"
    if target.replicas > seen.workload.ready:
        return "StartingWorkers"
    return "Working" if seen.depth is not None and seen.depth.demand else "Idle"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- numbers --------------------------------------------------------------------------------------


def _replicas(now: Round, previous: Mapping[str, Any]) -> Json | None:
    before: Json | None = previous.get("replicas")
    if now.seen is None or now.decision is None or now.seen.workload is None:
        return before
    if now.seen.depth is None:  # nor are the workers known
        draining = (before or {}).get("draining", 0)
    else:
        draining = len(_draining_pods(now.seen, now.decision))
    scaled = now.outcome.scaled_to
    return {
        "desired": now.decision.target.replicas,
        "current": now.decision.current if scaled is None else scaled,
        "ready": now.seen.workload.ready,
        "draining": draining,
    }


def _tasks(now: Round) -> Json | None:
    depth = now.seen.depth if now.seen else None
    if depth is None:
        return None
    oldest = depth.oldest_wait_seconds
    return {
        "queued": depth.queued,
        "held": depth.held,
        "inFlight": depth.in_flight,
        "scheduled": depth.scheduled,
        "dead": depth.dead,
        "oldestWaitSeconds": None if oldest is None else int(oldest),
    }


def _triggers(now: Round, previous: Mapping[str, Any]) -> Json:
    """Say of each of several triggers what it asks for, and which one decides."""
    seen, decision = now.seen, now.decision
    if seen is None or decision is None:
        return {name: previous.get(name) for name in ("decidedBy", "triggersReachable", "triggers")}
    if len(seen.triggers) == 1:
        return {}
    wishes = dict(decision.target.wishes)
    total = len(seen.triggers)
    return {
        "decidedBy": decision.target.trigger or None,
        "triggersReachable": f"{total - len(seen.blind)}/{total}",
        "triggers": [_trigger(each, wishes.get(each.name)) for each in seen.triggers],
    }


def _trigger(trigger: Trigger, desired: int | None) -> Json:
    depth = trigger.depth
    if depth is None:
        return {"name": trigger.name, "reachable": False, "message": trigger.source.message}
    status: Json = {"name": trigger.name, "reachable": True}
    if desired is not None:
        status["desired"] = desired
    status |= {"queued": depth.queued, "inFlight": depth.in_flight}
    if depth.oldest_wait_seconds is not None:
        status["oldestWaitSeconds"] = int(depth.oldest_wait_seconds)
    return status


def _last_decision(now: Round, previous: Mapping[str, Any]) -> Json | None:
    """Return the last change of the number or, if a limit has held it back since, that."""
    before: Json = previous.get("lastDecision") or {}
    if now.decision is None or now.seen is None or now.seen.workload is None:
        return before or None
    target, current = now.decision.target, now.decision.current
    decision: Json = {
        "time": rfc3339(now.at),
        "from": current,
        "to": target.replicas,
        "reason": target.reason,
        "limitedBy": ", ".join(target.limited_by) or "None",
        "message": target.message,
    }
    if before.get("to") == target.replicas == current and not target.limited_by:
        return before  # nothing to decide: the decision that led to this number explains it better
    if all(before.get(name) == decision[name] for name in ("to", "reason", "limitedBy")):
        return {**before, "message": target.message}
    return decision


def _last_scale_time(now: Round, previous: Mapping[str, Any]) -> str | None:
    return previous.get("lastScaleTime") if now.outcome.scaled_to is None else rfc3339(now.at)


def _last_active_time(now: Round, previous: Mapping[str, Any]) -> str | None:
    active = now.seen is not None and now.seen.depth is not None and now.seen.depth.demand > 0
    return rfc3339(now.at) if active else previous.get("lastActiveTime")


def _original(now: Round, previous: Mapping[str, Any]) -> int | None:
    return previous.get("originalReplicas") if now.original is None else now.original


def _startup_seconds(now: Round, previous: Mapping[str, Any]) -> int | None:
    if now.startup is None or now.startup.seconds is None:
        return previous.get("startupSeconds")
    return math.ceil(now.startup.seconds)


def _recovered(now: Round, previous: Mapping[str, Any]) -> Json | None:
    before: Json | None = previous.get("recovered")
    count = sum(len(item.requeued) + len(item.dead) for item in now.outcome.recovered)
    if not count:
        return before
    return {"total": (before or {}).get("total", 0) + count, "lastTime": rfc3339(now.at)}


def _fingerprint(status: Json) -> tuple[Any, ...]:
    """Return what is worth a write at once: words, and numbers that came to rest."""
    replicas, tasks = status.get("replicas", {}), status.get("tasks", {})
    decision = status.get("lastDecision", {})
    return (
        status.get("operator"),
        status["observedGeneration"],
        status["reason"],
        tuple(_words_of(condition) for condition in status["conditions"]),
        (replicas.get("desired"), replicas.get("current"), replicas.get("draining")),
        replicas.get("ready", 0) >= replicas.get("current", 0),
        bool(tasks.get("queued") or tasks.get("inFlight")),
        tuple((each["name"], each["reachable"]) for each in status.get("triggers", ())),
        status.get("decidedBy"),
        (decision.get("to"), decision.get("reason"), decision.get("limitedBy")),
        status.get("recovered", {}).get("total"),
    )


def _words_of(condition: Json) -> tuple[str, ...]:
    """Return what of a condition is news: its message only where it says what to mend.

    "Can't be reached" is enough; which node of a cluster was tried last is chance.
    """
    broken = (
        condition["type"] in ("RedisReachable", "WorkloadFound")
        and condition["status"] == "False"
        and condition["reason"] != SourceTrouble.UNREACHABLE
    )
    return (
        condition["type"],
        condition["status"],
        condition["reason"],
        condition["message"] if broken else "",
    )


# --- conditions -----------------------------------------------------------------------------------


class Finding(NamedTuple):
    """The state of one condition, and why."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def _conditions(now: Round, previous: Mapping[str, Any], reason: str, message: str) -> list[Json]:
    before = {c["type"]: c for c in previous.get("conditions") or ()}
    return [
        _condition(kind, finding, before.get(kind), now)
        for kind, finding in _findings(now, previous, reason, message).items()
    ]


def _condition(kind: str, finding: Finding, before: Mapping[str, Any] | None, now: Round) -> Json:
    status, reason, message = finding
    since = rfc3339(now.at)
    if before is not None and before["status"] == status:
        since = before["lastTransitionTime"]
    if before is not None and status == "Unknown":
        reason = before["reason"]
    return {
        "type": kind,
        "status": status,
        "observedGeneration": now.generation,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }


_UNKNOWN = Finding("Unknown", "NotObserved", "not observed in this round; see the condition Ready")


def _findings(
    now: Round, previous: Mapping[str, Any], reason: str, message: str
) -> dict[str, Finding]:
    broken = now.problem is not None or _trouble(now, previous) is not None
    return {
        "Ready": Finding("False" if broken else "True", reason, message),
        "RedisReachable": _redis(now.seen),
        "WorkloadFound": _workload(now),
        "WorkersReady": _workers(now.seen, now.decision),
        "Active": _active(now.seen),
        "ScalingLimited": _limited(now.decision),
        "Draining": _draining(now.seen, now.decision),
        "Paused": _paused(now),
        "Conflicting": _conflicting(now.seen),
        "QueueShared": _shared(now.seen),
        "EntriesUnreadable": _unreadable(now.seen),
        "ReplicasChangedByOthers": _changed_by_others(now.seen, now.decision),
        "OperatorsOverlap": _overlap(now),
    }


def _trouble(now: Round, previous: Mapping[str, Any]) -> str | None:
    """Say why scaling does not work, or why no worker has worked for long; None if all is well."""
    seen = now.seen
    if seen is None:
        return None
    if seen.workload is None:
        return "WorkloadMissing"
    if now.blind or seen.conflict:
        return "RightsMissing" if now.blind else "Conflicting"
    if seen.source.trouble is not None:
        return seen.source.trouble
    if now.failing and now.outcome.failure:
        return "ActionFailed"
    return _nobody_works(now, previous)


def _nobody_works(now: Round, previous: Mapping[str, Any]) -> str | None:
    """Say why no worker has worked for a while, if that is known."""
    if now.decision is None or now.paused:
        return None
    health = now.decision.health
    if health.strange:
        return health.reason
    if not health.trouble or health.working:
        return None
    since = next(
        (
            timestamp(condition["lastTransitionTime"])
            for condition in previous.get("conditions") or ()
            if condition["type"] == "WorkersReady" and condition["status"] == "False"
        ),
        None,
    )
    # A time in the future was written before the clock was set back: it counts as long ago.
    lasting = since is not None and not 0 <= now.at - since < NOBODY_WORKS_SECONDS
    return health.reason if lasting else None


def _redis(seen: Observed | None) -> Finding:
    if seen is None:
        return _UNKNOWN
    if seen.source.trouble is None:
        return Finding("True", "Reachable", "Redis answers")
    return Finding("False", str(seen.source.trouble), _of_which(seen))


def _of_which(seen: Observed) -> str:
    """Say what is wrong with Redis; of several triggers, with whose."""
    if len(seen.triggers) == 1:
        return seen.source.message
    return "; ".join(f"{names}: {cause}" for names, cause in seen.blind_by_cause())


def _workload(now: Round) -> Finding:
    if now.problem is not None and now.problem.reason.startswith("Workload"):
        return Finding("False", *now.problem)
    if now.seen is None:
        return _UNKNOWN
    if now.seen.workload is None:
        return Finding("False", "WorkloadMissing", f"{now.workload} does not exist")
    return Finding("True", "Found", f"{now.workload} exists")


def _workers(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.workload is None or seen.depth is None:
        return _UNKNOWN
    health = decision.health
    return Finding("True" if health.well else "False", health.reason, health.message)


def _active(seen: Observed | None) -> Finding:
    if seen is None or seen.depth is None:
        return _UNKNOWN
    if not seen.depth.demand:
        return Finding("False", "QueuesEmpty", "no task waits or runs")
    text = f"{seen.depth.waiting} tasks wait, {seen.depth.in_flight} run"
    if seen.depth.due_soon:
        text += f", {seen.depth.due_soon} fall due soon"
    if seen.depth.held:
        text += f", {seen.depth.held} are held by limits"
    return Finding("True", "TasksPresent", text)


def _limited(decision: Decision | None) -> Finding:
    if decision is None:
        return _UNKNOWN
    if decision.target.limited_by:
        return Finding("True", decision.target.limited_by[0], decision.target.message)
    return Finding("False", "NotLimited", "no limit holds the number back")


def _draining(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.depth is None:
        return _UNKNOWN
    told = _draining_pods(seen, decision)
    if not told:
        return Finding("False", "NobodyDrains", "no worker drains")
    workers = seen.workers_by_pod()
    busy = [pod for pod in told if any(worker.in_flight for worker in workers[pod.uid])]
    idle = [pod for pod in told if pod not in busy]
    parts = (("finishing their tasks", busy), ("idle, about to end", idle))
    return Finding(
        "True", "ScaleDown", "; ".join(f"{what}: {_names(of)}" for what, of in parts if of)
    )


def _names(pods: Iterable[Pod]) -> str:
    return ", ".join(sorted(pod.key.name for pod in pods)[:MAX_IDS_IN_EVENT])


def _draining_pods(seen: Observed, decision: Decision) -> list[Pod]:
    """List pods whose workers drain, or will after this round, and are not called back by it."""
    workers = seen.workers_by_pod()
    victims = {pod.uid for pod in decision.drain.victims}
    back = {worker.worker_id for worker in decision.drain.call_back}
    return [
        pod
        for pod in seen.pods
        if pod.gone_at is None
        and workers[pod.uid]
        and (
            pod.uid in victims
            or any(w.draining and w.worker_id not in back for w in workers[pod.uid])
        )
    ]


def _paused(now: Round) -> Finding:
    if now.problem is not None and now.problem.reason == "InvalidSpec":
        return _UNKNOWN
    if now.pause is not None:
        return Finding("True", *now.pause)
    return Finding("False", "NotPaused", "scaling is not paused")


def _conflicting(seen: Observed | None) -> Finding:
    if seen is None:
        return _UNKNOWN
    if seen.conflict:
        return Finding("True", "AnotherScaler", seen.conflict)
    return Finding("False", "OnlyScaler", "nothing else is known to scale the workload")


def _shared(seen: Observed | None) -> Finding:
    if seen is None:
        return _UNKNOWN
    if seen.shared:
        return Finding(
            "True",
            "AnotherTaskQueue",
            f"{seen.shared}: each TaskQueue starts workers for all tasks of that queue",
        )
    return Finding("False", "OnlyTaskQueue", "no other TaskQueue counts the same tasks")


def _unreadable(seen: Observed | None) -> Finding:
    if seen is None or seen.depth is None:
        return _UNKNOWN
    if not seen.flaws:
        return Finding("False", "AllReadable", "the entries of all workers in Redis can be read")
    text = (
        f"worker entries in Redis that can't be read, at least in part: {len(seen.flaws)} "
        f"({seen.flaws[0]}); something other than a worker has written there"
    )
    return Finding("True", "ForeignData", text)


def _changed_by_others(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.workload is None:
        return _UNKNOWN
    changes = decision.hands.changes
    if not changes or seen.steady - changes[-1].at > TOLD_SECONDS:
        return Finding(
            "False", "OnlyHand", "nobody else has changed the number of replicas recently"
        )
    text = describe_change(changes[-1])
    return Finding(
        "True", "AnotherHand", f"{text}; {_count(len(changes), 'change')} within 30 minutes"
    )


def _overlap(now: Round) -> Finding:
    if not now.other_operator:
        return Finding(
            "False", "OnlyOperator", "no other operator has claimed this TaskQueue recently"
        )
    text = (
        f"operator {now.other_operator} serves this TaskQueue too, and leaves it to "
        f"{now.operator}; separate them by watchNamespaces or watchLabelSelector"
    )
    return Finding("True", "AnotherOperator", text)


# --- events ---------------------------------------------------------------------------------------


def _events(now: Round, previous: Mapping[str, Any], status: Json) -> Iterable[Event]:
    before = {c["type"]: c for c in previous.get("conditions") or ()}
    after = {c["type"]: c for c in status["conditions"]}
    yield from _scale_events(now)
    for warning in now.warnings:
        text = f"{now.workload} was written, and the API server warns: {warning}"
        yield Event("Warning", "WorkloadWarning", text)
    if now.reverted:
        text = f"somebody changed {now.workload}; the operator has restored what the template says"
        yield Event("Normal", "WorkloadReverted", text)
    if now.decision and now.decision.hands.is_news:
        change = now.decision.hands.changes[-1]
        kind: Literal["Normal", "Warning"] = "Warning" if change.after < change.before else "Normal"
        yield Event(kind, "ReplicasChangedByOthers", describe_change(change))
    yield from _recovery_events(now.outcome)
    yield from _condition_events(before, after)
    yield from _worker_events(before, after)
    ready = after["Ready"]
    if ready["reason"] != before.get("Ready", {}).get("reason") and (
        now.problem is not None or ready["reason"] in ("ActionFailed", "RightsMissing")
    ):
        yield Event("Warning", ready["reason"], ready["message"])
    if now.decision and now.outcome.scaled_to is not None and now.decision.drain.timed_out:
        names = ", ".join(pod.key.name for pod in now.decision.drain.timed_out)
        yield Event(
            "Warning",
            "DrainTimedOut",
            f"drain.timeoutSeconds has passed; these pods end although they hold tasks: {names}",
        )


def _scale_events(now: Round) -> Iterable[Event]:
    start, end = now.outcome.scaled_from, now.outcome.scaled_to
    if start is None or end is None or now.decision is None:
        return
    reason = "ScaledUp" if end > start else "ScaledDown" if end else "ScaledToZero"
    yield Event("Normal", reason, f"{start} -> {end}: {now.decision.target.message}")


def _recovery_events(outcome: Outcome) -> Iterable[Event]:
    for item in outcome.recovered:
        where = f"queue {item.queue} (worker in {item.pod}: {item.cause})"
        if item.requeued:
            count = _count(len(item.requeued), "task")
            yield Event("Warning", "TasksRequeued", f"{count} returned to {where}")
        if item.dead:
            ids = ", ".join(item.dead[:MAX_IDS_IN_EVENT])
            more = len(item.dead) - MAX_IDS_IN_EVENT
            tail = f" and {more} more" if more > 0 else ""
            yield Event(
                "Warning",
                "TaskDeadLettered",
                f"dead letters now, because too many workers died with them: {ids}{tail}; {where}",
            )


def _worker_events(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Iterable[Event]:
    was, now = before.get("WorkersReady", {}), after["WorkersReady"]
    if now["reason"] in set(WorkerTrouble) and now["reason"] != was.get("reason"):
        yield Event("Warning", now["reason"], now["message"])


def _condition_events(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Iterable[Event]:
    def turned(kind: str, status: str) -> bool:
        """Return whether a condition became so, or stayed so for another reason."""
        was, now = before.get(kind, {}), after[kind]
        return bool(now["status"] == status and was.get("reason") != now["reason"])

    redis = after["RedisReachable"]
    if turned("RedisReachable", "False"):
        yield Event("Warning", redis["reason"], redis["message"])
    first_look = before.get("RedisReachable", {}).get("reason") in (None, _UNKNOWN.reason)
    if turned("RedisReachable", "True") and not first_look:
        yield Event("Normal", "RedisRecovered", "Redis answers again; scaling resumes")
    found = after["WorkloadFound"]
    if turned("WorkloadFound", "False") and found["reason"] == "WorkloadMissing":
        yield Event("Warning", "WorkloadMissing", found["message"])
    if turned("Conflicting", "True"):
        yield Event("Warning", "ConflictingAutoscaler", after["Conflicting"]["message"])
    if turned("QueueShared", "True"):
        yield Event("Warning", "QueueShared", after["QueueShared"]["message"])
    if turned("EntriesUnreadable", "True"):
        yield Event("Warning", "EntriesUnreadable", after["EntriesUnreadable"]["message"])
    if turned("OperatorsOverlap", "True"):
        yield Event("Warning", "OperatorsOverlap", after["OperatorsOverlap"]["message"])
    if turned("Draining", "True"):
        # Without names of pods (the condition has them), so that repeated events are counted up.
        busy = after["Draining"]["message"].startswith("finishing")
        rest = "they finish their tasks first" if busy else "they hold no task"
        yield Event("Normal", "DrainStarted", f"workers were told to stop fetching; {rest}")
