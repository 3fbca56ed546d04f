"""StatefulSets: they control their pods directly, and the highest ordinal ends first."""

from identtqueue_operator.kube.parse import Body, key_of, owner_of, replicas_by, selector
from identtqueue_operator.model import RemovalOrder, Workload, WorkloadKey
from identtqueue_operator.workload.kind import WatchedKind

GROUP, NAME = "apps", "StatefulSet"


def read(body: Body) -> Workload:
    """Read a StatefulSet.

    Its `status.replicas` counts the pods that are on their way out. Whether a rollout is under way,
    only the pods' labels say: with a partition, `currentRevision` never becomes `updateRevision`.
    """
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    strategy = spec.get("updateStrategy") or {}
    rolls_out = strategy.get("type") != "OnDelete"
    return Workload(
        key=WorkloadKey(*key_of(body), GROUP, NAME),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        selector=selector(spec.get("selector") or {}),
        replicas=1 if spec.get("replicas") is None else spec["replicas"],
        existing=status.get("replicas") or 0,
        counts_ending=True,
        ready=status.get("readyReplicas") or 0,
        removal=RemovalOrder.HIGHEST_ORDINAL,
        one_by_one=spec.get("podManagementPolicy") != "Parallel",
        first_ordinal=(spec.get("ordinals") or {}).get("start") or 0,
        revision=str(status.get("updateRevision") or "") if rolls_out else "",
        partition=(strategy.get("rollingUpdate") or {}).get("partition") or 0,
        lagging=(status.get("observedGeneration") or 0) < (metadata.get("generation") or 0),
        replicas_by=replicas_by(metadata.get("managedFields") or ()),
        owner=owner_of(body),
    )


STATEFUL_SET = WatchedKind(
    group=GROUP,
    name=NAME,
    plural="statefulsets",
    read=read,
    removal=RemovalOrder.HIGHEST_ORDINAL,
    through=frozenset(),
)
