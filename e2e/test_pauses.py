"""Pauses and limits hold the number of replicas back; a deletion restores the original number."""

from __future__ import annotations

import asyncio
from datetime import datetime

from testing.cluster.workload import deployment, task_queue

QUICK = {"stabilizationSeconds": 0, "idleSeconds": 2}


def of(release, name, down=None, **more):
    scaling = {
        "maxReplicas": 3,
        "concurrencyPerReplica": 1,
        "scaleDown": QUICK | (down or {}),
        **more.pop("scaling", {}),
    }
    return task_queue(release, name, name, scaling=scaling, **more)


def limited_by(scene) -> str:
    return scene.kubectl.condition(scene.name, "ScalingLimited").get("reason", "")


async def test_pause_at_a_number(release, scene):
    """It goes to that number, lets tasks finish, stays there whatever waits, and then goes on."""
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, replicas=3, grace_seconds=120),
        of(release, name, paused=True),
    )
    await scene.until("3 pods are ready", lambda: len(scene.ready()) == 3)
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=10) for _ in range(3)]
    await asyncio.gather(*(scene.until_running(task) for task in tasks))
    scene.kubectl.apply(of(release, name, pausedReplicas=1))
    await scene.until("at the number", lambda: scene.replicas() == 1)
    assert [each.unwrap() for each in await scene.client.wait_many(tasks, 60)] == [1, 1, 1]
    more = [await scene.client.enqueue_job(name, "nap", seconds=4) for _ in range(3)]
    await scene.until(
        "Paused", lambda: scene.kubectl.condition(name, "Paused")["reason"] == "PausedAtReplicas"
    )
    await scene.until_running(more[0])
    assert scene.replicas() == 1
    scene.kubectl("patch", "taskqueue", name, "--type=merge", "-p", '{"spec":{"pausedReplicas":0}}')
    await scene.until("at zero", lambda: scene.replicas() == 0)
    patch = '{"spec":{"pausedReplicas":null}}'
    scene.kubectl("patch", "taskqueue", name, "--type=merge", "-p", patch)
    assert [each.unwrap() for each in await scene.client.wait_many(more, 90)] == [1, 1, 1]
    await scene.until("idle again", lambda: scene.replicas() == 0)


async def test_a_pause_of_shrinking_lets_growing_go_on(release, scene):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), of(release, name, {"paused": True}))
    await scene.until_looked_after()
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=1) for _ in range(2)]
    await scene.until("grown", lambda: scene.replicas() == 2)
    assert [each.unwrap() for each in await scene.client.wait_many(tasks, 60)] == [1, 1]
    await scene.until("held back", lambda: limited_by(scene) == "ScaleDownPaused")
    assert scene.replicas() == 2
    patch = '{"spec":{"scaling":{"scaleDown":{"paused":false}}}}'
    scene.kubectl("patch", "taskqueue", name, "--type=merge", "-p", patch)
    await scene.until("zero", lambda: scene.replicas() == 0)


async def test_percent_policies_in_both_directions(release, scene, watch):
    """Up from 1 by 100 %; down by 33 % of 3, 2 and 1, which is one replica each time."""
    name = scene.name
    up = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}
    down = {"policies": [{"type": "Percent", "value": 33, "periodSeconds": 5}]}
    scene.kubectl.apply(
        deployment(release, name, name, replicas=1),
        of(release, name, down, scaling={"scaleUp": up, "minReplicas": 0}, paused=True),
    )
    await scene.until("a pod is ready", lambda: len(scene.ready()) == 1)
    replicas = watch()
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=12) for _ in range(6)]
    scene.kubectl("patch", "taskqueue", name, "--type=merge", "-p", '{"spec":{"paused":false}}')
    await asyncio.to_thread(replicas.wait_for, lambda number: number == 3)
    assert replicas.steps == [1, 2, 3]
    assert [each.unwrap() for each in await scene.client.wait_many(tasks, 90)] == [1] * 6
    await asyncio.to_thread(replicas.wait_for, lambda number: number == 0, 60, raised=True)
    assert replicas.steps == [1, 2, 3, 2, 1, 0]
    first = {number: at for at, number in reversed(replicas.changes)}  # when it was there first
    assert first[3] - first[2] > 4.5, "one period apart"


async def test_the_first_seconds_keep_what_was_deployed_with_it(release, scene):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, replicas=2),
        of(release, name, {"initialCooldownSeconds": 20}),
    )
    await scene.until("held back", lambda: limited_by(scene) == "InitialCooldown")
    assert scene.replicas() == 2
    await scene.until("zero", lambda: scene.replicas() == 0)
    told = scene.kubectl.get("taskqueue", name)
    scaled_at = datetime.fromisoformat(told["status"]["lastScaleTime"])
    created_at = datetime.fromisoformat(told["metadata"]["creationTimestamp"])
    assert (scaled_at - created_at).total_seconds() >= 19  # both are cut to whole seconds


async def test_a_deletion_gives_the_replicas_back(release, scene):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, replicas=2), of(release, name, restoreReplicas=True)
    )
    await scene.until("zero", lambda: scene.replicas() == 0)
    assert scene.kubectl.get("taskqueue", name)["status"]["originalReplicas"] == 2
    scene.kubectl("delete", "taskqueue", name)
    await scene.until("2 replicas again", lambda: scene.replicas() == 2)
