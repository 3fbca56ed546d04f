"""Troubles of Redis, Secrets, workloads and permissions are reported; nothing scales blindly."""

from __future__ import annotations

import base64
import json
import time

import pytest

from testing.cluster.cluster import ready_pods, run
from testing.cluster.release import RELEASE, helm
from testing.cluster.workload import deployment, task_queue


async def told(scene, kind: str, status: str, reason: str | None = None, seconds: float = 60):
    """Wait until the condition has this status and reason; return it."""

    def look():
        found = scene.kubectl.condition(scene.name, kind)
        fits = found.get("status") == status and reason in (None, found.get("reason"))
        return found if fits else None

    return await scene.until(f"{kind}={status} {reason or ''}", look, seconds)


async def test_missing_deployment(release, scene):
    name = scene.name
    scene.kubectl.apply(task_queue(release, name, name))
    found = await told(scene, "WorkloadFound", "False")
    assert name in found["message"]
    await scene.until_told("WorkloadMissing")

    scene.kubectl.apply(deployment(release, name, name))
    await told(scene, "WorkloadFound", "True", seconds=20)
    task = await scene.client.enqueue_job(name, "nap", seconds=0)
    assert await scene.client.wait_for_result(task, 90) == 1


async def test_missing_secret(release, scene):
    name, secret = scene.name, "late-secret"
    redis = {"credentialsSecretRef": {"name": secret, "passwordKey": "password"}}
    scene.kubectl.apply(
        deployment(release, name, name), task_queue(release, name, name, redis=redis)
    )
    found = await told(scene, "RedisReachable", "False", "SecretMissing")
    assert secret in found["message"]

    password = base64.b64encode(release.redis_password().encode()).decode()
    try:
        scene.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": secret},
                "data": {"password": password},
            }
        )
        await told(scene, "RedisReachable", "True", seconds=60)
    finally:
        scene.kubectl("delete", "secret", secret, "--ignore-not-found")


async def test_redis_down_holds_the_replicas(release, scene):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name),
        task_queue(release, name, name, redis={"address": "redis://nowhere.invalid:6379"}),
    )
    scene.kubectl("scale", f"deployment/{name}", "--replicas=1")
    found = await told(scene, "RedisReachable", "False")
    assert found["reason"] == "RedisUnreachable"
    await scene.until(
        "the decision is to hold",
        lambda: "hold" in scene.kubectl("describe", "tq", name),
    )
    assert scene.replicas() == 1
    await scene.until_told("RedisUnreachable")
    assert release.redis_password() not in scene.kubectl("get", "tq", name, "-o", "yaml")


async def test_another_autoscaler_is_left_alone(release, scene, figure):
    name = scene.name
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 2,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 80},
                    },
                }
            ],
        },
    }
    try:
        scene.kubectl.apply(
            hpa, deployment(release, name, name, replicas=1), task_queue(release, name, name)
        )
        await told(scene, "Conflicting", "True")
        await scene.until_told("ConflictingAutoscaler")
        assert scene.replicas() == 1
        scene.kubectl("delete", "hpa", name)
        await told(scene, "Conflicting", "False", seconds=10)
        scene.kubectl.apply(hpa)
        since = time.time()
        await told(scene, "Conflicting", "True", seconds=10)
        figure(f"another autoscaler created -> hands off: {time.time() - since:.1f} s")
    finally:
        scene.kubectl("delete", "hpa", name, "--ignore-not-found")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scaling": {"minReplicas": 5, "maxReplicas": 2}}, "minReplicas must not exceed"),
        ({"template": {"spec": {"containers": []}}}, "exactly one of workloadRef and template"),
        ({"workloadRef": None}, "exactly one of workloadRef and template"),
        ({"recovery": {"leaseSeconds": 1}}, "leaseSeconds"),
        ({"queues": [{"name": "Not Valid"}]}, "queues"),
        ({"queues": []}, "queues"),
        (
            {"redis": {"cluster": {"addresses": ["redis:6379"]}}},
            "exactly one of address, sentinel and cluster",
        ),
    ],
)
def test_a_task_queue_that_breaks_a_rule_is_refused(release, name, change, says):
    answer = release.kubectl.refused(task_queue(release, name, name, **change))
    assert says in answer


async def test_workload_ref_is_immutable(release, scene):
    name = scene.name
    scene.kubectl.apply(task_queue(release, name, name))
    other = task_queue(release, name, name)
    other["spec"]["workloadRef"]["name"] = "another"
    assert "immutable" in scene.kubectl.refused(other)


@pytest.mark.timeout(420, func_only=True)
def test_helm_test_and_upgrade(release):
    before = release.redis_password()
    run("helm", "-n", release.namespace, "test", RELEASE, "--timeout", "3m", timeout=240)
    helm(release, "upgrade", "--wait", "--timeout", "3m")
    assert release.redis_password() == before


def test_rights(release):
    """Check what the operator may do, and what workers may not do."""

    def may(verb: str, what: str, account: str) -> bool:
        user = f"system:serviceaccount:{release.namespace}:{account}"
        try:
            run("kubectl", "-n", release.namespace, "auth", "can-i", verb, what, f"--as={user}")
        except AssertionError:
            return False
        return True

    assert may("patch", "deployments.apps/scale", RELEASE)
    assert may("get", f"secrets/{release.redis_secret}", RELEASE)
    for verb, what in (
        ("get", "secrets/other"),
        ("list", "secrets"),
        ("delete", "pods"),
        ("list", "nodes"),
        ("update", "taskqueues.identtqueue.dev"),
    ):
        assert not may(verb, what, RELEASE), f"{verb} {what}"
    assert not may("get", "pods", "default")
    assert ready_pods(release.kubectl.list("pods", release.operator_selector)), "it does with that"


@pytest.mark.timeout(360, func_only=True)
async def test_rights_that_are_taken_away_and_come_back(release, scene):
    """The operator's Role is edited while it runs: reported, nothing lowered, and it recovers."""
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    nap = await scene.client.enqueue_job(name, "nap", seconds=0)
    assert await scene.client.wait_for_result(nap, 90) == 1
    role = scene.kubectl.get("role", RELEASE)
    rules = [rule for rule in role["rules"] if "pods" not in rule["resources"]]
    assert len(rules) < len(role["rules"])
    scene.kubectl("patch", "role", RELEASE, "--type=merge", "-p", json.dumps({"rules": rules}))
    try:
        found = await told(scene, "Ready", "False", "RightsMissing", seconds=120)
        assert "pods" in found["message"]
        await scene.until_told("RightsMissing")
        more = await scene.client.enqueue_job(name, "nap", seconds=0)
        assert await scene.client.wait_for_result(more, 90) == 1, "growth goes on"
    finally:
        back = json.dumps({"rules": role["rules"]})
        scene.kubectl("patch", "role", RELEASE, "--type=merge", "-p", back)
    await told(scene, "Ready", "True", seconds=120)
    await scene.until("zero", lambda: scene.replicas() == 0, 60)
