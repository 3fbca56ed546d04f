"""How to shrink without ending a busy worker, pure.

A scale-down to T replicas is: choose who goes, tell them to stop fetching, wait until they hold
nothing, lower the number so that exactly they go. Every step is derived anew from what is seen (the
`draining` set in Redis, the pods and their annotations), so an operator that restarts in the
middle, or meets another wish in the middle, simply goes on from there:

* work returns, T rises: fewer victims are needed; the rest are called back (they are warm);
* a pod that was not chosen went instead: the chosen one is no longer surplus, and is called back;
* nobody needs to go (paused, another autoscaler): every drained worker of ours is called back.

Nothing is undone on half a picture, as there is while Redis is away, or before all pods are known
to an operator that has just started. Nor where an older TaskQueue looks after the same Deployment:
what is drained there, it has drained.

A worker of several queues is told in each. One is enough for it to fetch from none, so whoever was
told in any of them (a round may be cut off in between) is called back from all; but only one that
was told in all is sure to take nothing more.

Which pods go, the ReplicaSet decides when the number is lowered. Its order is known (see
`replicaset_order`): not ready before ready, then lower deletion cost. So a victim turns not ready
and gets a low cost, and the number is lowered only by as many pods as stand *first in that order
and hold nothing*. Among victims that stand equal the ReplicaSet goes by age, not by what they hold;
so when some are empty and others still busy, the empty ones get a yet lower cost first. Should the
ReplicaSet still choose another one, that worker's own SIGTERM drain keeps its task, within the
pod's grace period.
"""

from collections.abc import Sequence

from .model import Drain, Observed, Pod, Worker

VICTIM_COST = -1_000_000
"""`controller.kubernetes.io/pod-deletion-cost` of a victim; below what a user would set."""
FIRST_COST = 2 * VICTIM_COST
"""Of a victim that may go at once, while others may not."""

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def plan_drain(target: int, seen: Observed, timeout_seconds: float) -> Drain:
    """Whom to stop, whom to call back, and how far down the Deployment can go now."""
    assert seen.deployment is not None
    if seen.rival or seen.depth is None:
        return Drain()
    current = seen.deployment.replicas
    pods = [pod for pod in seen.pods if pod.active]
    workers = seen.workers_by_pod()
    victims = choose_victims(pods, workers, target, current)
    chosen = {pod.uid for pod in victims}
    late = tuple(
        pod
        for pod in victims
        if pod.draining_since is not None
        and seen.at - pod.draining_since >= timeout_seconds
        and _holds_tasks(workers[pod.uid])
    )
    free = {pod.uid for pod in pods if _holds_nothing(workers[pod.uid])}
    free.update(pod.uid for pod in late)
    kept = [pod for pod in pods if pod.uid not in chosen] if _all_known(pods, seen) else []
    return Drain(
        victims=victims,
        stop=tuple(w for pod in victims for w in workers[pod.uid] if not w.told_everywhere),
        call_back=tuple(w for pod in kept for w in workers[pod.uid] if w.draining),
        mark=tuple(pod for pod in victims if pod.draining_since is None and workers[pod.uid]),
        unmark=tuple(pod for pod in kept if pod.draining_since is not None),
        advance=_advance(victims, free),
        timed_out=late,
        replicas=_lower_to(target, seen, pods, free, len(late)),
    )


def call_all_back(seen: Observed) -> Drain:
    """Nobody needs to go any more: undo all that was begun."""
    pods = [pod for pod in seen.pods if pod.active]
    workers = seen.workers_by_pod()
    return Drain(
        call_back=tuple(w for pod in pods for w in workers[pod.uid] if w.draining),
        unmark=tuple(pod for pod in pods if pod.draining_since is not None),
    )


def choose_victims(
    pods: Sequence[Pod], workers: dict[str, tuple[Worker, ...]], target: int, current: int
) -> tuple[Pod, ...]:
    """The pods that should go: first those that already drain, then those that hold least.

    Without the wish to shrink nobody is chosen anew; but the number may just have been lowered and
    the pods not yet gone, so drained pods in excess of it stay chosen.
    """
    surplus = max(0, len(pods) - target)
    if target >= current:
        pods = [pod for pod in pods if any(w.draining for w in workers[pod.uid])]

    def price(pod: Pod) -> tuple[int, int, float, str]:
        """What ending this pod costs; the smallest goes first."""
        mine = workers[pod.uid]
        # Not started yet: costs nothing. Ready but not known to Redis: nobody can tell what it
        # does, and nobody can drain it; it goes last.
        kind = (1 if any(w.draining for w in mine) else 2) if mine else (3 if pod.ready else 0)
        return kind, sum(w.in_flight for w in mine), -pod.created_at, pod.key.name

    return tuple(sorted(pods, key=price)[:surplus])


def replicaset_order(pod: Pod) -> tuple[bool, int, bool, int]:
    """The order in which a ReplicaSet ends its pods, as far as it matters here.

    From `ActivePodsWithRanks` in kubernetes/pkg/controller/controller_utils.go (1.34): unassigned
    before assigned; Pending, Unknown, Running; not ready before ready; lower deletion cost first.
    """
    return pod.assigned, _PHASES.get(pod.phase, 2), pod.ready, pod.deletion_cost


def _advance(victims: Sequence[Pod], free: set[str]) -> tuple[Pod, ...]:
    """Marked victims that may go, where others may not: the ReplicaSet must not confuse them."""
    if all(pod.uid in free for pod in victims):
        return ()
    return tuple(
        pod
        for pod in victims
        if pod.uid in free and pod.draining_since is not None and pod.deletion_cost > FIRST_COST
    )


def _lower_to(
    target: int, seen: Observed, pods: Sequence[Pod], free: set[str], late: int
) -> int | None:
    """The lowest number that ends nobody who holds a task (or whose time is not over)."""
    assert seen.deployment is not None
    if target >= seen.deployment.replicas:
        return None
    if not _all_known(pods, seen):
        return None
    first = 0
    # Of those that stand equal, any may be chosen: so the busy ones are counted first.
    for pod in sorted(pods, key=lambda pod: (replicaset_order(pod), pod.uid in free)):
        if pod.uid not in free:
            break
        first += 1
    # A victim whose time is over goes, even if the ReplicaSet might choose somebody else.
    lowest = max(target, len(pods) - max(first, late))
    return lowest if lowest < seen.deployment.replicas else None


def _all_known(pods: Sequence[Pod], seen: Observed) -> bool:
    """Whether no pod exists that was not seen yet."""
    assert seen.deployment is not None
    return len(pods) >= seen.deployment.existing


def _holds_nothing(workers: tuple[Worker, ...]) -> bool:
    """Whether these workers hold no task and will not take one."""
    return all(w.told_everywhere and not w.in_flight for w in workers)


def _holds_tasks(workers: tuple[Worker, ...]) -> bool:
    return any(w.in_flight for w in workers)
