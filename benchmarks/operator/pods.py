"""With real pods: a release of the chart, workers that run 60 s tasks, and a node that dies.

Uses what the end-to-end suite uses (`testing/cluster`). Killing a node needs kind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.operator.api import Api, Replicas
from benchmarks.operator.stage import say
from identtqueue import Client, RedisSettings, State
from identtqueue.protocol.submission import Submission
from testing.cluster.cluster import kill_node, revive_node
from testing.cluster.release import Release, installed
from testing.cluster.workload import deployment, jobs_config_map, task_queue

TASK_SECONDS = 60
MOST_WORKERS = 20
DRAINED_TASKS = 100
SHRINKING = {"stabilizationSeconds": 0, "idleSeconds": 2}
END_SECONDS = 1800
BUSY_SECONDS = 25
"""Long enough for 20 pods to start."""


@dataclass
class Ward:
    """A release, a client of its Redis, and what the Deployments ask for."""

    release: Release
    client: Client
    replicas: Replicas

    async def open(self, name: str, **scaling: Any) -> None:
        """A Deployment of workers that take one task at a time, and its TaskQueue."""
        wanted = {"maxReplicas": MOST_WORKERS, "scaleDown": SHRINKING, **scaling}
        await self.apply(
            deployment(self.release, name, name, grace_seconds=90),
            task_queue(self.release, name, name, scaling=wanted),
        )

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(self.release.kubectl.apply, *objects)

    async def shut(self, name: str) -> None:
        """Take both away."""
        words = ("delete", "taskqueue,deployment", name, "--timeout=120s")
        await asyncio.to_thread(self.release.kubectl, *words)

    async def enqueue(
        self, name: str, number: int = 1, job: str = "nap", **arguments: float
    ) -> list[str]:
        """So many tasks of one kind (`testing/cluster/jobs.py`), in one batch."""
        receipts = await self.client.submit_many(
            Submission(name, job, kwargs=arguments) for _ in range(number)
        )
        return [receipt.task_id for receipt in receipts]

    async def repeated(self, task_ids: list[str]) -> float:
        """Wait until all have succeeded; how many of them needed more than one attempt."""
        results = await self.client.wait_many(task_ids, END_SECONDS)
        assert all(result.state is State.SUCCEEDED for result in results)
        return float(sum(result.unwrap() > 1 for result in results))


@asynccontextmanager
async def ward() -> AsyncIterator[Ward]:
    """Install the release, and take it away at the end."""
    async with AsyncExitStack() as stack:
        release = await asyncio.to_thread(stack.enter_context, installed())
        await asyncio.to_thread(release.kubectl.apply, jobs_config_map())
        port = stack.enter_context(release.kubectl.port_forward("svc/identtqueue-redis", 6379))
        settings = RedisSettings(
            address=f"redis://127.0.0.1:{port}", password=release.redis_password()
        )
        client = await stack.enter_async_context(Client(settings))
        api = await stack.enter_async_context(await Api.open())
        replicas = await stack.enter_async_context(Replicas(api, release.namespace))
        yield Ward(release, client, replicas)


async def ordinary_drain(here: Ward) -> dict[str, list[float]]:
    """100 tasks of 60 s, up to 20 workers: seconds until the last ended; tasks run twice."""
    await here.open("drain")
    begin = time.monotonic()
    task_ids = await here.enqueue("drain", DRAINED_TASKS, seconds=TASK_SECONDS)
    repeated = await here.repeated(task_ids)
    ended = time.monotonic() - begin
    say(f"{DRAINED_TASKS} tasks of {TASK_SECONDS} s done in {ended:.0f} s")
    await here.replicas.at("drain", 0, 120)
    await here.shut("drain")
    return {"ended_s": [ended], "repeated": [repeated]}


async def to_zero(here: Ward, repetitions: int) -> dict[str, list[float]]:
    """20 workers run out of work: seconds from the last result to zero; tasks run twice."""
    await here.open("zero")
    taken, repeated = [], 0.0
    for _ in range(repetitions):
        ends_at = time.time() + BUSY_SECONDS  # all at once: nobody is idle before the others
        task_ids = await here.enqueue("zero", MOST_WORKERS, "nap_until", at=ends_at)
        repeated += await here.repeated(task_ids)
        begin = time.monotonic()
        assert here.replicas.now("zero") == MOST_WORKERS, "all were still there"
        taken.append(await here.replicas.at("zero", 0) - begin)
        say(f"{MOST_WORKERS} idle workers gone in {taken[-1]:.1f} s")
    await here.shut("zero")
    return {"zero_s": taken, "repeated": [repeated]}


async def scale_downs(here: Ward, wanted: int) -> dict[str, list[float]]:
    """Scale-downs amid workers that are busy with 60 s tasks: how many, and tasks run twice.

    Tasks begin 4 s apart, so while some workers run dry the others are in the middle of a task.
    """
    await here.open("shrink", scaleDown={"stabilizationSeconds": 0, "idleSeconds": 0})
    repeated, tasks = 0.0, 0
    while here.replicas.lowered("shrink") < wanted:
        task_ids: list[str] = []
        for _ in range(MOST_WORKERS):
            task_ids += await here.enqueue("shrink", seconds=TASK_SECONDS)
            await asyncio.sleep(4)  # the pace of the load
        repeated += await here.repeated(task_ids)
        tasks += len(task_ids)
        say(f"{here.replicas.lowered('shrink')} of {wanted} scale-downs, {tasks} tasks")
    count = here.replicas.lowered("shrink")
    await here.shut("shrink")
    return {"scale_downs": [float(count)], "tasks": [float(tasks)], "repeated": [repeated]}


async def node_loss(here: Ward) -> dict[str, list[float]]:
    """Seconds from `docker kill` of a node until its task runs on another."""
    name = "node"
    body = deployment(here.release, name, name, replicas=2, spread=True)
    await here.apply(body, task_queue(here.release, name, name, scaling={"minReplicas": 2}))
    await asyncio.to_thread(
        here.release.kubectl, "rollout", "status", f"deployment/{name}", "--timeout=120s"
    )
    taken = []
    while not taken:
        task_id = (await here.enqueue(name, seconds=TASK_SECONDS))[0]
        node = await _node_of(here, task_id)
        if node != here.release.other_node:  # the operator and Redis are on that one
            await here.client.cancel(task_id)
            continue
        await asyncio.to_thread(kill_node, node)
        begin = time.monotonic()
        try:
            await _attempt(here, task_id, 2)
            taken.append(time.monotonic() - begin)
            say(f"node killed, its task runs elsewhere after {taken[-1]:.1f} s")
        finally:
            await asyncio.to_thread(revive_node, node)
        await here.client.cancel(task_id)
    await here.shut(name)
    return {"running_s": taken}


async def _node_of(here: Ward, task_id: str) -> str:
    owner = await _attempt(here, task_id, 1)
    pods = await asyncio.to_thread(here.release.kubectl.list, "pods", "app=node")
    uid = owner.rpartition(".")[0]
    return next(pod["spec"]["nodeName"] for pod in pods if pod["metadata"]["uid"] == uid)


async def _attempt(here: Ward, task_id: str, number: int) -> str:
    """Wait until that attempt runs; its worker. Nobody is told when one begins, so look."""
    async with asyncio.timeout(120):
        while True:
            info = await here.client.get_task(task_id)
            if info is not None and info.attempt >= number and info.owner:
                return info.owner
            await asyncio.sleep(0.05)
