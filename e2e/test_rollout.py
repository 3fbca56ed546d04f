"""A scale-down amid a rollout: the rollout ends, and no task is cut off.

Each test creates the situation in which the operator could choose a new pod that is not ready:
the tasks end one after the other, while the first new pods are starting.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from identtqueue.protocol.submission import Submission
from testing.cluster.workload import deployment, pod_spec, task_queue

ROLLING = {"type": "RollingUpdate"}
SHAPES: dict[str, dict[str, Any]] = {
    "default": {},
    "minReadySeconds": {"minReadySeconds": 20},
    "maxSurge 1": {"strategy": ROLLING | {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}},
    "Recreate": {"strategy": {"type": "Recreate", "rollingUpdate": None}},
}
START_SECONDS = 25
"""Until all workers run, on a machine that does other things too."""


def scaling(before: int, after: int) -> dict[str, Any]:
    return {
        "minReplicas": after,
        "maxReplicas": before,
        "concurrencyPerReplica": 1,
        "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 2},
    }


async def busy(scene, count: int) -> tuple[list[str], float]:
    """Start tasks that end two seconds apart; return them, and when the first one ends."""
    first = time.time() + START_SECONDS + 2 * count
    receipts = await scene.client.submit_many(
        Submission(scene.name, "nap_until", kwargs={"at": first + 2 * number})
        for number in range(count)
    )
    tasks = [receipt.task_id for receipt in receipts]
    await asyncio.gather(*(scene.until_running(task) for task in tasks))
    return tasks, first


async def until_shortly_before(at: float) -> None:
    """Sleep until new pods, if created now, would start while the tasks end."""
    await asyncio.sleep(max(0.0, at - 3 - time.time()))


def rolled_out(scene) -> bool:
    """Return whether `kubectl rollout status` would report success."""
    found = scene.kubectl.get("deployment", scene.name)
    status, number = found["status"], found["spec"]["replicas"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == number
        and status.get("availableReplicas", 0) == number
    )


async def expect_end(scene, figure, what: str, tasks: list[str], after: int) -> None:
    """Check that all tasks ended at their first attempt, and that this many pods, all new, stay."""
    begun = time.time()

    async def at_rest() -> bool:
        if scene.replicas() != after or not rolled_out(scene):
            return False
        return not any(worker.draining for worker in await scene.admin.workers(scene.name))

    await scene.until_async("rolled out, scaled down, nobody is told to go", at_rest, 200)
    figure(f"{what}: rolled out and scaled down after {time.time() - begun:.0f} s")
    for task in tasks:
        assert await scene.client.wait_for_result(task, 60) == 1, "it was cut off"


@pytest.mark.timeout(300, func_only=True)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (3, 2)])
async def test_a_rollout_amid_a_scale_down_ends(release, scene, figure, shape, before, after):
    name = scene.name
    workers = deployment(release, name, name, grace_seconds=90)
    workers["spec"] |= SHAPES[shape]
    scene.kubectl.apply(workers, task_queue(release, name, name, scaling=scaling(before, after)))
    tasks, first = await busy(scene, before)
    await until_shortly_before(first)
    scene.kubectl("set", "env", f"deployment/{name}", "REVISION=2")
    await expect_end(scene, figure, f"{shape}, {before} -> {after}", tasks, after)


@pytest.mark.timeout(360, func_only=True)
async def test_eight_to_four(release, scene, figure):
    """From four replicas on, the default allows pods to be unavailable and others in surplus."""
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, grace_seconds=90),
        task_queue(release, name, name, scaling=scaling(8, 4)),
    )
    tasks, first = await busy(scene, 8)
    await until_shortly_before(first)
    scene.kubectl("set", "env", f"deployment/{name}", "REVISION=2")
    await expect_end(scene, figure, "default, 8 -> 4", tasks, 4)


@pytest.mark.timeout(300, func_only=True)
async def test_slow_readiness(release, scene, figure):
    """The worker registers long before its pod's first readiness probe."""
    name = scene.name
    workers = deployment(release, name, name, grace_seconds=90)
    probe = workers["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    probe["initialDelaySeconds"] = 15
    scene.kubectl.apply(workers, task_queue(release, name, name, scaling=scaling(2, 1)))
    tasks, first = await busy(scene, 2)
    await until_shortly_before(first)
    scene.kubectl("set", "env", f"deployment/{name}", "REVISION=2")
    await expect_end(scene, figure, "initialDelaySeconds 15, 2 -> 1", tasks, 1)


@pytest.mark.timeout(300, func_only=True)
async def test_a_paused_deployment_shrinks_and_rolls_out_later(release, scene, figure):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, grace_seconds=90),
        task_queue(release, name, name, scaling=scaling(3, 1)),
    )
    tasks, first = await busy(scene, 3)
    scene.kubectl("rollout", "pause", f"deployment/{name}")
    scene.kubectl("set", "env", f"deployment/{name}", "REVISION=2")
    await scene.until(
        "shrunk while paused", lambda: scene.replicas() == 1, first - time.time() + 90
    )
    scene.kubectl("rollout", "resume", f"deployment/{name}")
    await expect_end(scene, figure, "paused, 3 -> 1", tasks, 1)


@pytest.mark.timeout(300, func_only=True)
async def test_with_a_template(release, scene, figure):
    name = scene.name

    def of(revision: str) -> dict[str, Any]:
        template = {"metadata": {"annotations": {"revision": revision}}, "spec": pod_spec()}
        parts = {"workloadRef": None, "template": template, "scaling": scaling(2, 1)}
        return task_queue(release, name, name, **parts)

    scene.kubectl.apply(of("one"))
    tasks, first = await busy(scene, 2)
    await until_shortly_before(first)
    scene.kubectl.apply(of("two"))
    await scene.until(
        "the new template",
        lambda: (
            scene.kubectl.get("deployment", name)["spec"]["template"]["metadata"]["annotations"]
            == {"revision": "two"}
        ),
    )
    await expect_end(scene, figure, "template, 2 -> 1", tasks, 1)
