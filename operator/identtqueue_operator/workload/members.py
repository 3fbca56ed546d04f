"""The facts about a workload that only its pods show, pure.

* Some kinds count the pods that are on their way out.
* If pods carry the revision of their template, one of an old revision, at or above the partition,
  means that a rollout is under way. The `updatedReplicas` of a StatefulSet does not say so: it does
  not tell them from pods that a partition keeps as they are.
* The operator does not know in which order the controller of an unknown kind ends pods. If the
  TaskQueue does not say it, the order is inferred from what controls the pods. If that is one
  workload of a watched kind, its status stands for all that the unknown kind does not say.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from identtqueue_operator.model import Pod, RemovalOrder, Workload
from identtqueue_operator.workload.kind import REPLICA_SET


class Members(NamedTuple):
    """The pods around a workload."""

    pods: tuple[Pod, ...]
    """All pods with its labels; those that do not belong to it are marked as foreign."""
    through: Workload | None = None
    """The one workload of a watched kind through which it controls all of its pods."""
    removal: RemovalOrder = RemovalOrder.UNKNOWN
    """Which pods go first, as far as its kind says it, or else the kinds that control the pods."""


def complete(workload: Workload, members: Members, removal: RemovalOrder | None) -> Workload:
    """Complete a workload with what its pods say.

    Args:
        workload: as read from its own object.
        members: its pods, and through what it controls them.
        removal: which pods go first, if the TaskQueue says so.
    """
    if not workload.counts_ending:
        return workload  # its status is complete
    if members.through is not None:
        workload = _judge_by(members.through, workload)
    own = [pod for pod in members.pods if pod.gone_at is None and not pod.foreign]
    active = [pod for pod in own if pod.active]
    if workload.removal is RemovalOrder.UNKNOWN:
        workload = _in_order(workload, removal or members.removal)
    if not workload.counts_ending:
        return workload
    existing = max(len(active), workload.existing - (len(own) - len(active)))
    return replace(workload, existing=existing, updated=existing - _outdated(workload, active))


def _judge_by(through: Workload, workload: Workload) -> Workload:
    """Correct the numbers of a workload that leaves its pods to another one."""
    return replace(
        through,
        key=workload.key,
        uid=workload.uid,
        resource_version=workload.resource_version,
        path=workload.path,
        selector=workload.selector,
        replicas=workload.replicas,
        lagging=through.lagging or through.replicas != workload.replicas,
        replicas_by="",
        owner=None,
        template_hash=None,
        shape=None,
    )


def _in_order(workload: Workload, order: RemovalOrder) -> Workload:
    # Pods with ordinals of an unknown controller go one by one: that is right for all of them.
    return replace(workload, removal=order, one_by_one=order is RemovalOrder.HIGHEST_ORDINAL)


def _outdated(workload: Workload, active: Sequence[Pod]) -> int:
    """Count the pods that a rollout has still to replace."""
    if workload.revision:
        first = workload.first_ordinal + workload.partition
        return sum(pod.revision != workload.revision and pod.ordinal >= first for pod in active)
    if workload.removal is RemovalOrder.NOT_READY_FIRST:
        # Several ReplicaSets: which of them is the new one does not matter.
        owners = (pod.owner for pod in active if pod.owner is not None)
        sets = Counter(owner for owner in owners if (owner.group, owner.kind) == REPLICA_SET)
        return len(active) - max(sets.values(), default=len(active))
    return 0
