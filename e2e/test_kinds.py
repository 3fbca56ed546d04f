"""StatefulSets and a custom kind are scaled up and down while tasks run, and no task is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from identtqueue import State
from testing.cluster.cluster import run
from testing.cluster.pools import GROUP, PLURAL, PoolController, definition, pool
from testing.cluster.workload import deployment, task_queue

POLICIES = ["OrderedReady", "Parallel"]


def stateful_set(release, name, policy, replicas=0):
    """Make a StatefulSet with the pods of a user's Deployment."""
    body = deployment(release, name, name, replicas=replicas, grace_seconds=120)
    body["kind"] = "StatefulSet"
    body["spec"] |= {"serviceName": name, "podManagementPolicy": policy}
    return body


def of_a_stateful_set(release, name, **more):
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name}
    return task_queue(release, name, name, **({"workloadRef": reference} | more))


@pytest.fixture
def stateful_name(kubectl, name) -> Iterator[str]:
    """Name the test's StatefulSet, which is deleted at the end."""
    yield name
    kubectl("delete", "taskqueue,statefulset", name, "--ignore-not-found", "--timeout=100s")


def replicas(scene, kind="statefulset") -> int:
    return scene.kubectl.get(kind, scene.name)["spec"]["replicas"]


async def attempts(scene, tasks) -> list[int]:
    """Wait until all tasks have ended; return the attempt numbers that they return."""
    return [each.unwrap() for each in await scene.client.wait_many(tasks, 100)]


@pytest.mark.parametrize("policy", POLICIES)
async def test_up_and_down_with_running_tasks(release, scene, stateful_name, policy):
    """The tasks end at different times, so that low and high ordinals are busy on the way down."""
    scene.kubectl.apply(
        stateful_set(release, scene.name, policy), of_a_stateful_set(release, scene.name)
    )
    await scene.until_looked_after()
    seconds = [20, 8, 2, 14, 1, 3]
    tasks = [await scene.client.enqueue_job(scene.name, "nap", seconds=each) for each in seconds]
    await scene.until("grown to 3", lambda: len(scene.ready()) == 3, 60)
    assert await attempts(scene, tasks) == [1] * len(tasks), "no worker was ended with its task"
    await scene.until("shrunk to zero", lambda: replicas(scene) == 0, 60)
    await scene.until("all pods are gone", lambda: not scene.pods(), 60)


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_number_follows_down_to_the_busy_ordinal(release, scene, stateful_name, policy):
    """Idle pods above the busy one end; those below it cannot end before it."""
    scene.kubectl.apply(
        stateful_set(release, scene.name, policy, replicas=3),
        of_a_stateful_set(release, scene.name, paused=True),
    )
    await scene.until("3 pods are ready", lambda: len(scene.ready()) == 3, 60)
    seconds = [30, 3, 3]
    tasks = [await scene.client.enqueue_job(scene.name, "nap", seconds=each) for each in seconds]
    for task in tasks:
        await scene.until_running(task)
    busy = (await scene.pod_of(tasks[0]))["metadata"]["name"]
    least = int(busy.rpartition("-")[2]) + 1
    scene.kubectl.apply(of_a_stateful_set(release, scene.name, paused=False))
    assert await attempts(scene, tasks[1:]) == [1, 1]
    await scene.until(f"shrunk to {least}", lambda: replicas(scene) == least, 25)
    assert await scene.client.get_status(tasks[0]) is State.RUNNING
    assert await attempts(scene, tasks[:1]) == [1]
    await scene.until("shrunk to zero", lambda: replicas(scene) == 0, 60)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_rollout_amid_a_scale_down_ends(release, scene, stateful_name, policy):
    scene.kubectl.apply(
        stateful_set(release, scene.name, policy, replicas=2),
        of_a_stateful_set(
            release, scene.name, scaling={"minReplicas": 1, "maxReplicas": 2}, paused=True
        ),
    )
    await scene.until("2 pods are ready", lambda: len(scene.ready()) == 2, 60)
    tasks = [await scene.client.enqueue_job(scene.name, "nap", seconds=8) for _ in range(2)]
    for task in tasks:
        await scene.until_running(task)
    scaling = {"minReplicas": 1, "maxReplicas": 2}
    scene.kubectl.apply(of_a_stateful_set(release, scene.name, scaling=scaling, paused=False))
    scene.kubectl("set", "env", f"statefulset/{scene.name}", "ROLLED=out")
    assert await attempts(scene, tasks) == [1, 1]
    words = ("rollout", "status", f"statefulset/{scene.name}", "--timeout=90s")
    await asyncio.to_thread(scene.kubectl, *words)
    await scene.until("shrunk to 1", lambda: replicas(scene) == 1, 60)
    await scene.until("one pod is ready", lambda: len(scene.ready()) == len(scene.pods()) == 1, 60)
    task = await scene.client.enqueue_job(scene.name, "nap", seconds=0)
    assert await attempts(scene, [task]) == [1], "the one that is left works"


# --- a kind of its own ----------------------------------------------------------------------------


@pytest.fixture
def pools(release) -> Iterator[None]:
    """Install the CustomResourceDefinition, and delete it at the end."""
    release.kubectl.apply(definition())
    words = ("--for=condition=Established", f"crd/{PLURAL}.{GROUP}", "--timeout=30s")
    release.kubectl("wait", *words)
    yield
    run("kubectl", "delete", "crd", f"{PLURAL}.{GROUP}", "--timeout=60s")


@pytest.fixture
def controller(scene, pools, release) -> Iterator[PoolController]:
    scene.kubectl.apply(pool(deployment(release, scene.name, scene.name, grace_seconds=120)))
    running = PoolController(scene.kubectl, scene.name)
    yield running
    running.close()


def of_a_pool(release, name, **more):
    reference = {"apiVersion": f"{GROUP}/v1", "kind": "WorkerPool", "name": name}
    return task_queue(release, name, name, **({"workloadRef": reference} | more))


async def test_a_kind_of_its_own_whose_controller_ends_any_pod(release, scene, controller):
    """The controller ends the oldest pods, among them the one with the longest task."""
    scene.kubectl.apply(of_a_pool(release, scene.name))
    await scene.until_looked_after()
    seconds = [20, 2, 2, 4]
    tasks = [await scene.client.enqueue_job(scene.name, "nap", seconds=each) for each in seconds]
    await scene.until("grown to 3", lambda: len(scene.ready()) == 3, 60)
    await scene.until(
        "held back while a worker is busy",
        lambda: (
            scene.kubectl.condition(scene.name, "ScalingLimited").get("reason")
            == "RemovalOrderUnknown"
        ),
        60,
    )
    assert await attempts(scene, tasks) == [1] * len(tasks)
    await scene.until("shrunk to zero", lambda: replicas(scene, PLURAL) == 0, 60)
    await scene.until("all pods are gone", lambda: not scene.pods(), 60)


async def test_a_kind_that_is_not_installed_is_told_and_found_later(release, scene, request):
    scene.kubectl.apply(of_a_pool(release, scene.name))

    def found() -> str:
        return scene.kubectl.condition(scene.name, "WorkloadFound").get("reason", "")

    await scene.until("told", lambda: found() == "WorkloadKindUnknown", 30)
    request.getfixturevalue("controller")
    await scene.until("found", lambda: found() == "Found", 60)
    task = await scene.client.enqueue_job(scene.name, "nap", seconds=0)
    assert await attempts(scene, [task]) == [1]
