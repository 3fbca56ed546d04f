"""The numbers of a status, pure. What a round has not seen stays as it was."""

import math
from collections.abc import Mapping
from typing import Any

from identtqueue_operator.api.v1alpha1.status import MOST_PAST_DECISIONS
from identtqueue_operator.model import (
    Decision,
    Observed,
    Pod,
    Trigger,
)
from identtqueue_operator.status.round import Json, Round
from identtqueue_operator.times import rfc3339

LONGEST_PAST_MESSAGE = 400
"""Characters of a message in the history. All of it then takes at most 6 KiB."""


def render_numbers(now: Round, previous: Mapping[str, Any]) -> Json:
    """Make the fields of the status that change all the time, and those that count or date.

    Args:
        now: the round.
        previous: the status before it, from which comes what the round did not see.
    """
    decision = _last_decision(now, previous)
    return {
        "originalReplicas": _original(now, previous),
        "replicas": _replicas(now, previous),
        "tasks": _tasks(now) or previous.get("tasks"),
        **_triggers(now, previous),
        "lastDecision": decision,
        "history": _history(decision, previous),
        "lastScaleTime": _last_scale_time(now, previous),
        "lastActiveTime": _last_active_time(now, previous),
        "startupSeconds": _startup_seconds(now, previous),
        "recovered": _recovered(now, previous),
    }


def _replicas(now: Round, previous: Mapping[str, Any]) -> Json | None:
    before: Json | None = previous.get("replicas")
    if now.seen is None or now.decision is None or now.seen.workload is None:
        return before
    if now.seen.depth is None:  # nor are the workers known
        draining = (before or {}).get("draining", 0)
    else:
        draining = len(draining_pods(now.seen, now.decision))
    scaled = now.outcome.scaled_to
    return {
        "desired": now.decision.target.replicas,
        "current": now.decision.current if scaled is None else scaled,
        "ready": now.seen.workload.ready,
        "draining": draining,
    }


def draining_pods(seen: Observed, decision: Decision) -> list[Pod]:
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


def _history(decision: Json | None, previous: Mapping[str, Any]) -> list[Json] | None:
    """Return the last decisions, the newest first.

    A decision is added when it replaces `lastDecision`, for which the status is written anyway. It
    stays as it was made: new numbers in its message change nothing here. So the history alone is
    never a reason to write.
    """
    known: list[Json] = previous.get("history") or []
    before: Json = previous.get("lastDecision") or {}
    if decision is None or all(
        before.get(name) == decision[name] for name in decision.keys() - {"message"}
    ):
        return known or None
    if known and _is_hold(known[0]) and _is_hold(decision):
        known = known[1:]
    message = decision["message"]
    if len(message) > LONGEST_PAST_MESSAGE:
        message = f"{message[: LONGEST_PAST_MESSAGE - 1]}…"
    return [{**decision, "message": message}, *known][:MOST_PAST_DECISIONS]


def _is_hold(decision: Json) -> bool:
    """Return whether a decision left the number as it was."""
    return bool(decision["from"] == decision["to"])


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
