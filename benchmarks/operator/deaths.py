"""From a worker's death, as the API server is told of it, to its task pending again.

The pods are objects on the real API server, bound to a node that no kubelet runs on; this file
plays the kubelet. The worker in a pod is a registration in the real Redis with a real control
connection and a task in flight. Its lease is far away: only evidence can bring the task back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import redis.asyncio

from benchmarks.operator.api import CORE, Json, Replicas
from benchmarks.operator.stage import Stage
from identtqueue import RedisSettings
from identtqueue.protocol import keys
from identtqueue.transport.connect import async_redis
from testing.fleet import FleetWorker, now

NAME = "deaths"
LEASE_SECONDS = 600.0
AT_MOST_SECONDS = 60
TRUST_SECONDS = 20.0
"""A closed connection is evidence only after Redis was reachable for one lease (15 s) without a
break; see `operator/identtqueue_operator/policy/evidence.py`. Measured is what comes after that."""


async def container_ended(pod: _Pod) -> None:
    """Killed, out of memory: the kubelet starts it anew in the same pod."""
    end = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now()}}
    status = {"restartCount": 1, "state": {"running": {"startedAt": now()}}, "lastState": end}
    await pod.report({"containerStatuses": [pod.container | status]})


async def pod_failed(pod: _Pod) -> None:
    """Evicted: the pod is over, its object stays."""
    end = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now()}}
    await pod.report(
        {
            "phase": "Failed",
            "reason": "Evicted",
            "containerStatuses": [pod.container | {"state": end}],
        }
    )


async def pod_deleted(pod: _Pod) -> None:
    """Deleted, and ended within its grace period, as the kubelet reports before the object goes."""
    await pod.delete(grace_seconds=30)
    end = {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now()}}
    await pod.report({"containerStatuses": [pod.container | {"state": end}]})


async def pod_gone(pod: _Pod) -> None:
    """Force-deleted: the object vanishes, nobody reports."""
    await pod.delete(grace_seconds=0)


DEATHS: dict[str, Callable[[_Pod], Awaitable[None]]] = {
    "container": container_ended,
    "failed": pod_failed,
    "deleted": pod_deleted,
    "gone": pod_gone,
}


async def deaths(stage: Stage, repetitions: int) -> dict[str, list[float]]:
    """Seconds, `repetitions` for each kind of death."""
    await stage.create([NAME], minReplicas=1)
    taken: dict[str, list[float]] = {f"{kind}_s": [] for kind in DEATHS}
    settings = RedisSettings.of(stage.redis.address)
    calls = async_redis(settings, client_name="benchmark", retry_for_seconds=30)
    async with (
        _node(stage) as node,
        Replicas(stage.api, stage.namespace) as replicas,
        redis.asyncio.from_url(stage.redis.address, socket_timeout=AT_MOST_SECONDS + 5) as listener,
    ):
        await replicas.at(NAME, 1)
        await asyncio.sleep(TRUST_SECONDS)
        for number in range(repetitions * len(DEATHS)):
            kind = list(DEATHS)[number % len(DEATHS)]
            pod = await _Pod.create(stage, f"{NAME}-{number}", node)
            worker = await FleetWorker(calls, NAME, pod.body).start(LEASE_SECONDS)
            task_id = await stage.client.enqueue_job(NAME, "job")
            assert await worker.claim() == [task_id]
            await listener.delete(keys.queue_keys(NAME).wake)
            await worker.die()
            begin = time.monotonic()
            await DEATHS[kind](pod)
            # `recover` rings for an idle worker: that is when the task is there again.
            rung = await listener.blpop([keys.queue_keys(NAME).wake], AT_MOST_SECONDS)
            taken[f"{kind}_s"].append(time.monotonic() - begin)
            assert rung is not None, f"{kind}: the task did not come back"
            assert await stage.client.cancel(task_id)
            await pod.delete(grace_seconds=0)
    await calls.close()
    return taken


class _Pod:
    """A pod that runs on the node without a kubelet."""

    def __init__(self, stage: Stage, body: Json) -> None:
        self._api = stage.api
        self._path = stage.path(CORE, "pods", body["metadata"]["name"])
        self.body = body
        self.container: Json = {
            "name": "worker",
            "image": "none",
            "imageID": "none",
            "ready": False,
            "restartCount": 0,
        }

    @classmethod
    async def create(cls, stage: Stage, name: str, node: str) -> _Pod:
        """Created, bound, and reported as running and ready."""
        body = {
            "metadata": {"name": name, "labels": {"app": NAME}},
            "spec": {
                "nodeName": node,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "worker", "image": "example.invalid/never-pulled:0"}],
            },
        }
        pod = cls(stage, await stage.api.create(stage.path(CORE, "pods"), body))
        running = {"ready": True, "state": {"running": {"startedAt": now()}}}
        await pod.report(
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [pod.container | running],
            }
        )
        return pod

    async def report(self, status: Json) -> None:
        """Do the part of a kubelet."""
        await self._api.patch(f"{self._path}/status", {"status": status})

    async def delete(self, *, grace_seconds: int) -> None:
        await self._api.delete(self._path, grace_seconds=grace_seconds)


@asynccontextmanager
async def _node(stage: Stage) -> AsyncIterator[str]:
    """A node object that nothing runs behind; its pods tolerate everything."""
    name = f"{stage.namespace}-node"
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    await stage.api.create(f"{CORE}/nodes", {"metadata": {"name": name}, "status": status})
    try:
        yield name
    finally:
        await stage.api.delete(f"{CORE}/nodes/{name}")
