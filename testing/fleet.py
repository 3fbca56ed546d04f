"""Worker pods of a Deployment: the ReplicaSet's and the kubelet's part, and workers in the pods.

The pods are objects in the test's API server. A worker in a pod is a real registration in the real
Redis, with a real control connection, made with the library's own protocol; it claims and finishes
when the test says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from identtqueue.protocol import codec, keys
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.calls import claiming, leasing, reporting
from identtqueue.task import Attempt, Failure
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.subscriber import Subscriber
from testing.api_server import ApiServer


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def controlled_by(owner: dict[str, Any]) -> dict[str, Any]:
    """Make an owner reference to the controlling object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


class FleetWorker:
    """One worker incarnation in a pod."""

    def __init__(
        self, redis: AsyncRedis, queue: str, pod: dict[str, Any], more_queues: Sequence[str] = ()
    ) -> None:
        self._redis = redis
        self._queue = queue
        self._queues = (queue, *more_queues)
        self.pod_name: str = pod["metadata"]["name"]
        self._uid: str = pod["metadata"]["uid"]
        self.worker_id = f"{self._uid}.{secrets.token_hex(4)}"
        self._attempts: list[Attempt] = []
        self._control = Subscriber(redis.settings, client_name="worker", on_message=lambda *_: None)

    async def start(self, lease_seconds: float = 60) -> FleetWorker:
        """Subscribe, then register, as workers do."""
        await self._control.add(keys.control_channel(self.worker_id))
        info = {
            "pod_uid": self._uid,
            "pod_name": self.pod_name,
            "container": "worker",
            "host": self.pod_name,
            "concurrency": 10,
            "registered_at_ms": int(datetime.now(UTC).timestamp() * 1000),
        }
        lease_ms = int(lease_seconds * 1000)
        for queue in self._queues:
            await self._redis.run(leasing.register(queue, self.worker_id, lease_ms, info))
        return self

    async def claim(self, limit: int = 1) -> list[str]:
        """Claim tasks and begin them."""
        idle = not self._attempts
        call = claiming.claim(self._queue, self.worker_id, limit, idle=idle)
        claimed = await self._redis.run(call)
        self._attempts += claimed.attempts
        return [attempt.task_id for attempt in claimed.attempts]

    async def finish(self) -> list[Ack]:
        """Record a result for every task that was begun."""
        done = [(a.task_id, a.number, codec.encode_value(None)) for a in self._attempts]
        self._attempts.clear()
        return await self._redis.run(reporting.finish(self._queue, self.worker_id, done))

    async def fail(self) -> None:
        """Make a dead letter of every task that was begun."""
        failure = codec.encode_failure(Failure("ValueError", "no such page", ""))
        for attempt in self._attempts:
            call = reporting.bury(
                self._queue, self.worker_id, attempt.task_id, attempt.number, failure
            )
            await self._redis.run(call)
        self._attempts.clear()

    async def leave(self) -> None:
        """Give the leases back."""
        for queue in self._queues:
            await self._redis.run(leasing.leave(queue, self.worker_id))

    async def die(self) -> None:
        """End the process without a word: its kernel only closes the connection."""
        await self._control.close()


class Fleet:
    """The pods of one Deployment.

    Args:
        api: where the objects are.
        name: of the Deployment.
        redis, queue: where the workers register.
    """

    plural = "deployments"

    def __init__(self, api: ApiServer, name: str, redis: AsyncRedis, queue: str) -> None:
        self.api = api
        self.name = name
        self.labels = {"app": name}
        self.redis = redis
        self.queue = queue
        self.more_queues: tuple[str, ...] = ()
        """On which the workers register too; they claim from `queue` only."""
        self._made = 0
        self.workers: dict[str, FleetWorker] = {}

    def create(self, replicas: int = 0) -> None:
        """Create the workload, with no pods yet."""
        template = {"metadata": {"labels": self.labels}, "spec": {"containers": []}}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": self.labels},
            "template": template,
        }
        made = self.api.put(self.plural, self.name, {"spec": spec, "status": {}})
        self._owner = self.make_owner(made)

    def make_owner(self, workload: dict[str, Any]) -> dict[str, Any]:
        """Create the object that controls the pods."""
        body = {"metadata": {"ownerReferences": [controlled_by(workload)]}}
        return self.api.put("replicasets", f"{self.name}-1a2b3c", body)

    @property
    def replicas(self) -> int:
        """The number of replicas that the workload asks for."""
        return int(self.api.get(self.plural, self.name)["spec"]["replicas"])

    @property
    def pods(self) -> list[dict[str, Any]]:
        """The pods that are not being deleted."""
        return [
            body
            for body in self.api.all("pods")
            if body["metadata"].get("ownerReferences") == [controlled_by(self._owner)]
            and "deletionTimestamp" not in body["metadata"]
        ]

    async def settle(self) -> None:
        """Create and end pods and workers until there are as many as asked for."""
        while len(self.pods) > self.replicas:
            await self.end(self._victim()["metadata"]["name"])
        while len(self.pods) < self.replicas:
            await self.add_pod()
        self.count()

    def _victim(self) -> dict[str, Any]:
        return min(self.pods, key=_order)

    async def add_pod(self, lease_seconds: float = 60) -> FleetWorker:
        """Add a running pod with a worker in it."""
        self._made += 1
        return await self.start_worker(self.put_pod(self._next_name()), lease_seconds)

    def _next_name(self) -> str:
        return f"{self.name}-{self._made}"

    def put_pod(self, name: str, *, ready: bool = True) -> dict[str, Any]:
        """Put a running pod into the API server, without a worker."""
        return self.api.put(
            "pods",
            name,
            {
                "metadata": {
                    "labels": self.labels,
                    "ownerReferences": [controlled_by(self._owner)],
                },
                "spec": {"nodeName": "node"},
                "status": {
                    "phase": "Running",
                    "conditions": [
                        {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
                    ],
                    "containerStatuses": [
                        {"name": "worker", "restartCount": 0, "state": {"running": {}}}
                    ],
                },
            },
        )

    async def start_worker(self, pod: dict[str, Any], lease_seconds: float = 60) -> FleetWorker:
        worker = FleetWorker(self.redis, self.queue, pod, self.more_queues)
        await worker.start(lease_seconds)
        self.workers[worker.pod_name] = worker
        return worker

    def count(self) -> None:
        """Write into the workload's status how many pods there are."""
        count = len(self.pods)
        status = {
            "replicas": count,
            "readyReplicas": count,
            "updatedReplicas": count,
            "observedGeneration": self.api.get(self.plural, self.name)["metadata"]["generation"],
        }
        self.api.change(self.plural, self.name, {"status": status})

    def container_ended(self, pod: str, *, restarted: bool = False, code: int = 137) -> None:
        """Report, as the kubelet does, that the worker's process ended."""
        end = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": now()}}
        status: dict[str, Any] = {"name": "worker", "restartCount": int(restarted)}
        status |= (
            {"state": {"running": {}}, "lastState": end}
            if restarted
            else {"state": end, "lastState": {}}
        )
        self.api.change("pods", pod, {"status": {"containerStatuses": [status]}})

    async def end(self, pod: str) -> None:
        """End a pod in order: its process stops, the kubelet reports it, and the object goes."""
        self.api.change("pods", pod, {"metadata": {"deletionTimestamp": now()}})
        worker = self.workers.pop(pod, None)
        if worker is not None:
            await worker.leave()
            await worker.die()
        self.container_ended(pod, code=0)
        self.api.remove("pods", pod)

    async def close(self) -> None:
        for worker in self.workers.values():
            await worker.die()


class StatefulFleet(Fleet):
    """The pods of one StatefulSet."""

    plural = "statefulsets"

    def create(self, replicas: int = 0, *, parallel: bool = False) -> None:
        super().create(replicas)
        policy = "Parallel" if parallel else "OrderedReady"
        self.api.change(self.plural, self.name, {"spec": {"podManagementPolicy": policy}})

    def make_owner(self, workload: dict[str, Any]) -> dict[str, Any]:
        return workload

    def _next_name(self) -> str:
        return f"{self.name}-{len(self.pods)}"

    def _victim(self) -> dict[str, Any]:
        return max(self.pods, key=lambda pod: int(pod["metadata"]["name"].rpartition("-")[2]))


class PoolFleet(Fleet):
    """The pods of an object of a custom kind, whose controller ends the oldest pods first."""

    plural = "workerpools"

    def make_owner(self, workload: dict[str, Any]) -> dict[str, Any]:
        return workload

    def _victim(self) -> dict[str, Any]:
        return self.pods[0]

    def count(self) -> None:
        labels = ",".join(f"{key}={value}" for key, value in self.labels.items())
        status = {"replicas": len(self.pods), "selector": labels}
        self.api.change(self.plural, self.name, {"status": status})


def _order(pod: dict[str, Any]) -> tuple[bool, int]:
    """Order pods as a ReplicaSet does: not ready first, then by deletion cost."""
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    annotations = pod["metadata"].get("annotations") or {}
    return ready, int(annotations.get("controller.kubernetes.io/pod-deletion-cost", 0))
