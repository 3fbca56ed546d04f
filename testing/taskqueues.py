"""Specs and observations for tests of the operator's pure parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from identtqueue_operator.api.v1alpha1 import TaskQueueSpec
from identtqueue_operator.model import (
    Container,
    Depth,
    Key,
    Observed,
    Pod,
    Selector,
    Worker,
    Workload,
    WorkloadKey,
)
from identtqueue_operator.workload.deployment import DEPLOYMENT

WORKLOAD = WorkloadKey("ns", "worker", *DEPLOYMENT.id)
STRATEGY_EXAMPLES = [
    {"type": "Backlog"},
    {"type": "Backlog", "backlog": {"tasksPerReplica": 3}},
    {"type": "WaitTime", "waitTime": {"targetSeconds": 10}},
]
"""Each scaling strategy at least once with settings. What holds for all is tested with these."""


def spec(scaling: dict[str, Any] | None = None, **more: Any) -> TaskQueueSpec:
    """Make a spec with a workloadRef; `scaling` and the rest have the resource's field names."""
    return TaskQueueSpec.model_validate(
        {
            "workloadRef": {"name": WORKLOAD.name},
            "queues": [{"name": "mrz"}],
            "redis": {"address": "redis:6379"},
            "scaling": scaling or {},
            **more,
        }
    )


def deployment(replicas: int, existing: int | None = None) -> Workload:
    return Workload(
        key=WORKLOAD,
        uid="uid",
        resource_version="1",
        selector=Selector((("app", "worker"),)),
        replicas=replicas,
        existing=replicas if existing is None else existing,
        ready=replicas if existing is None else existing,
        refusal="",
    )


def observed(
    replicas: int = 0, queued: int = 0, in_flight: int = 0, at: float = 1000.0, **more: Any
) -> Observed:
    """Make an observation of a Deployment and of the queue of its only trigger."""
    depth = more.pop("depth", Depth(queued=queued, in_flight=in_flight))
    more.setdefault("workload", deployment(replicas))
    trigger = {name: more.pop(name) for name in ("queues", "source") if name in more}
    return with_trigger(Observed(at=at, **more), depth=depth, **trigger)


def with_trigger(seen: Observed, **changes: Any) -> Observed:
    """Make the same observation, with another state of its only trigger."""
    (trigger,) = seen.triggers
    trigger = replace(trigger, **changes)
    return replace(seen, triggers=(trigger,), depth=trigger.depth)


def pod(name: str, **more: Any) -> Pod:
    more.setdefault("ready", True)
    more.setdefault("containers", (Container("worker", running=True),))
    return Pod(key=Key("ns", name), uid=f"uid-{name}", **more)


def worker(of: Pod, **more: Any) -> Worker:
    more.setdefault("worker_id", f"{of.uid}.1")
    more.setdefault("container", "worker")
    more.setdefault("queues", ("mrz",))
    return Worker(host=of.key.name, pod_uid=of.uid, **more)
