"""Two operator pods: the leader is killed or frozen, and the other repeats nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from testing.cluster.cluster import frozen, kill_for_good, ready_pods
from testing.cluster.release import Release
from testing.cluster.workload import deployment, task_queue
from testing.waiting import wait_until


@pytest.fixture(scope="module")
def operators(release: Release) -> Iterator[Release]:
    release.scale_operator(2)
    yield release
    release.scale_operator(1)


def leader(release: Release) -> str:
    """Return the name of the pod that holds the Lease; empty if no pod does."""
    return release.kubectl.get("lease", "identtqueue-operator")["spec"].get("holderIdentity") or ""


async def begin(release: Release, scene, watch):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, grace_seconds=90), task_queue(release, name, name)
    )
    await scene.until_looked_after()
    names = {pod["metadata"]["name"] for pod in operator_pods(release)}
    assert len(names) == 2
    found = await scene.until(
        "somebody leads", lambda: leader(release) in names and leader(release)
    )
    return found, watch()


def operator_pods(release: Release) -> list[dict]:
    return release.kubectl.list("pods", release.operator_selector)


def raises_told(scene) -> int:
    """Count how often the events say that the number was raised."""
    return sum(
        event.get("count") or 1
        for event in scene.kubectl.list("events")
        if event["involvedObject"]["name"] == scene.name and event["reason"] == "ScaledUp"
    )


async def test_killed_leader(operators, scene, watch, figure):
    """The leader is killed just before a push, and its pod does not come back."""
    first, replicas = await begin(operators, scene, watch)
    killed_at = await asyncio.to_thread(kill_for_good, scene.kubectl, first)
    tasks = [await scene.client.enqueue_job(scene.name, "nap", seconds=1) for _ in range(3)]

    scaled_at = await asyncio.to_thread(replicas.wait_for, lambda number: number > 0)

    figure(f"leading operator SIGKILLed -> the other one scales: {scaled_at - killed_at:.1f} s")
    assert scaled_at - killed_at < 20
    assert leader(operators) not in ("", first)
    for task in tasks:
        assert await scene.client.wait_for_result(task, 60) == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 60)
    await asyncio.to_thread(replicas.wait_for, lambda number: number == 0, raised=True)
    assert replicas.steps[:2] == [0, 3], "raised once, in one step"
    assert replicas.steps[1:] == sorted(replicas.steps[1:], reverse=True), "then only lowered"
    assert len(replicas.generations) == len(replicas.steps), "each step was written once"
    assert raises_told(scene) == 1


async def test_frozen_leader(operators, scene, watch, figure):
    """The old leader wakes with outdated knowledge, while another one leads and tasks wait."""
    await asyncio.to_thread(
        wait_until, "two operators are ready", lambda: len(ready(operators)) == 2, 60
    )
    first, replicas = await begin(operators, scene, watch)
    tasks = []
    with frozen(scene.kubectl, first):
        frozen_at = time.time()
        tasks += [await scene.client.enqueue_job(scene.name, "nap", seconds=8) for _ in range(2)]
        scaled_at = await asyncio.to_thread(replicas.wait_for, lambda number: number == 2)
        figure(f"leading operator frozen -> the other one scales: {scaled_at - frozen_at:.1f} s")
        assert scaled_at - frozen_at < 20
        second = leader(operators)
        assert second not in ("", first)
    tasks.append(await scene.client.enqueue_job(scene.name, "nap", seconds=1))
    await scene.until("the old leader stops", lambda: restarts(scene, first) > 0, 60)
    for task in tasks:
        assert await scene.client.wait_for_result(task, 60) == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 60)
    await asyncio.to_thread(replicas.wait_for, lambda number: number == 0, raised=True)
    assert leader(operators) == second
    assert replicas.steps[:3] == [0, 2, 3]
    assert len(replicas.generations) == len(replicas.steps), "each step was written once"
    assert raises_told(scene) == 2


def restarts(scene, pod: str) -> int:
    return scene.kubectl.get("pod", pod)["status"]["containerStatuses"][0]["restartCount"]


def ready(release: Release) -> list[dict]:
    return ready_pods(operator_pods(release))
