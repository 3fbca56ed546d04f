"""The Reason column, pure: what is going on, in one word and one sentence."""

from collections.abc import Mapping
from typing import Any

from identtqueue_operator.model import Cause, Decision, Limit, Observed, Problem
from identtqueue_operator.status.round import Round, count_of
from identtqueue_operator.times import timestamp

NOBODY_WORKS_SECONDS = 60.0
"""Time without any working pod, for a known reason, after which the TaskQueue is not Ready."""
_SET_BY_HAND = (Limit.REPLICAS_CHANGED_BY_OTHERS, Limit.SCALE_UP_PAUSED, Limit.SCALE_DOWN_PAUSED)
"""Reasons that a person has set, or can fix. They come before those that follow from the rules."""
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
        return Cause(Problem.WORKLOAD_MISSING, f"{now.workload} does not exist")
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
        holds = f"still hold {count_of(held, 'task')}" if held else "hold no task"
        count = f"{len(decision.drain.victims)} of {decision.current}"
        return Cause("Draining", f"{count} pods are draining and {holds}; {target.message}")
    return _otherwise(now, previous, seen, decision)


def _otherwise(
    now: Round, previous: Mapping[str, Any], seen: Observed, decision: Decision
) -> Cause:
    """Say it for a round in which no problem, failure, pause or drain comes first."""
    health, target, trouble = decision.health, decision.target, find_trouble(now, previous)
    if health.trouble and not health.working and trouble in (None, health.reason):
        return Cause(health.reason, f"{health.message}; {target.message}")
    return Cause(trouble or _at_work(seen, decision), target.message)


def _at_work(seen: Observed, decision: Decision) -> str:
    """Return the word while nothing is wrong: a limit, or what the number is about to do."""
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
    """Return the word while no limit is worth one."""
    assert seen.workload is not None
    target = decision.target
    if target.replicas > decision.current:
        return "ScalingUp"
    if target.replicas < decision.current:
        return "ScalingDown"
    if target.replicas > seen.workload.ready:
        return "StartingWorkers"
    return "Working" if seen.depth is not None and seen.depth.demand else "Idle"


def find_trouble(now: Round, previous: Mapping[str, Any]) -> str | None:
    """Say why scaling does not work, or why no worker has worked for long; None if all is well."""
    seen = now.seen
    if seen is None:
        return None
    if seen.workload is None:
        return Problem.WORKLOAD_MISSING
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
