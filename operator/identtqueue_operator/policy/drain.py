"""Scaling down without ending a busy worker, pure.

A scale-down to T replicas is: choose who goes, tell them to stop fetching, wait until they hold
nothing, lower the number so that exactly they go. Every step is derived anew from what is seen (the
`draining` set in Redis, the pods and their annotations), so an operator that restarts in the
middle, or meets another wish in the middle, simply goes on from there:

* work returns, T rises: fewer victims are needed; the rest are called back (they are warm);
* a pod that was not chosen went instead: the chosen one is no longer surplus, and is called back;
* no worker needs to go (paused, another autoscaler): all draining workers are called back.

Nothing is undone while the picture is incomplete: while Redis is away, or before an operator that
has just started knows all pods. While one Redis of several is away, no more workers are asked
to drain, and only as many are called back as the others need. Where an older TaskQueue looks after
the same workload, nothing is undone: what is drained there, it has drained.

**A rollout goes first.** While pods of an older template are there, the workload's controller
takes pods away by itself, and only as new ones become available. A new pod that is drained never
becomes ready, and the rollout would wait for it forever. So during a rollout no worker is asked to
drain, all that drain are called back, and the number is not lowered. One thing is allowed: to go to
zero, if no worker holds anything and all can go at once. A rollout that is stuck would otherwise
keep its pods forever. A paused workload with the pods of a single ReplicaSet does not roll out.

**A person may ask for a pod to drain**, by an annotation (`kubectl tq drain`). Its workers drain
and are not called back until the annotation or the pod is gone. It still counts as a replica, and
it is among the first to go when the number is lowered. A rollout goes first here too: it ends the
pod, or it needs the pod to become ready.

A write that the workload's controller has not yet acted on (`lagging`) may begin a rollout. Until
it has, no more workers are asked to drain and the number is not lowered.

A worker of several queues is asked to drain in each. One request is enough for it to stop fetching
from all of them. A round may be cut off in between, so a worker that drains in any queue is called
back in all of them. Only a worker that drains in all is sure to take no further task.

Which pods go when the number is lowered, the workload's controller decides; `victims` knows the
orders. A ReplicaSet takes those first that are not ready, then those of a low cost. So a victim
turns not ready and gets a low cost, and the number is lowered only by as many pods as stand *first
in that order and hold nothing*. Among equal victims the ReplicaSet goes by age, not by
what they hold; so when some are empty and others still busy, the empty ones get a yet lower cost
first. Should a controller still choose another one, that worker's own SIGTERM drain keeps its task,
within the pod's grace period.
"""

from collections.abc import Mapping, Sequence, Set

from identtqueue_operator.model import DrainPlan, Observed, Pod, RemovalOrder, Workload
from identtqueue_operator.policy.victims import (
    Workers,
    all_known,
    choose_victims,
    holds_tasks,
    is_idle,
    is_mixed,
    lowest_number,
    may_go,
)

VICTIM_COST = -1_000_000
"""`controller.kubernetes.io/pod-deletion-cost` of a victim; below what a user would set."""
FIRST_COST = 2 * VICTIM_COST
"""Deletion cost of a victim that may go at once, while others may not."""


def plan_drain(target: int, seen: Observed, over: Set[str], *, lowered: bool = False) -> DrainPlan:
    """Plan which workers to stop and to call back, and how far down the workload can go now.

    Args:
        target: the number of replicas that there should be; while a trigger can't be read, the
            number that the others need.
        seen: with a workload.
        over: UIDs of the pods whose time to finish is over, should they be victims.
        lowered: the number was lowered, and the controller may not have followed yet. It may be
            about to end the pods that were chosen, even if the number was raised again since.
    """
    workload = seen.workload
    assert workload is not None
    if seen.rival or seen.depth is None:
        return DrainPlan()
    pods = seen.own_pods
    workers = seen.workers_by_pod()
    hold = bool(seen.blind) or workload.lagging
    victims = choose_victims(pods, workers, target, workload, hold=hold, lowered=lowered)
    chosen = {pod.uid for pod in victims}
    by_hand = () if workload.rolling else _by_hand(pods, chosen)
    chosen.update(pod.uid for pod in by_hand)
    kept = [pod for pod in pods if pod.uid not in chosen] if all_known(pods, workload) else []
    call_back = tuple(w for pod in kept for w in workers[pod.uid] if w.draining)
    unmark = tuple(pod for pod in kept if pod.draining_since is not None)
    if seen.blind:  # what the pods hold there is not known
        return DrainPlan(victims=victims, call_back=call_back, unmark=unmark)
    late = tuple(
        pod
        for pod in victims
        if pod.draining_since is not None and pod.uid in over and holds_tasks(workers[pod.uid])
    )
    free = {pod.uid for pod in pods if may_go(pod, workers[pod.uid])}
    free.update(pod.uid for pod in late)
    return DrainPlan(
        victims=victims,
        stop=tuple(
            w
            for pod in (*victims, *(() if hold else by_hand))
            for w in workers[pod.uid]
            if not w.told_everywhere
        ),
        call_back=call_back,
        mark=_mark(victims, workers, workload),
        unmark=unmark,
        advance=_advance(victims, free, workload),
        timed_out=late,
        replicas=lowest_number(target, seen, pods, free, len(late)),
    )


def drains_since(before: Mapping[str, float], seen: Observed) -> Mapping[str, float]:
    """Note since when each pod drains, on the monotonic clock.

    The mark on a pod has the time by the wall clock of the operator that made it. An operator reads
    it once, and counts on by its own monotonic clock. So a clock that is set later ends no drain
    early or late.
    """
    marked = {
        pod.uid: pod.draining_since for pod in seen.own_pods if pod.draining_since is not None
    }
    return {
        uid: before[uid] if uid in before else seen.steady - max(0.0, seen.at - since)
        for uid, since in marked.items()
    }


def call_all_back(seen: Observed) -> DrainPlan:
    """Undo all that was begun, because no pod needs to go any more."""
    pods = seen.own_pods
    workers = seen.workers_by_pod()
    return DrainPlan(
        call_back=tuple(w for pod in pods for w in workers[pod.uid] if w.draining),
        unmark=tuple(pod for pod in pods if pod.draining_since is not None),
    )


def waits_for_rollout(target: int, seen: Observed) -> bool:
    """Return whether a rollout must end before the number may be lowered to the target."""
    workload = seen.workload
    assert workload is not None
    if not is_mixed(seen):
        return False
    workers = seen.workers_by_pod()
    return (
        target > 0
        or not all_known(seen.own_pods, workload)
        or not all(is_idle(pod, workers[pod.uid]) for pod in seen.own_pods)
    )


def waits_for_idleness(target: int, seen: Observed) -> bool:
    """Return whether lowering must wait, because any pod may be ended and one is busy."""
    workload = seen.workload
    assert workload is not None
    if workload.removal is not RemovalOrder.UNKNOWN or target >= workload.replicas:
        return False
    workers = seen.workers_by_pod()
    return not all(is_idle(pod, workers[pod.uid]) for pod in seen.own_pods)


def has_followed(seen: Observed) -> bool:
    """Return whether the controller has ended the surplus pods, or a rollout decides."""
    workload = seen.workload
    assert workload is not None
    followed = workload.rolling or workload.existing <= workload.replicas
    return followed and not workload.lagging


def _by_hand(pods: Sequence[Pod], victims: Set[str]) -> tuple[Pod, ...]:
    """Select the pods that a person has asked to drain, other than victims."""
    return tuple(pod for pod in pods if pod.drains_by_hand and pod.uid not in victims)


def _mark(victims: Sequence[Pod], workers: Workers, workload: Workload) -> tuple[Pod, ...]:
    """Select the victims to annotate. Where any pod may be ended, victims stay unmarked."""
    if workload.removal is RemovalOrder.UNKNOWN:
        return ()
    return tuple(pod for pod in victims if pod.draining_since is None and workers[pod.uid])


def _advance(victims: Sequence[Pod], free: set[str], workload: Workload) -> tuple[Pod, ...]:
    """Select marked victims that may go while others may not, so that the ReplicaSet ends these."""
    if workload.removal is not RemovalOrder.NOT_READY_FIRST:
        return ()
    if all(pod.uid in free for pod in victims):
        return ()
    return tuple(
        pod
        for pod in victims
        if pod.uid in free and pod.draining_since is not None and pod.deletion_cost > FIRST_COST
    )
