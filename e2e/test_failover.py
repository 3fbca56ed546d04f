"""The Redis server that has the queue dies for good, and another one takes over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest

from testing.cluster import topologies
from testing.cluster.cluster import Kubectl, kill_for_good
from testing.cluster.release import Release
from testing.cluster.topologies import Topology
from testing.cluster.workload import pod_spec, producer, task_queue
from testing.waiting import wait_until


@pytest.fixture(params=[topologies.sentinels, topologies.cluster], ids=["sentinels", "cluster"])
def topology(release: Release, request: pytest.FixtureRequest) -> Iterator[Topology]:
    with request.param(release.kubectl) as topology:
        yield topology


class Application:
    """A pod that enqueues and waits (`testing/cluster/produce.py`)."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._exec = lambda *words: kubectl("exec", name, "--", *words)

    async def naps(self, seconds: float, *queues: str) -> list[int]:
        """Enqueue a nap in each queue; return the numbers of the attempts that finished."""
        words = ("python", "/jobs/produce.py", str(seconds), *queues)
        return [int(line) for line in (await asyncio.to_thread(self._exec, *words)).split()]

    def running(self, *queues: str) -> int:
        """Return how many tasks of these queues run."""
        rows = self._exec("identtqueue", "queues", "--json", *queues).splitlines()
        return sum(json.loads(row)["running"] for row in rows)


@pytest.fixture
def application(release: Release, topology: Topology, name: str) -> Iterator[Application]:
    kubectl, pod = release.kubectl, f"{name}-producer"
    kubectl.apply(producer(pod, topology.address))
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=60s")
        yield Application(kubectl, pod)
    finally:
        kubectl("delete", "pod", pod)


@pytest.mark.timeout(300, func_only=True)
async def test_the_server_with_the_queue_dies(
    release: Release,
    topology: Topology,
    application: Application,
    name: str,
    figure: Callable[[str], None],
) -> None:
    kubectl, queues = release.kubectl, [name, f"{name}-other"]
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec()}
    changes = {"workloadRef": None, "template": template, "scaling": {"maxReplicas": 4}}
    body = task_queue(release, name, name, **changes)
    body["spec"] |= {"redis": topology.redis, "queues": [{"name": queue} for queue in queues]}
    kubectl.apply(body)
    assert await application.naps(0, *queues) == [1, 1]

    long = asyncio.create_task(application.naps(45, *queues))
    await asyncio.to_thread(
        wait_until, "both naps run", lambda: application.running(*queues) == 2, 60
    )
    primary = await asyncio.to_thread(topology.primary_of, name)
    await asyncio.to_thread(topology.replicate, name, primary)
    await asyncio.to_thread(kill_for_good, kubectl, primary)
    killed_at = time.monotonic()
    # No worker is free, so these tasks also need the operator to scale.
    assert await application.naps(0, *queues) == [1, 1]
    took = time.monotonic() - killed_at
    assert await asyncio.to_thread(topology.primary_of, name) != primary
    assert not long.done(), "the workers were busy all the time"
    figure(f"Redis' primary killed -> replicas raised, new tasks done: {took:.1f} s")

    assert await long == [1, 1], "what ran went on, once"
    await asyncio.to_thread(
        wait_until,
        "the operator reaches Redis",
        lambda: kubectl.condition(name, "RedisReachable").get("status") == "True",
        30,
    )
    kubectl("delete", "tq", name, "--timeout=30s")
