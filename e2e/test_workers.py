"""Reasons why no task is worked on: each is reported in Kubernetes' words, and clears by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from testing.cluster.workload import deployment, task_queue

Pod = dict[str, Any]


def crashes(pod: Pod) -> None:
    pod["containers"][0]["command"] = ["sh", "-c", "exit 3"]


def takes_too_much_memory(pod: Pod) -> None:
    """Crash as a worker does whose tasks need more memory than the limit."""
    pod["containers"][0]["command"] = ["python", "-c", "bytearray(2**29)"]


def does_not_reach_redis(pod: Pod) -> None:
    env = pod["containers"][0]["env"]
    (address,) = [item for item in env if item["name"] == "IDENTTQUEUE_REDIS_ADDRESS"]
    address["value"] = "redis://nowhere.invalid:6379"


def lacks_its_image(pod: Pod) -> None:
    pod["containers"][0] |= {"image": "identtqueue/nowhere:dev", "imagePullPolicy": "Never"}


def lacks_a_secret(pod: Pod) -> None:
    source = {"secretKeyRef": {"name": "no-such-secret", "key": "password"}}
    pod["containers"][0]["env"].append({"name": "LACKING", "valueFrom": source})


def finds_no_node(pod: Pod) -> None:
    pod["nodeSelector"] = {"no-such-label": "anywhere"}


def breaks_the_standard(pod: Pod) -> None:
    """Break the Pod Security Standard `restricted`, which the namespace enforces."""
    pod["containers"][0]["securityContext"] = {"allowPrivilegeEscalation": True}


BROKEN = {
    "CrashLoop": crashes,
    "OutOfMemory": takes_too_much_memory,
    "NotReady": does_not_reach_redis,
    "ImagePullFailed": lacks_its_image,
    "ContainerNotCreated": lacks_a_secret,
    "PodsUnschedulable": finds_no_node,
    "PodSecurityViolated": breaks_the_standard,
}


async def told(scene, reason: str) -> dict[str, Any]:
    """Wait until the condition gives this reason, and the event too; return the condition."""

    def look() -> dict[str, Any] | None:
        found = scene.kubectl.condition(scene.name, "WorkersReady")
        return found if found.get("reason") == reason else None

    found = await scene.until(f"WorkersReady is False: {reason}", look, 200)
    assert found["status"] == "False"
    await scene.until_told(reason)
    return found


async def until_ready(scene, status: str, reason: str | None = None) -> None:
    def look() -> bool:
        found = scene.kubectl.condition(scene.name, "Ready")
        return found.get("status") == status and reason in (None, found.get("reason"))

    await scene.until(f"Ready is {status}", look, 120)


@pytest.mark.timeout(360, func_only=True)
@pytest.mark.parametrize("reason", BROKEN)
async def test_why_nobody_works_and_that_it_passes(release, scene, reason):
    name, breaks = scene.name, BROKEN[reason]
    well = deployment(release, name, name)
    well["spec"].pop("replicas")
    broken = deployment(release, name, name)
    breaks(broken["spec"]["template"]["spec"])
    scene.kubectl.apply(broken, task_queue(release, name, name))
    task = await scene.client.enqueue_job(name, "nap", seconds=0)
    await told(scene, reason)
    await until_ready(scene, "False", reason)
    assert scene.kubectl("get", "tq", name, "--no-headers").split()[-2] == reason

    scene.kubectl.apply(well)
    assert await scene.client.wait_for_result(task, 120) == 1
    await until_ready(scene, "True")


@contextmanager
def quota(scene) -> Iterator[None]:
    """Allow no more pods in the namespace."""
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-more"},
        "spec": {"hard": {"pods": "1"}},
    }
    scene.kubectl.apply(body)
    try:
        yield
    finally:
        scene.kubectl("delete", "resourcequota", "no-more")


@pytest.mark.timeout(360, func_only=True)
async def test_a_quota_is_told_and_holds_growth_back(release, scene):
    name = scene.name
    with quota(scene):
        await scene.until(
            "the quota is counted",
            lambda: "used" in scene.kubectl.get("resourcequota", "no-more").get("status", {}),
        )
        scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
        first = await scene.client.enqueue_job(name, "nap", seconds=0)
        found = await told(scene, "QuotaExceeded")
        assert "exceeded quota: no-more" in found["message"]
        more = [await scene.client.enqueue_job(name, "nap", seconds=1) for _ in range(2)]
        await scene.until(
            "more pods would not help",
            lambda: (
                "WorkersFailing"
                in scene.kubectl.get("taskqueue", name)["status"]["lastDecision"]["limitedBy"]
            ),
        )
        assert scene.replicas() == 1
    for task in [first, *more]:
        assert await scene.client.wait_for_result(task, 150) == 1
    await until_ready(scene, "True")


def sleeps(pod: Pod) -> None:
    """Run something that is no worker, and is Ready at once."""
    pod["containers"][0]["command"] = ["sleep", "infinity"]
    del pod["containers"][0]["readinessProbe"]
    pod["terminationGracePeriodSeconds"] = 0


@pytest.mark.timeout(300, func_only=True)
async def test_a_deployment_that_is_something_else_is_left_alone(release, scene):
    """`workloadRef` has the wrong name. The TaskQueue is idle, so it would scale to zero."""
    name = scene.name
    other = deployment(release, name, name, replicas=2)
    sleeps(other["spec"]["template"]["spec"])
    scene.kubectl.apply(other)
    scene.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")
    scene.kubectl.apply(task_queue(release, name, name))
    await told(scene, "NoWorkerRegistered")
    await until_ready(scene, "False", "NoWorkerRegistered")
    await scene.client.enqueue_job(name, "nap", seconds=0)
    await scene.until(
        "it was looked at again",
        lambda: scene.kubectl.get("taskqueue", name)["status"]["tasks"]["queued"] == 1,
    )
    assert scene.replicas() == 2


@pytest.mark.timeout(300, func_only=True)
async def test_a_copy_of_a_pod_with_the_same_labels_is_not_counted(release, scene):
    """The pod is copied as `kubectl debug --copy-to --keep-labels` does."""
    name = scene.name
    workers = deployment(release, name, name)
    scene.kubectl.apply(workers, task_queue(release, name, name))
    spec = deployment(release, name, name)["spec"]["template"]["spec"]
    sleeps(spec)
    copy = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-copy", "labels": {"app": name}},
        "spec": spec,
    }
    scene.kubectl.apply(copy)
    try:
        scene.kubectl("wait", "--for=condition=Ready", f"pod/{name}-copy", "--timeout=60s")
        tasks = [await scene.client.enqueue_job(name, "nap", seconds=3) for _ in range(3)]
        for task in tasks:
            assert await scene.client.wait_for_result(task, 90) == 1
        await scene.until("zero", lambda: scene.replicas() == 0, 60)
        again = await scene.client.enqueue_job(name, "nap", seconds=0)
        assert await scene.client.wait_for_result(again, 60) == 1
    finally:
        scene.kubectl("delete", "pod", f"{name}-copy", "--now")
