"""How to shrink without ending a busy worker, pure.

A scale-down to T replicas is: choose who goes, tell them to stop fetching, wait until they hold
nothing, lower the number so that exactly they go. Every step is derived anew from what is seen (the
`draining` set in Redis, the pods and their annotations), so an operator that restarts in the
middle, or meets another wish in the middle, simply goes on from there:

* work returns, T rises: fewer victims are needed; the rest are called back (they are warm);
* a pod that was not chosen went instead: the chosen one is no longer surplus, and is called back;
* nobody needs to go (paused, another autoscaler): every drained worker of ours is called back.

Nothing is undone on half a picture, as there is while Redis is away, or before all pods are known
to an operator that has just started. While one Redis of several is away nobody new is told to go,
and only as many are called back as the others need. Where an older TaskQueue looks after the same
workload, nothing is undone: what is drained there, it has drained.

**A rollout goes first.** While pods of an older template are there, the workload's controller
takes pods away by itself, and only as new ones become available. A new pod that is drained never
becomes ready, and the rollout would wait for it for ever. So during a rollout no worker is told to
go, all who were told are called back, and the number is not lowered. One thing is allowed: to go to
zero, if no worker holds anything and all can go at once. A rollout that is stuck would otherwise
keep its pods for ever. A paused Deployment with the pods of a single ReplicaSet does not roll out.

A write that the workload's controller has not yet acted on (`lagging`) may begin a rollout. Until
it has, nobody new is told to go and the number is not lowered.

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

from collections.abc import Mapping, Sequence, Set

from .model import Drain, Observed, Pod, Worker, Workload

VICTIM_COST = -1_000_000
"""`controller.kubernetes.io/pod-deletion-cost` of a victim; below what a user would set."""
FIRST_COST = 2 * VICTIM_COST
"""Of a victim that may go at once, while others may not."""

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def plan_drain(target: int, seen: Observed, over: Set[str], *, lowered: bool = False) -> Drain:
    """Whom to stop, whom to call back, and how far down the workload can go now.

    Args:
        target: the number of replicas that there should be; while a trigger can't be read, the
            number that the others need.
        seen: with a workload.
        over: UIDs of the pods whose time to finish is over, should they be victims.
        lowered: the number was lowered, and the ReplicaSets may not have followed yet. Also when it
            was raised again since, they may be about to end those that were chosen.
    """
    assert seen.workload is not None
    if seen.rival or seen.depth is None:
        return Drain()
    pods = seen.own_pods
    workers = seen.workers_by_pod()
    hold = bool(seen.blind) or seen.workload.lagging
    victims = choose_victims(pods, workers, target, seen.workload, hold=hold, lowered=lowered)
    chosen = {pod.uid for pod in victims}
    kept = [pod for pod in pods if pod.uid not in chosen] if _all_known(pods, seen) else []
    call_back = tuple(w for pod in kept for w in workers[pod.uid] if w.draining)
    unmark = tuple(pod for pod in kept if pod.draining_since is not None)
    if seen.blind:  # what the pods hold there is not known
        return Drain(victims=victims, call_back=call_back, unmark=unmark)
    late = tuple(
        pod
        for pod in victims
        if pod.draining_since is not None and pod.uid in over and _holds_tasks(workers[pod.uid])
    )
    free = {pod.uid for pod in pods if _may_go(pod, workers[pod.uid])}
    free.update(pod.uid for pod in late)
    return Drain(
        victims=victims,
        stop=tuple(w for pod in victims for w in workers[pod.uid] if not w.told_everywhere),
        call_back=call_back,
        mark=tuple(pod for pod in victims if pod.draining_since is None and workers[pod.uid]),
        unmark=unmark,
        advance=_advance(victims, free),
        timed_out=late,
        replicas=_lower_to(target, seen, pods, free, len(late)),
    )


def drains_since(before: Mapping[str, float], seen: Observed) -> Mapping[str, float]:
    """Since when each pod drains, on the monotonic clock.

    The mark on a pod says it on the clock of the operator that made it, for operators that come
    later. Each counts on by itself, so that a clock that is set ends no drain early or late.
    """
    marked = {
        pod.uid: pod.draining_since for pod in seen.own_pods if pod.draining_since is not None
    }
    return {
        uid: before[uid] if uid in before else seen.steady - max(0.0, seen.at - since)
        for uid, since in marked.items()
    }


def call_all_back(seen: Observed) -> Drain:
    """Nobody needs to go any more: undo all that was begun."""
    pods = seen.own_pods
    workers = seen.workers_by_pod()
    return Drain(
        call_back=tuple(w for pod in pods for w in workers[pod.uid] if w.draining),
        unmark=tuple(pod for pod in pods if pod.draining_since is not None),
    )


def waits_for_rollout(target: int, seen: Observed) -> bool:
    """Whether a rollout has to end before the number may be lowered to the target."""
    if not _mixed(seen):
        return False
    workers = seen.workers_by_pod()
    return (
        target > 0
        or not _all_known(seen.own_pods, seen)
        or not all(_is_idle(pod, workers[pod.uid]) for pod in seen.own_pods)
    )


def has_followed(seen: Observed) -> bool:
    """Whether the ReplicaSets have no more pods than the number says, or a rollout decides."""
    workload = seen.workload
    assert workload is not None
    followed = workload.rolling or workload.existing <= workload.replicas
    return followed and not workload.lagging


def choose_victims(
    pods: Sequence[Pod],
    workers: dict[str, tuple[Worker, ...]],
    target: int,
    workload: Workload,
    *,
    hold: bool = False,
    lowered: bool = False,
) -> tuple[Pod, ...]:
    """The pods that should go: first those that already drain, then those that hold least.

    Without the wish to shrink, or with `hold`, nobody is chosen anew. But the number may just have
    been lowered: what the ReplicaSets have in excess of it stays chosen until they have followed.
    In a rollout they have more than the number by design.
    """
    if target < workload.replicas:
        surplus = len(pods) - target
    elif lowered:
        surplus = len(pods)
    else:
        surplus = 0 if workload.rolling else workload.existing - workload.replicas
    if target >= workload.replicas or hold:
        pods = [pod for pod in pods if any(w.draining for w in workers[pod.uid])]

    def price(pod: Pod) -> tuple[int, int, float, str]:
        """What ending this pod costs; the smallest goes first."""
        mine = workers[pod.uid]
        # Not started yet: costs nothing. Ready but not known to Redis: nobody can tell what it
        # does, and nobody can drain it; it goes last.
        kind = (1 if any(w.draining for w in mine) else 2) if mine else (3 if pod.ready else 0)
        return kind, sum(w.in_flight for w in mine), -pod.created_at, pod.key.name

    return tuple(sorted(pods, key=price)[: max(0, surplus)])


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
    assert seen.workload is not None
    if target >= seen.workload.replicas or seen.workload.lagging:
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
    if lowest > 0 and _mixed(seen):
        return None
    return lowest if lowest < seen.workload.replicas else None


def _all_known(pods: Sequence[Pod], seen: Observed) -> bool:
    """Whether no pod exists that was not seen yet."""
    assert seen.workload is not None
    return len(pods) >= seen.workload.existing


def _mixed(seen: Observed) -> bool:
    """Whether a rollout is under way: the controller, not the number, says which pods go."""
    workload = seen.workload
    assert workload is not None
    if not workload.rolling:
        return False
    # Paused, with the pods of one ReplicaSet: its number is the workload's.
    return not workload.paused or len({pod.replica_set for pod in seen.own_pods}) > 1


def _may_go(pod: Pod, workers: tuple[Worker, ...]) -> bool:
    """Whether the pod holds no task and will not take one."""
    return _is_idle(pod, workers) and all(w.told_everywhere for w in workers)


def _is_idle(pod: Pod, workers: tuple[Worker, ...]) -> bool:
    """Whether the pod holds no task now.

    One that is ready and not known to Redis may be about to register, or be no worker at all.
    """
    return not _holds_tasks(workers) if workers else not pod.ready


def _holds_tasks(workers: tuple[Worker, ...]) -> bool:
    return any(w.in_flight for w in workers)
