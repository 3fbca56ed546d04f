"""The events of a round, pure.

They follow from the difference between two statuses and from what was done, so an operator that
restarts does not repeat them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from identtqueue_operator.model import (
    Outcome,
    Problem,
    WorkerTrouble,
)
from identtqueue_operator.policy.foreign_changes import describe_change
from identtqueue_operator.status.conditions import UNKNOWN
from identtqueue_operator.status.round import MAX_IDS_IN_EVENT, Json, Round, count_of


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth an Event of Kubernetes."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def render_events(now: Round, previous: Mapping[str, Any], status: Json) -> Iterable[Event]:
    """Yield what is news.

    Args:
        now: the round.
        previous: the status before it.
        status: the status after it.
    """
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
            count = count_of(len(item.requeued), "task")
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
    first_look = before.get("RedisReachable", {}).get("reason") in (None, UNKNOWN.reason)
    if turned("RedisReachable", "True") and not first_look:
        yield Event("Normal", "RedisRecovered", "Redis answers again; scaling resumes")
    found = after["WorkloadFound"]
    if turned("WorkloadFound", "False") and found["reason"] == Problem.WORKLOAD_MISSING:
        yield Event("Warning", Problem.WORKLOAD_MISSING, found["message"])
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
