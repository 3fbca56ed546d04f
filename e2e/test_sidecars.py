"""Other containers in a worker's pod: their end is not taken for the worker's, nor hides it."""

from __future__ import annotations

import asyncio

import pytest

from testing.cluster.cluster import container_status, kill_container
from testing.cluster.workload import IMAGE, deployment, pod_spec, task_queue


def companion(name: str, **more) -> dict:
    """Make a container that only waits."""
    worker = pod_spec()["containers"][0]
    kept = ("image", "imagePullPolicy", "resources", "securityContext")
    waits = ["sh", "-c", "trap exit TERM; while :; do sleep 1 & wait; done"]
    return {key: worker[key] for key in kept} | {"name": name, "command": waits} | more


@pytest.mark.timeout(300, func_only=True)
async def test_sidecars_and_ephemeral_containers_end_and_the_task_goes_on(release, scene):
    """A sidecar, a native sidecar and a debugging container end while a task runs."""
    name = scene.name
    workers = deployment(release, name, name)
    pod = workers["spec"]["template"]["spec"]
    pod["containers"].insert(0, companion("proxy"))
    pod["initContainers"] = [companion("agent", restartPolicy="Always")]
    scene.kubectl.apply(workers, task_queue(release, name, name))
    task = await scene.client.enqueue_job(name, "nap", seconds=30)
    await scene.until_running(task)
    found = await scene.pod_of(task)
    own_name = found["metadata"]["name"]

    for container in ("proxy", "agent"):
        await asyncio.to_thread(kill_container, scene.kubectl, own_name, container)
    debugging = ("--image", IMAGE, "--profile=restricted", "--container=look", "--quiet")
    scene.kubectl("debug", f"pod/{own_name}", *debugging, "--", "sh", "-c", "exit 3")

    def all_ended() -> bool:
        seen = scene.kubectl.get("pod", own_name)
        restarted = [container_status(seen, each)["restartCount"] for each in ("proxy", "agent")]
        return restarted == [1, 1] and "terminated" in container_status(seen, "look").get(
            "state", {}
        )

    await scene.until("the three have ended, and two were started again", all_ended, 25)
    assert await scene.client.wait_for_result(task, 60) == 1, "it was never interrupted"
    assert scene.recovered() == 0
    await scene.until("zero: the sidecars do not hold the pod", lambda: scene.replicas() == 0, 60)
    await scene.until("no pods", lambda: not scene.pods(), 60)


async def test_the_workers_own_container_ends_beside_a_sidecar(release, scene):
    """The task is requeued at once, although the pod lives on."""
    name = scene.name
    workers = deployment(release, name, name)
    workers["spec"]["template"]["spec"]["containers"].append(companion("proxy"))
    scene.kubectl.apply(workers, task_queue(release, name, name))
    task = await scene.client.enqueue_job(name, "slow_once", seconds=600)
    await scene.until_running(task)
    pod = (await scene.pod_of(task))["metadata"]["name"]
    killed_at = await asyncio.to_thread(kill_container, scene.kubectl, pod, "worker")
    info = await scene.until_running(task, attempt=2, seconds=60)
    assert info.started_at_ms / 1000 - killed_at < 12, "a restart and not a lease"
    assert await scene.client.wait_for_result(task, 60) == 2
    await scene.until_told("TasksRequeued")
