"""The kinds of workloads that the operator knows, and the one for all others."""

from identtqueue_operator.model import Owner, RemovalOrder, WorkloadKey
from identtqueue_operator.workload.deployment import DEPLOYMENT
from identtqueue_operator.workload.kind import REPLICA_SET, Kind, ScaledKind, WatchedKind
from identtqueue_operator.workload.stateful_set import STATEFUL_SET

WATCHED: tuple[WatchedKind, ...] = (DEPLOYMENT, STATEFUL_SET)

SCALED: tuple[ScaledKind, ...] = (
    ScaledKind(group="apps", name="ReplicaSet", removal=RemovalOrder.NOT_READY_FIRST),
    ScaledKind(group="", name="ReplicationController", removal=RemovalOrder.NOT_READY_FIRST),
)
"""Kinds of which more is known than their `/scale` says."""

LINKS = frozenset({REPLICA_SET, *(kind.id for kind in WATCHED)})
"""The kinds of owners that can be read, and so lead from a pod to its workload."""

_KNOWN: dict[tuple[str, str], Kind] = {kind.id: kind for kind in (*WATCHED, *SCALED)}
_WATCHED = {kind.id: kind for kind in WATCHED}


def kind_of(key: WorkloadKey | Owner) -> Kind:
    """Return the kind of a workload, or of what controls a pod."""
    known = _KNOWN.get((key.group, key.kind))
    return known if known is not None else ScaledKind(group=key.group, name=key.kind)


def watched_kind_of(key: WorkloadKey | Owner) -> WatchedKind | None:
    """Return the same, if it is watched."""
    return _WATCHED.get((key.group, key.kind))
