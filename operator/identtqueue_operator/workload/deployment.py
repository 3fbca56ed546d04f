"""Deployments: ReplicaSets control the pods, and conditions say what is wrong."""

import hashlib
import json

from identtqueue_operator.kube.parse import (
    TEMPLATE_HASH,
    Body,
    condition_message,
    key_of,
    owner_of,
    replicas_by,
    selector,
)
from identtqueue_operator.model import RemovalOrder, Workload, WorkloadKey
from identtqueue_operator.workload.kind import REPLICA_SET, WatchedKind

GROUP, NAME = "apps", "Deployment"


def read(body: Body) -> Workload:
    """Read a Deployment."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    template_hash = (metadata.get("annotations") or {}).get(TEMPLATE_HASH)
    return Workload(
        key=WorkloadKey(*key_of(body), GROUP, NAME),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        selector=selector(spec.get("selector") or {}),
        replicas=1 if spec.get("replicas") is None else spec["replicas"],
        existing=status.get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
        updated=status.get("updatedReplicas") or 0,
        lagging=(status.get("observedGeneration") or 0) < (metadata.get("generation") or 0),
        paused=bool(spec.get("paused")),
        refusal=condition_message(status, "ReplicaFailure", "True"),
        stuck=condition_message(status, "Progressing", "False"),
        replicas_by=replicas_by(metadata.get("managedFields") or ()),
        owner=owner_of(body),
        template_hash=template_hash,
        shape=None if template_hash is None else _shape(body),
    )


def _shape(body: Body) -> str:
    spec = {name: value for name, value in body["spec"].items() if name != "replicas"}
    text = json.dumps([spec, body["metadata"].get("labels")], sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DEPLOYMENT = WatchedKind(
    group=GROUP,
    name=NAME,
    plural="deployments",
    read=read,
    removal=RemovalOrder.NOT_READY_FIRST,
    through=frozenset({REPLICA_SET}),
    names_sets=True,
    required=True,
)
