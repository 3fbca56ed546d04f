"""The choice of pods to end, and how far the number may be lowered for them, pure.

The workload's controller decides which pods it ends when the number is lowered, and each kind has
its own rule. So the workers that may be asked to drain follow from that rule, and from nothing
else.

* `NotReadyFirst`, a ReplicaSet: see `replicaset_order`. The operator chooses those that hold least;
  once they drain, they turn not ready and get a low cost, so they are the first in that order.
* `HighestOrdinal`, a StatefulSet: the pods with the highest numbers, whatever they hold. The number
  follows as far down as they have finished in one run from the top. Unless its
  `podManagementPolicy` is `Parallel`, such a controller ends a pod that is not ready only if no
  other pod is unready. A drained worker is not ready. Two of them at once would be in each other's
  way forever, so only the highest pod drains, and the number is lowered by one.
* `Unknown`: any pod may be ended. No worker drains while one holds a task. When none does, all are
  asked to drain. Once that is seen, the number is lowered, and when the controller has followed,
  the workers that are left are called back. So tasks are never cut off; they wait for a moment.

See docs/adr/021-the-controller-dictates-who-goes.md.
"""

from collections.abc import Mapping, Sequence

from identtqueue_operator.model import Observed, Pod, RemovalOrder, Worker, Workload

Workers = Mapping[str, tuple[Worker, ...]]
"""The workers in each pod, by the pod's UID."""

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def choose_victims(
    pods: Sequence[Pod],
    workers: Workers,
    target: int,
    workload: Workload,
    *,
    hold: bool = False,
    lowered: bool = False,
) -> tuple[Pod, ...]:
    """Choose the pods that should go.

    If the number is not to be lowered, or with `hold`, no further pod is chosen. But if it has just
    been lowered, the pods that the controller is about to end stay chosen until it has followed.
    """
    match workload.removal:
        case RemovalOrder.HIGHEST_ORDINAL:
            return _highest(pods, workers, target, workload, hold=hold, lowered=lowered)
        case RemovalOrder.UNKNOWN:
            return _all_or_none(pods, workers, target, workload, hold=hold, lowered=lowered)
    return _cheapest(pods, workers, target, workload, hold=hold, lowered=lowered)


def lowest_number(
    target: int, seen: Observed, pods: Sequence[Pod], free: set[str], late: int
) -> int | None:
    """Find the lowest number that ends no pod with a task, unless its time is over.

    Args:
        target: the number of replicas that there should be.
        seen: with a workload.
        pods: its own.
        free: UIDs of those that may go.
        late: how many of these still hold tasks, but their time is over.

    Returns:
        None: it can't be lowered now.
    """
    workload = seen.workload
    assert workload is not None
    if target >= workload.replicas or workload.lagging or not all_known(pods, workload):
        return None
    match workload.removal:
        case RemovalOrder.HIGHEST_ORDINAL:
            lowest = _down_to_the_busiest(target, pods, free, workload)
        case RemovalOrder.UNKNOWN:
            lowest = target if all(pod.uid in free for pod in pods) else workload.replicas
        case _:
            lowest = _down_by_the_first(target, pods, free, late)
            if lowest > 0 and is_mixed(seen):
                return None
    return lowest if lowest < workload.replicas else None


# --- NotReadyFirst --------------------------------------------------------------------------------


def _cheapest(
    pods: Sequence[Pod],
    workers: Workers,
    target: int,
    workload: Workload,
    *,
    hold: bool,
    lowered: bool,
) -> tuple[Pod, ...]:
    """Choose first the pods that already drain, then those that hold the fewest tasks.

    After a lowered number, what the controller has in excess of it stays chosen. In a rollout it
    has more than the number by design.
    """
    if target < workload.replicas:
        surplus = len(pods) - target
    elif lowered:
        surplus = len(pods)
    else:
        surplus = 0 if workload.rolling else workload.existing - workload.replicas
    if target >= workload.replicas or hold:
        pods = [pod for pod in pods if drains(workers[pod.uid])]

    def price(pod: Pod) -> tuple[int, int, float, str]:
        """Return what ending this pod costs; the cheapest goes first."""
        mine = workers[pod.uid]
        # Not started yet: costs nothing. Ready but not known to Redis: what it does is unknown,
        # and it can't be drained, so it goes last.
        kind = (1 if drains(mine) or pod.drains_by_hand else 2) if mine else (3 if pod.ready else 0)
        return kind, sum(w.in_flight for w in mine), -pod.created_at, pod.key.name

    return tuple(sorted(pods, key=price)[: max(0, surplus)])


def replicaset_order(pod: Pod) -> tuple[bool, int, bool, int]:
    """Return a pod's place in the order in which a ReplicaSet ends its pods.

    From `ActivePodsWithRanks` in kubernetes/pkg/controller/controller_utils.go (1.34): unassigned
    before assigned; Pending, Unknown, Running; not ready before ready; lower deletion cost first.
    """
    return pod.assigned, _PHASES.get(pod.phase, 2), pod.ready, pod.deletion_cost


def _down_by_the_first(target: int, pods: Sequence[Pod], free: set[str], late: int) -> int:
    """Lower the number by the pods that stand first in the order and may go."""
    first = 0
    # Of those that stand equal, any may be chosen: so the busy ones are counted first.
    for pod in sorted(pods, key=lambda pod: (replicaset_order(pod), pod.uid in free)):
        if pod.uid not in free:
            break
        first += 1
    # A victim whose time is over goes, even if the ReplicaSet might choose another pod.
    return max(target, len(pods) - max(first, late))


# --- HighestOrdinal -------------------------------------------------------------------------------


def _highest(
    pods: Sequence[Pod],
    workers: Workers,
    target: int,
    workload: Workload,
    *,
    hold: bool,
    lowered: bool,
) -> tuple[Pod, ...]:
    """Choose the pods at or above the target, or only the highest if they end one by one."""
    top_down = sorted(pods, key=lambda pod: _position(pod, workload), reverse=True)
    going = [pod for pod in top_down if _position(pod, workload) >= target]
    if workload.one_by_one:
        going = going[:1]
    if target >= workload.replicas or hold:
        candidates = top_down if lowered else going
        return tuple(pod for pod in candidates if drains(workers[pod.uid]))
    return tuple(going)


def _position(pod: Pod, workload: Workload) -> float:
    """Return how many pods are below it when all are there. One below the first ordinal must go."""
    position = pod.ordinal - workload.first_ordinal
    return position if position >= 0 else float("inf")


def _down_to_the_busiest(
    target: int, pods: Sequence[Pod], free: set[str], workload: Workload
) -> int:
    """Lower the number by the free pods in one run from the top, for some controllers by one."""
    staying = [pod for pod in pods if _position(pod, workload) < workload.replicas]
    if workload.one_by_one and len(staying) < len(pods):
        return workload.replicas  # the last step is not done yet
    kept = [int(_position(pod, workload)) for pod in staying if pod.uid not in free]
    lowest = max([target, *(position + 1 for position in kept)])
    if workload.one_by_one:
        lowest = max([lowest, *(int(_position(pod, workload)) for pod in staying)])
    return lowest


# --- Unknown --------------------------------------------------------------------------------------


def _all_or_none(
    pods: Sequence[Pod],
    workers: Workers,
    target: int,
    workload: Workload,
    *,
    hold: bool,
    lowered: bool,
) -> tuple[Pod, ...]:
    if lowered:
        return tuple(pod for pod in pods if drains(workers[pod.uid]))
    if target >= workload.replicas or hold:
        return ()
    return tuple(pods) if all(is_idle(pod, workers[pod.uid]) for pod in pods) else ()


# --- what a pod does ------------------------------------------------------------------------------


def all_known(pods: Sequence[Pod], workload: Workload) -> bool:
    """Return whether every pod that exists has been seen."""
    return len(pods) >= workload.existing


def is_mixed(seen: Observed) -> bool:
    """Return whether a rollout is under way, so that the controller decides which pods go."""
    workload = seen.workload
    assert workload is not None
    if not workload.rolling:
        return False
    # Paused, with the pods of one ReplicaSet: its number is the workload's.
    return not workload.paused or len({pod.owner for pod in seen.own_pods}) > 1


def may_go(pod: Pod, workers: Sequence[Worker]) -> bool:
    """Return whether the pod holds no task and will not take one."""
    return is_idle(pod, workers) and all(w.told_everywhere for w in workers)


def is_idle(pod: Pod, workers: Sequence[Worker]) -> bool:
    """Return whether the pod holds no task now.

    One that is ready and not known to Redis may be about to register, or be no worker at all.
    """
    return not holds_tasks(workers) if workers else not pod.ready


def holds_tasks(workers: Sequence[Worker]) -> bool:
    """Return whether one of them holds a task."""
    return any(w.in_flight for w in workers)


def drains(workers: Sequence[Worker]) -> bool:
    """Return whether one of them was told to drain."""
    return any(w.draining for w in workers)
