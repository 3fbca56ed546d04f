"""Nodes that are emptied: `kubectl drain`, a spot node's short notice, evictions by the kubelet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from testing.cluster.cluster import run
from testing.cluster.workload import deployment, task_queue

cordons = pytest.mark.alone
"""A node takes no pods meanwhile."""


def budget(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}},
    }


@asynccontextmanager
async def draining(release, scene, *words: str) -> AsyncIterator[asyncio.Task[str]]:
    """Run `kubectl drain` for this application's pods in the background."""
    node = release.other_node
    only = ("--pod-selector", f"app={scene.name}", "--delete-emptydir-data", "--timeout=150s")
    drain = asyncio.create_task(asyncio.to_thread(scene.kubectl, "drain", node, *only, *words))
    try:
        yield drain
    finally:
        await asyncio.wait([drain])
        await asyncio.to_thread(run, "kubectl", "uncordon", node)


async def two_busy_workers(release, scene, job: str, **arguments: float) -> list[str]:
    """Start two workers on the node that is to be drained, each with a running task."""
    name = scene.name
    workers = deployment(release, name, name, replicas=2, grace_seconds=60)
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [release.other_node]}
    preferred = {"weight": 100, "preference": {"matchExpressions": [there]}}
    workers["spec"]["template"]["spec"]["affinity"] = {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}
    }
    scaling = {"minReplicas": 2, "maxReplicas": 2, "concurrencyPerReplica": 1}
    scene.kubectl.apply(workers, task_queue(release, name, name, scaling=scaling))
    await scene.until("both workers ready", lambda: len(scene.ready()) == 2, 120)
    assert {pod["spec"]["nodeName"] for pod in scene.pods()} == {release.other_node}
    tasks = [await scene.client.enqueue_job(name, job, **arguments) for _ in range(2)]
    await asyncio.gather(*(scene.until_running(task) for task in tasks))
    return tasks


async def settled(release, scene) -> None:
    """Wait until two workers run on the other node, and the TaskQueue reports no trouble."""

    def look() -> bool:
        nodes = [pod["spec"]["nodeName"] for pod in scene.ready()]
        working = scene.kubectl.condition(scene.name, "WorkersReady").get("status")
        ready = scene.kubectl.condition(scene.name, "Ready").get("status")
        return nodes == [release.system_node] * 2 and working == ready == "True"

    await scene.until("two workers on the node that stays", look, 90)
    assert scene.replicas() == 2


@cordons
@pytest.mark.timeout(360, func_only=True)
@pytest.mark.parametrize("with_budget", [True, False], ids=["with PDB", "without PDB"])
async def test_kubectl_drain_cuts_no_task_off(release, scene, figure, with_budget):
    """With a budget one worker ends after the other; without one, both end at once."""
    name = scene.name
    tasks = await two_busy_workers(release, scene, "nap", seconds=20)
    if with_budget:
        scene.kubectl.apply(budget(name))
    begun = time.monotonic()
    try:
        async with draining(release, scene) as drain:
            await drain
            took = time.monotonic() - begun
            figure(
                f"kubectl drain, {'a' if with_budget else 'no'} PDB, 2 busy workers: {took:.0f} s"
            )
            for task in tasks:
                assert await scene.client.wait_for_result(task, 60) == 1, "it was cut off"
            await settled(release, scene)
    finally:
        scene.kubectl("delete", "pdb", name, "--ignore-not-found")
    assert scene.recovered() == 0


@cordons
@pytest.mark.timeout(300, func_only=True)
async def test_a_spot_node_with_a_notice_of_seconds(release, scene, figure):
    """Pods get three seconds, as from a handler of spot notices or a node's shutdown.

    What does not end in that time is killed, and runs again on the node that stays.
    """
    tasks = await two_busy_workers(release, scene, "slow_once", seconds=600)
    begun = time.monotonic()
    async with draining(release, scene, "--grace-period=3"):
        for task in tasks:
            await scene.until_running(task, attempt=2, seconds=60)
        took = time.monotonic() - begun
        figure(f"node emptied with 3 s of notice -> both tasks run again: {took:.1f} s")
        for task in tasks:
            assert await scene.client.wait_for_result(task, 60) == 2
        await settled(release, scene)


@pytest.mark.timeout(300, func_only=True)
async def test_a_pod_that_the_kubelet_evicts(release, scene, figure):
    """It stays in the list as Failed, as after a graceful node shutdown, and is not counted."""
    name = scene.name
    workers = deployment(release, name, name, grace_seconds=15)
    pod = workers["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}})
    pod["containers"][0]["volumeMounts"].append({"name": "scratch", "mountPath": "/scratch"})
    scene.kubectl.apply(workers, task_queue(release, name, name))
    task = await scene.client.enqueue_job(name, "slow_once", seconds=600)
    await scene.until_running(task)
    full = (await scene.pod_of(task))["metadata"]["name"]
    scene.kubectl(
        "exec", full, "-c", "worker", "--", *("sh", "-c", "head -c 4M /dev/zero > /scratch/big")
    )

    def failed() -> bool:
        return scene.kubectl.get("pod", full)["status"]["phase"] == "Failed"

    await scene.until_running(task, attempt=2, seconds=120)
    assert await scene.client.wait_for_result(task, 60) == 2
    await scene.until("the evicted pod is Failed", failed, 60)
    again = await scene.client.enqueue_job(name, "nap", seconds=3)
    await scene.until_running(again)
    await scene.until(
        "a pod that is over is nobody's trouble",
        lambda: scene.kubectl.condition(name, "WorkersReady").get("status") == "True",
    )
    assert failed(), "it was still listed"
    assert await scene.client.wait_for_result(again, 60) == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 60)
