"""The conditions of a status, pure.

A condition that was not observed is Unknown and keeps its reason, so that a later finding is
news only if it differs.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from identtqueue_operator.model import (
    WORKLOAD_PROBLEMS,
    Decision,
    Observed,
    Pod,
    Problem,
)
from identtqueue_operator.policy.foreign_changes import TOLD_SECONDS, describe_change
from identtqueue_operator.status.headline import find_trouble
from identtqueue_operator.status.numbers import draining_pods
from identtqueue_operator.status.round import MAX_IDS_IN_EVENT, Json, Round, count_of
from identtqueue_operator.times import rfc3339


class Finding(NamedTuple):
    """The state of one condition, and why."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


UNKNOWN = Finding("Unknown", "NotObserved", "not observed in this round; see the condition Ready")


def render_conditions(
    now: Round, previous: Mapping[str, Any], reason: str, message: str
) -> list[Json]:
    """Make the conditions after a round.

    Args:
        now: the round.
        previous: the status before it.
        reason: of `Ready`, in one word.
        message: of `Ready`, in one sentence.
    """
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


def _findings(
    now: Round, previous: Mapping[str, Any], reason: str, message: str
) -> dict[str, Finding]:
    broken = now.problem is not None or find_trouble(now, previous) is not None
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


def _redis(seen: Observed | None) -> Finding:
    if seen is None:
        return UNKNOWN
    if seen.source.trouble is None:
        return Finding("True", "Reachable", "Redis answers")
    return Finding("False", str(seen.source.trouble), _of_which(seen))


def _of_which(seen: Observed) -> str:
    """Say what is wrong with Redis; of several triggers, with whose."""
    if len(seen.triggers) == 1:
        return seen.source.message
    return "; ".join(f"{names}: {cause}" for names, cause in seen.blind_by_cause())


def _workload(now: Round) -> Finding:
    if now.problem is not None and now.problem.reason in WORKLOAD_PROBLEMS:
        return Finding("False", *now.problem)
    if now.seen is None:
        return UNKNOWN
    if now.seen.workload is None:
        return Finding("False", Problem.WORKLOAD_MISSING, f"{now.workload} does not exist")
    return Finding("True", "Found", f"{now.workload} exists")


def _workers(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.workload is None or seen.depth is None:
        return UNKNOWN
    health = decision.health
    return Finding("True" if health.well else "False", health.reason, health.message)


def _active(seen: Observed | None) -> Finding:
    if seen is None or seen.depth is None:
        return UNKNOWN
    if not seen.depth.demand:
        return Finding("False", "QueuesEmpty", "no task waits or runs")
    text = f"tasks: {seen.depth.waiting} waiting, {seen.depth.in_flight} running"
    if seen.depth.due_soon:
        text += f", {seen.depth.due_soon} due soon"
    if seen.depth.held:
        text += f", {seen.depth.held} held by limits or pauses"
    return Finding("True", "TasksPresent", text)


def _limited(decision: Decision | None) -> Finding:
    if decision is None:
        return UNKNOWN
    if decision.target.limited_by:
        return Finding("True", decision.target.limited_by[0], decision.target.message)
    return Finding("False", "NotLimited", "no limit holds the number back")


def _draining(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.depth is None:
        return UNKNOWN
    draining = draining_pods(seen, decision)
    if not draining:
        return Finding("False", "NobodyDrains", "no worker drains")
    workers = seen.workers_by_pod()
    busy = [pod for pod in draining if any(worker.in_flight for worker in workers[pod.uid])]
    going = {pod.uid for pod in draining if not pod.drains_by_hand}
    going |= {pod.uid for pod in decision.drain.victims}
    idle = [pod for pod in draining if pod not in busy and pod.uid in going]
    kept = [pod for pod in draining if pod not in busy and pod.uid not in going]
    parts = (
        ("finishing their tasks", busy),
        ("idle, about to end", idle),
        ("idle, drained by hand", kept),
    )
    message = "; ".join(f"{what}: {_names(of)}" for what, of in parts if of)
    return Finding("True", "ScaleDown" if going else "DrainedByHand", message)


def _names(pods: Iterable[Pod]) -> str:
    return ", ".join(sorted(pod.key.name for pod in pods)[:MAX_IDS_IN_EVENT])


def _paused(now: Round) -> Finding:
    if now.problem is not None and now.problem.reason == Problem.INVALID_SPEC:
        return UNKNOWN
    if now.pause is not None:
        return Finding("True", *now.pause)
    return Finding("False", "NotPaused", "scaling is not paused")


def _conflicting(seen: Observed | None) -> Finding:
    if seen is None:
        return UNKNOWN
    if seen.conflict:
        return Finding("True", "AnotherScaler", seen.conflict)
    return Finding("False", "OnlyScaler", "nothing else is known to scale the workload")


def _shared(seen: Observed | None) -> Finding:
    if seen is None:
        return UNKNOWN
    if seen.shared:
        return Finding(
            "True",
            "AnotherTaskQueue",
            f"{seen.shared}: each TaskQueue starts workers for all tasks of that queue",
        )
    return Finding("False", "OnlyTaskQueue", "no other TaskQueue counts the same tasks")


def _unreadable(seen: Observed | None) -> Finding:
    if seen is None or seen.depth is None:
        return UNKNOWN
    if not seen.flaws:
        return Finding("False", "AllReadable", "the entries of all workers in Redis can be read")
    text = (
        f"worker entries in Redis that can't be read, at least in part: {len(seen.flaws)} "
        f"({seen.flaws[0]}); something other than a worker has written there"
    )
    return Finding("True", "ForeignData", text)


def _changed_by_others(seen: Observed | None, decision: Decision | None) -> Finding:
    if seen is None or decision is None or seen.workload is None:
        return UNKNOWN
    changes = decision.hands.changes
    if not changes or seen.steady - changes[-1].at > TOLD_SECONDS:
        return Finding(
            "False", "OnlyHand", "nobody else has changed the number of replicas recently"
        )
    text = describe_change(changes[-1])
    return Finding(
        "True", "AnotherHand", f"{text}; {count_of(len(changes), 'change')} within 30 minutes"
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
