"""A second release of the operator, and a tenant's namespace that is deleted while it works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from identtqueue import State
from testing.cluster.cluster import Kubectl, run
from testing.cluster.release import Release, helm, namespace, release_in, state_of
from testing.cluster.workload import deployment, jobs_config_map, pod_spec, task_queue

NAME = "identtqueue-second"
"""The names of its objects. Two releases in one namespace must have different ones."""


@dataclass(frozen=True)
class Second:
    """A second release, which serves the first one's namespace and a tenant's."""

    release: Release
    tenant: Kubectl

    def log(self) -> list[dict]:
        """Return the lines of its operator's log."""
        lines = self.release.kubectl("logs", f"deployment/{NAME}", "--tail=-1").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have no pod of its operator meanwhile."""
        scale = ("scale", f"deployment/{NAME}")
        self.release.kubectl(*scale, "--replicas=0")
        selector = ("-l", self.release.operator_selector)
        self.release.kubectl("wait", "--for=delete", "pod", *selector, "--timeout=60s")
        yield
        self.release.kubectl(*scale, "--replicas=1")


@pytest.fixture(scope="module")
def second(release: Release) -> Iterator[Second]:
    own, tenant = f"{release.namespace}-second", f"{release.namespace}-tenant"
    with namespace(own) as kubectl, namespace(tenant) as of_tenant:
        other = release_in(kubectl)
        helm(
            *(other, "install", "--wait", "--timeout", "2m", "--set", "redis.enabled=false"),
            *("--set", f"fullnameOverride={NAME}"),
            *("--set", f"watchNamespaces={{{release.namespace},{tenant}}}"),
            *("--set", f"rbac.secretNames={{{release.redis_secret}}}"),
        )
        try:
            yield Second(other, of_tenant)
        except BaseException:
            print(state_of(kubectl))
            raise


@pytest.mark.timeout(240, func_only=True)
async def test_a_second_release_leaves_the_taskqueue_to_the_first(release, second, scene, watch):
    name = scene.name
    with second.away():  # who sees a TaskQueue first manages it
        scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
        await scene.until_looked_after()

    def told() -> bool:
        found = scene.kubectl.condition(name, "OperatorsOverlap")
        return found.get("status") == "True" and second.release.namespace in found["message"]

    await scene.until("the first one names the second", told, 90)
    await scene.until_told("OperatorsOverlap")
    replicas = watch()
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=2) for _ in range(6)]
    for task in tasks:
        assert await scene.client.wait_for_result(task, 90) == 1
    await asyncio.to_thread(replicas.wait_for, lambda number: number == 0, 60, raised=True)
    assert max(replicas.steps) == 3
    assert len(replicas.generations) == len(replicas.steps), "each step was written once"


@pytest.mark.timeout(300, func_only=True)
async def test_a_namespace_that_is_deleted_ends_quietly(release, second, scene):
    """It has a template and running tasks; the operator must not create the Deployment again."""
    name, tenant = scene.name, second.tenant
    secret = scene.kubectl.get("secret", release.redis_secret)
    copy = {key: secret[key] for key in ("apiVersion", "kind", "data", "type")}
    body = task_queue(
        *(release, name, name),
        workloadRef=None,
        template={"spec": pod_spec()},
        scaling={"minReplicas": 2, "maxReplicas": 2, "concurrencyPerReplica": 1},
        drain={"timeoutSeconds": 2},
    )
    tenant.apply(copy | {"metadata": {"name": release.redis_secret}}, jobs_config_map(), body)
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=600) for _ in range(2)]
    for task in tasks:
        await scene.until_running(task)
    before = len(second.log())
    deleted = run("kubectl", "delete", "namespace", tenant.namespace, "--timeout=120s", timeout=150)
    assert "deleted" in deleted, "nothing of the operator holds it"
    lines = second.log()[before:]
    told = [line for line in lines if line["level"] not in ("info", "debug")]
    # The Role or its RoleBinding may be deleted before the TaskQueue. Then writes are refused: few
    # are tried, and none is told once the operator knows that the namespace is being deleted.
    refused = [line for line in told if "403 Forbidden" in line["message"]]
    assert told == refused
    known = [line["time"] for line in lines if line.get("reason") == "NamespaceTerminating"]
    assert all(line["time"] <= known[0] for line in refused if known)
    assert len(refused) <= 12
    pods = second.release.kubectl.list("pods", second.release.operator_selector)
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0]
    for task in tasks:
        assert await scene.client.get_status(task) is State.PENDING, "given back, not lost"
