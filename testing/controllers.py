"""Kubernetes' Deployment and ReplicaSet controllers and the kubelets, modelled on simulated time.

As in kubernetes/pkg/controller (1.34): `deployment/sync.go`, `rolling.go`, `recreate.go`,
`util/deployment_util.go`, `replicaset/replica_set.go` and the order of victims in
`controller_utils.go`. Each controller acts only when its `step` is called, and sees what the others
have written before, so a test decides how they interleave. Deployment and pods are objects in the
tests' API server; the workers in the pods are registered in a real Redis.

Where the ReplicaSet controller is free to choose between pods, it ends a busy one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from identtqueue.admin import Admin
from identtqueue.transport.connection import AsyncRedis
from identtqueue_operator.model import WorkloadKey
from identtqueue_operator.times import rfc3339
from testing.api_server import ApiServer
from testing.fleet import FleetWorker, controlled_by

COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass
class Pod:
    """A pod, its kubelet's view of it, and its worker."""

    name: str
    replica_set: ReplicaSet
    created_at: float
    started_at: float | None = None
    worker: FleetWorker | None = None
    ready_since: float | None = None
    deleting: bool = False
    task_ends_at: float | None = None
    """None: it holds no task."""


@dataclass
class ReplicaSet:
    """One revision of the Deployment's template."""

    revision: int
    body: dict[str, Any]
    replicas: int = 0
    desired: int = 0
    """Annotation: the Deployment's replicas when its controller last scaled this one."""
    max_replicas: int = 0
    """Annotation: the largest number at that time, with surge."""
    by_number: bool = False
    """Whether a lowered number of the Deployment, not a rollout, made it smaller last."""
    seen: int = 0
    ready: int = 0
    available: int = 0
    pods: list[Pod] = field(default_factory=list)

    @property
    def active(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.deleting]


@dataclass(frozen=True)
class Shape:
    """The way in which the Deployment rolls out, and how long its pods take."""

    strategy: str = "RollingUpdate"
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_seconds: int = 0
    startup_seconds: int = 1
    """Time from a pod's creation until its worker has registered."""
    readiness_seconds: int = 0
    """Time from that registration until the first readiness probe."""

    @property
    def controllers(self) -> type[Controllers]:
        """The model of Kubernetes' controllers for this shape."""
        return Controllers


class Controllers:
    """One Deployment and everything that Kubernetes does for it.

    Args:
        api: where the objects are.
        name: of the Deployment.
        redis, admin, queue: where the workers register.
        shape: how the Deployment rolls out.
        clock: seconds, simulated.
        duration: seconds that the next task takes.
    """

    plural = "deployments"
    kind = "Deployment"

    def __init__(
        self,
        api: ApiServer,
        name: str,
        redis: AsyncRedis,
        admin: Admin,
        queue: str,
        shape: Shape,
        clock: Callable[[], float],
        duration: Callable[[], float],
    ) -> None:
        self.api, self.name, self.shape = api, name, shape
        self._redis, self._admin, self._queue = redis, admin, queue
        self._clock, self._duration = clock, duration
        self._labels = {"app": name}
        self._made = 0
        self.replica_sets: list[ReplicaSet] = []
        self.busy_ended: list[str] = []
        """Pods that held a task when a lowered number ended them, outside of a rollout."""
        self.changes = 0
        """Number of changes so far."""

    # --- kubectl's part ---

    def create(self, replicas: int) -> None:
        strategy: dict[str, Any] = {"type": self.shape.strategy}
        if self.shape.strategy == "RollingUpdate":
            strategy["rollingUpdate"] = {
                "maxSurge": self.shape.max_surge,
                "maxUnavailable": self.shape.max_unavailable,
            }
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": self._labels},
            "strategy": strategy,
            "minReadySeconds": self.shape.min_ready_seconds,
            "template": {"metadata": {"labels": self._labels, "annotations": {"revision": "1"}}},
        }
        self.api.put(self.plural, self.name, {"spec": spec})

    def roll_out(self) -> None:
        """Change the template, which begins a rollout."""
        revision = str(self._revision + 1)
        template = {"metadata": {"annotations": {"revision": revision}}}
        self.api.change(self.plural, self.name, {"spec": {"template": template}})

    def pause(self, paused: bool) -> None:
        self.api.change(self.plural, self.name, {"spec": {"paused": paused}})

    # --- the present state ---

    @property
    def _deployment(self) -> dict[str, Any]:
        return self.api.get(self.plural, self.name)

    @property
    def key(self) -> WorkloadKey:
        return WorkloadKey("ns", self.name, "apps", self.kind)

    @property
    def number(self) -> int:
        """The number of replicas that the Deployment asks for."""
        return int(self._deployment["spec"]["replicas"])

    @property
    def _revision(self) -> int:
        return int(self._deployment["spec"]["template"]["metadata"]["annotations"]["revision"])

    @property
    def pods(self) -> list[Pod]:
        return [pod for each in self.replica_sets for pod in each.pods]

    @property
    def complete(self) -> bool:
        """Whether all pods are of the newest template, and available."""
        new = self._new
        return (
            new is not None
            and not any(each.pods for each in self.replica_sets if each is not new)
            and len(new.active) == len(new.pods) == new.available == self.number
        )

    @property
    def _new(self) -> ReplicaSet | None:
        found = (each for each in self.replica_sets if each.revision == self._revision)
        return next(found, None)

    @property
    def _old(self) -> list[ReplicaSet]:
        return [each for each in self.replica_sets if each is not self._new]

    @property
    def _rolling(self) -> bool:
        return any(each.active for each in self._old)

    @property
    def _bounds(self) -> tuple[int, int]:
        """Surge (rounded up) and unavailability (rounded down) in pods; they are not both zero."""
        if self.shape.strategy != "RollingUpdate":
            return 0, 0
        surge = _scaled(self.shape.max_surge, self.number, math.ceil)
        unavailable = _scaled(self.shape.max_unavailable, self.number, math.floor)
        return surge, min(self.number, unavailable if surge or unavailable else 1)

    # --- the Deployment controller ---

    def step_deployment(self) -> None:
        """Let the Deployment controller sync once."""
        scaled = any(each.replicas and each.desired != self.number for each in self.replica_sets)
        if self._deployment["spec"].get("paused") or scaled:
            self._follow_number()
        elif self.shape.strategy == "Recreate":
            self._recreate()
        else:
            self._roll()
        self._write_status()

    def _follow_number(self) -> None:
        active = [each for each in self.replica_sets if each.replicas]
        new = self._new
        if len(active) <= 1:
            only = active[0] if active else new or max(self._old, key=_age, default=None)
            if only is not None and only.replicas != self.number:
                self._set(only, self.number, by_number=True)
        elif new is not None and self._saturated(new):
            for each in self._old:
                self._set(each, 0, by_number=True)
        elif self.shape.strategy == "RollingUpdate":
            self._scale_proportionally(active)

    def _saturated(self, new: ReplicaSet) -> bool:
        return new.desired == new.replicas == new.available == self.number

    def _scale_proportionally(self, active: list[ReplicaSet]) -> None:
        surge, _ = self._bounds
        allowed = self.number + surge if self.number else 0
        to_add, added = allowed - sum(each.replicas for each in active), 0
        # The largest first; among equals the newer one grows first, and the older one shrinks.
        active = sorted(
            active, key=lambda rs: (-rs.replicas, -_age(rs) if to_add > 0 else _age(rs))
        )
        sizes = []
        for each in active:
            part = self._proportion(each, to_add, added, allowed)
            added += part
            sizes.append(each.replicas + part)
        sizes[0] = max(0, sizes[0] + to_add - added)
        for each, size in zip(active, sizes, strict=True):
            self._set(each, size, by_number=True)

    def _proportion(self, each: ReplicaSet, to_add: int, added: int, allowed: int) -> int:
        if to_add == added:
            return 0
        if self.number == 0:
            part = -each.replicas
        else:
            part = round(each.replicas * allowed / (each.max_replicas or allowed)) - each.replicas
        left = to_add - added
        return min(part, left) if to_add > 0 else max(part, left)

    def _roll(self) -> None:
        surge, unavailable = self._bounds
        new = self._make_new(min(self.number, self._room(surge)))
        if new.replicas > self.number:
            self._set(new, self.number)
            return
        if new.replicas < self.number and self._room(surge) > 0:
            room = min(self._room(surge), self.number - new.replicas)
            self._set(new, new.replicas + room)
            return
        self._shrink_old(new, self.number - unavailable)

    def _room(self, surge: int) -> int:
        return max(0, self.number + surge - sum(each.replicas for each in self.replica_sets))

    def _make_new(self, replicas: int) -> ReplicaSet:
        new = self._new
        if new is None:
            new = self._make_replica_set()
            self._set(new, replicas)
        return new

    def _shrink_old(self, new: ReplicaSet, least: int) -> None:
        old = sorted((each for each in self._old if each.replicas), key=_age)
        in_all = sum(each.replicas for each in self.replica_sets)
        most = in_all - least - (new.replicas - new.available)
        if not old or most <= 0:
            return
        for each in old:  # those that are not available first
            part = min(most, each.replicas - min(each.available, each.replicas))
            most -= part
            self._set(each, each.replicas - part)
        spare = sum(each.available for each in self.replica_sets) - least
        for each in old:
            part = max(0, min(spare, each.replicas))
            spare -= part
            self._set(each, each.replicas - part)

    def _recreate(self) -> None:
        if any(each.replicas for each in self._old):
            for each in self._old:
                self._set(each, 0)
        elif not any(each.pods for each in self._old):
            new = self._make_new(self.number)
            self._set(new, self.number)

    def _make_replica_set(self) -> ReplicaSet:
        owner = controlled_by(self._deployment)
        revision = self._revision
        body = {"metadata": {"ownerReferences": [owner]}}
        made = self.api.put("replicasets", f"{self.name}-rev{revision}", body)
        self.replica_sets.append(ReplicaSet(revision, made))
        return self.replica_sets[-1]

    def _set(self, each: ReplicaSet, replicas: int, *, by_number: bool = False) -> None:
        surge, _ = self._bounds
        annotations = (self.number, self.number + surge)
        if replicas != each.replicas or annotations != (each.desired, each.max_replicas):
            self.changes += 1
        if replicas < each.replicas:
            each.by_number = by_number
        each.replicas = replicas
        each.desired, each.max_replicas = annotations

    def _write_status(self) -> None:
        new = self._new
        status = {
            "observedGeneration": self._deployment["metadata"]["generation"],
            "replicas": sum(each.seen for each in self.replica_sets),
            "updatedReplicas": new.seen if new else 0,
            "readyReplicas": sum(each.ready for each in self.replica_sets),
            "availableReplicas": sum(each.available for each in self.replica_sets),
        }
        if self._deployment.get("status") != status:
            self.changes += 1
            self.api.change(self.plural, self.name, {"status": status})

    # --- the ReplicaSet controller ---

    def step_replica_sets(self) -> None:
        """Sync each ReplicaSet once. Its report does not count what it then creates and deletes."""
        for each in self.replica_sets:
            pods = each.active
            ready = [pod for pod in pods if pod.ready_since is not None]
            old_enough = self._clock() - self.shape.min_ready_seconds
            available = [pod for pod in ready if (pod.ready_since or 0.0) <= old_enough]
            report = (len(pods), len(ready), len(available))
            if report != (each.seen, each.ready, each.available):
                self.changes += 1
            each.seen, each.ready, each.available = report
            for _ in range(each.replicas - len(pods)):
                self._make_pod(each)
            for pod in sorted(pods, key=self._order)[: max(0, len(pods) - each.replicas)]:
                self._delete(pod, each)

    def _order(self, pod: Pod) -> tuple[bool, bool, int, bool]:
        annotations = self.api.get("pods", pod.name)["metadata"].get("annotations") or {}
        return (
            pod.started_at is not None,
            pod.ready_since is not None,
            int(annotations.get(COST, 0)),
            pod.task_ends_at is None,
        )

    def _make_pod(self, replica_set: ReplicaSet) -> None:
        self._made += 1
        self._put_pod(f"{self.name}-{self._made}", replica_set, self._labels)

    def _put_pod(self, name: str, replica_set: ReplicaSet, labels: dict[str, str]) -> None:
        self.changes += 1
        metadata = {
            "labels": labels,
            "ownerReferences": [controlled_by(replica_set.body)],
            "creationTimestamp": rfc3339(self._clock()),
        }
        body = {"metadata": metadata, "spec": {"nodeName": "node"}, "status": {"phase": "Pending"}}
        self.api.put("pods", name, body)
        replica_set.pods.append(Pod(name, replica_set, self._clock()))

    def _delete(self, pod: Pod, replica_set: ReplicaSet) -> None:
        self.changes += 1
        chosen_by_number = replica_set.by_number and not (self._rolling and self.number)
        if pod.task_ends_at is not None and chosen_by_number:
            self.busy_ended.append(pod.name)
        pod.deleting = True
        deleted = {"metadata": {"deletionTimestamp": rfc3339(self._clock())}}
        self.api.change("pods", pod.name, deleted)

    # --- the kubelets, and the workers in the pods ---

    async def step_pods(self) -> None:
        """Start, probe and end containers; workers begin and end tasks."""
        told = {info.worker_id for info in await self._admin.workers(self._queue) if info.draining}
        for pod in self.pods:
            await self._end_task(pod)
            if pod.deleting:
                await self._end(pod)
            elif pod.worker is None:
                await self._start(pod)
            else:
                self._probe(pod, pod.worker.worker_id in told)
                await self._begin_task(pod)

    async def _start(self, pod: Pod) -> None:
        if self._clock() < pod.created_at + self.shape.startup_seconds:
            return
        self.changes += 1
        pod.started_at = self._clock()
        container = {"name": "worker", "restartCount": 0, "state": {"running": {}}}
        status = {"phase": "Running", "containerStatuses": [container]}
        body = self.api.change("pods", pod.name, {"status": status})
        pod.worker = await FleetWorker(self._redis, self._queue, body).start(lease_seconds=600)

    def _probe(self, pod: Pod, told: bool) -> None:
        assert pod.started_at is not None
        probed = self._clock() >= pod.started_at + self.shape.readiness_seconds
        ready = not told and (probed or pod.ready_since is not None)
        if ready == (pod.ready_since is not None):
            return
        self.changes += 1
        pod.ready_since = self._clock() if ready else None
        condition = {
            "type": "Ready",
            "status": str(ready),
            "lastTransitionTime": rfc3339(self._clock()),
        }
        self.api.change("pods", pod.name, {"status": {"conditions": [condition]}})

    async def _begin_task(self, pod: Pod) -> None:
        assert pod.worker is not None
        if pod.task_ends_at is None and await pod.worker.claim():
            self.changes += 1
            pod.task_ends_at = self._clock() + self._duration()

    async def _end_task(self, pod: Pod) -> None:
        if pod.task_ends_at is not None and self._clock() >= pod.task_ends_at:
            assert pod.worker is not None
            self.changes += 1
            pod.task_ends_at = None
            assert [ack.recorded for ack in await pod.worker.finish()] == [True]

    async def _end(self, pod: Pod) -> None:
        """End a pod after its SIGTERM, once its worker holds no task."""
        if pod.task_ends_at is not None:
            return
        self.changes += 1
        if pod.worker is not None:
            await pod.worker.leave()
            await pod.worker.die()
        pod.replica_set.pods.remove(pod)
        self.api.remove("pods", pod.name)

    async def close(self) -> None:
        """End all workers that still run."""
        for pod in self.pods:
            if pod.worker is not None:
                await pod.worker.leave()
                await pod.worker.die()


def _scaled(value: int | str, total: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    return rounded(int(value.removesuffix("%")) * total / 100)


def _age(replica_set: ReplicaSet) -> int:
    """Return a number that is smaller for an older ReplicaSet."""
    return replica_set.revision
