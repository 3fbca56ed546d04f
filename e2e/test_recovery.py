"""A worker dies; its task runs again: by evidence with the operator, by the lease without."""

from __future__ import annotations

import asyncio
import time

import pytest

from testing.cluster.cluster import kill_node, revive_node
from testing.cluster.workload import deployment, task_queue


async def begin(release, scene, *, replicas: int = 2, spread: bool = False, **overrides) -> str:
    """Start workers that stay, one of them in the middle of a task; return the task."""
    name = scene.name
    scaling = {"minReplicas": replicas, "maxReplicas": replicas, "concurrencyPerReplica": 1}
    scene.kubectl.apply(
        deployment(release, name, name, replicas=replicas, spread=spread),
        task_queue(release, name, name, scaling=scaling, **overrides),
    )
    await scene.until("all workers ready", lambda: len(scene.ready()) == replicas, 120)
    task = await scene.client.enqueue_job(name, "slow_once", seconds=600)
    await scene.until_running(task)
    return task


async def again(scene, task: str, killed_at: float, seconds: float) -> float:
    """Return the seconds from the kill until the second attempt began, once the task has ended."""
    info = await scene.until_running(task, attempt=2, seconds=seconds)
    assert await scene.client.wait_for_result(task, 60) >= 2
    return info.started_at_ms / 1000 - killed_at


async def test_container_killed(release, scene, figure):
    task = await begin(release, scene)
    pod = await scene.pod_of(task)

    took = await again(scene, task, await scene.kill(pod), 60)

    figure(f"container SIGKILLed -> task running again: {took:.2f} s")
    assert took < 5
    await scene.until_told("TasksRequeued")
    await scene.until(
        "the status counts it",
        lambda: scene.kubectl.get("tq", scene.name)["status"]["recovered"]["total"] >= 1,
    )


async def test_pod_deleted_in_order(release, scene, figure):
    """After SIGTERM the worker gives the task back before it ends; no loss is charged."""
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, replicas=2, grace_seconds=12),
        task_queue(release, name, name, scaling={"minReplicas": 2, "maxReplicas": 2}),
    )
    await scene.until("all workers ready", lambda: len(scene.ready()) == 2, 120)
    task = await scene.client.enqueue_job(name, "slow_once", seconds=600)
    await scene.until_running(task)
    pod = await scene.pod_of(task)

    scene.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")

    await scene.until_running(task, attempt=2, seconds=60)
    assert await scene.client.wait_for_result(task, 30) == 2
    info = await scene.client.get_task(task)
    assert info.losses == 0


async def test_pod_force_deleted(release, scene, figure):
    task = await begin(release, scene)
    pod = await scene.pod_of(task)
    killed_at = time.time()
    scene.kubectl(
        *("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0"), "--wait=false"
    )

    took = await again(scene, task, killed_at, 90)

    figure(f"pod force-deleted -> task running again: {took:.2f} s")
    assert took < 20


async def test_operator_gone_at_the_same_moment(release, scene, figure):
    task = await begin(release, scene)
    pod = await scene.pod_of(task)
    release.scale_operator(0)
    try:
        killed_at = await scene.kill(pod)
        took = await again(scene, task, killed_at, 60)
    finally:
        release.scale_operator(1)

    figure(f"container SIGKILLed, no operator -> task running again: {took:.2f} s")
    assert took < 20


async def test_operator_killed_in_the_middle_of_scaling(release, scene):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=3) for _ in range(9)]
    await scene.until("it began to scale", lambda: scene.replicas() > 0, 30)

    pods = scene.kubectl.list("pods", release.operator_selector)
    for pod in pods:
        await scene.kill(pod)

    for task in tasks:
        assert await scene.client.wait_for_result(task, 120) == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 120)


async def test_poison_task_ends_as_a_dead_letter(release, scene):
    name = scene.name
    scaling = {"minReplicas": 1, "maxReplicas": 1}
    scene.kubectl.apply(
        deployment(release, name, name, replicas=1),
        task_queue(release, name, name, scaling=scaling, recovery={"maxDeliveries": 2}),
    )
    task = await scene.client.enqueue_job(name, "nap", seconds=600)
    for attempt in (1, 2):
        await scene.until_running(task, attempt=attempt, seconds=90)
        await scene.kill(await scene.pod_of(task))

    await scene.until("its end is told", lambda: scene.told("TaskDeadLettered"), 60)
    info = await scene.client.get_task(task)
    assert info.failure is not None
    assert info.failure.type == "WorkerLost"


@pytest.mark.alone
@pytest.mark.timeout(420, func_only=True)
async def test_node_killed(release, scene, figure):
    """Kill a node: no kubelet reports anything, as in a power failure, so the lease decides."""
    task = await begin(release, scene, spread=True)
    busy = await scene.pod_of(task)
    if busy["spec"]["nodeName"] == release.system_node:
        # The killed node must not be the one with Redis. While that node's worker is busy, the next
        # task goes to the other one. Then the first worker must be free: there is no third one.
        first, task = task, await scene.client.enqueue_job(scene.name, "slow_once", seconds=600)
        await scene.until_running(task)
        assert await scene.client.cancel(first)
    pod = await scene.pod_of(task)
    assert pod["spec"]["nodeName"] == release.other_node
    killed_at = await asyncio.to_thread(kill_node, release.other_node)
    try:
        took = await again(scene, task, killed_at, 60)
    finally:
        await asyncio.to_thread(revive_node, release.other_node)

    figure(f"node killed -> task running again: {took:.2f} s")
    assert took < 20
