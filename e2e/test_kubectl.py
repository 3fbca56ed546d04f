"""`kubectl tq` with the real kubectl: as a tenant with a token, who has no access to Redis."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from identtqueue import State
from testing.cluster.cluster import ROOT, Kubectl, run
from testing.cluster.release import RELEASE
from testing.cluster.workload import deployment, task_queue
from testing.waiting import wait_until

FAILED = 300
"""How many dead letters of one kind are replayed at once."""
READ = {"apiGroups": ["identtqueue.dev"], "verbs": ["get", "list"]}
VIEWER = [
    READ | {"resources": ["taskqueues"]},
    READ | {"resources": ["taskqueues/tasks", "taskqueues/queues", "taskqueues/workers"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
]
EDITOR = [
    *VIEWER,
    READ | {"resources": ["taskqueues/arguments"]},
    {
        "apiGroups": ["identtqueue.dev"],
        "resources": ["taskqueues/tasks", "taskqueues/queues", "taskqueues/workers"],
        "verbs": ["update"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
]


def rbac(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name}, **rest}


class Tenant:
    """A ServiceAccount, with a kubeconfig that has its token and nothing else."""

    def __init__(self, admin: Kubectl, folder: Path, name: str) -> None:
        self.admin = admin
        self.name = name
        self._subject = {"kind": "ServiceAccount", "name": name, "namespace": admin.namespace}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        admin.apply(account)
        self.may(*VIEWER)
        self._bind(f"{name}-gateway", f"{RELEASE}-gateway")
        config = json.loads(run("kubectl", "config", "view", "--minify", "--raw", "-o", "json"))
        config["users"] = [{"name": name, "user": {"token": admin("create", "token", name)}}]
        config["contexts"][0]["context"] |= {"user": name, "namespace": admin.namespace}
        (folder / "config").write_text(json.dumps(config))
        program = folder / "kubectl-tq"
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m identtqueue_operator.plugin "$@"\n'
        )
        program.chmod(0o755)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(folder / "config"),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'queue'}:{ROOT / 'operator'}",
        }

    def may(self, *rules: dict[str, Any]) -> None:
        """Grant these permissions in the namespace, and no others."""
        self.admin.apply(rbac("Role", self.name, rules=list(rules)))
        self._bind(self.name, self.name)

    def _bind(self, name: str, role: str) -> None:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        binding = rbac("RoleBinding", name, roleRef=reference, subjects=[self._subject])
        self.admin.apply(binding)

    def tries(self, *words: str, kubeconfig: str | None = None) -> tuple[int, str]:
        """Run `kubectl tq`; return its exit code, and all that it says."""
        environment = self._environment | ({"KUBECONFIG": kubeconfig} if kubeconfig else {})
        done = subprocess.run(
            ["kubectl", "tq", *words],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def says(self, *words: str) -> str:
        """Run a command that must succeed; return what it prints."""
        code, text = self.tries(*words)
        assert code == 0, text
        return text

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """Run a command with `-o json`; return its lines."""
        return [json.loads(line) for line in self.says(*words, "-o", "json").splitlines()]

    def gone(self) -> None:
        names = (self.name, f"{self.name}-gateway")
        self.admin("delete", "role,rolebinding", *names, "--ignore-not-found")
        self.admin("delete", "serviceaccount", self.name, "--ignore-not-found")


@pytest.fixture
def tenant(kubectl: Kubectl, tmp_path: Path, name: str) -> Iterator[Tenant]:
    tenant = Tenant(kubectl, tmp_path, f"tenant-{name}")
    yield tenant
    tenant.gone()


def until(look: Callable[[], Any]) -> Any:
    """Wait: a new permission counts after the authorizer has heard of it."""
    return wait_until("the permission counts", look, 40, ignore=AssertionError)


async def test_a_tenant_finds_mends_and_replays(release, scene, tenant, figure):
    """All 300 tasks of a kind fail; the tenant finds out why, and runs them again."""
    name = scene.name
    mended_at = time.time() + 600
    scene.kubectl.apply(
        deployment(release, name, name, concurrency=20),
        task_queue(release, name, name, scaling={"maxReplicas": 2, "concurrencyPerReplica": 20}),
    )
    await scene.until_looked_after()
    for number in range(FAILED):
        await scene.client.enqueue_job(
            name, "read_page", page=f"page-{number}", mended_at=mended_at
        )

    async def all_dead() -> bool:
        return (await scene.admin.depths([name]))[name].dead == FAILED

    await scene.until_async("all are dead", all_dead, 90)
    await asyncio.to_thread(_walk, scene, tenant, figure)


def _walk(scene, tenant, figure) -> None:
    """Look and act as a person would, one command after the other."""
    name, started = scene.name, time.monotonic()
    assert "read_page" in until(
        lambda: tenant.says("tasks", name, "--state", "dead", "--limit", "5")
    )
    (row, *_) = tenant.rows("tasks", name, "--state", "dead", "--error", "ValueError")
    task_id = row["task_id"]
    text = tenant.says("task", task_id)
    assert "ValueError: no text on page-" in text
    assert "taskqueues/arguments" in text, "a viewer sees no arguments"
    code, said = tenant.tries("replay", name, "--all", "--yes")
    assert code == 5, said
    assert "may not update taskqueues/tasks" in said
    tenant.may(*EDITOR)
    assert "page-" in until(lambda: _with(tenant.says("task", task_id), "mended_at="))
    text = until(lambda: tenant.says("replay", name, "--error", "ValueError", "--yes"))
    assert f"{FAILED} tasks replayed" in text
    figure(f"kubectl tq: find, see why, replay {FAILED}: {time.monotonic() - started:.1f} s")


def _with(text: str, part: str) -> str:
    assert part in text, text
    return text


async def test_a_tenant_sees_its_own_namespace_only(release, scene, tenant):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await scene.until_looked_after()
    assert name in await asyncio.to_thread(until, lambda: tenant.says("status"))
    assert "no worker is registered" in await asyncio.to_thread(tenant.says, "workers", name)
    for words in (("status", "-A"), ("status", "-n", "kube-system"), ("tasks", "-n", "default")):
        code, said = await asyncio.to_thread(tenant.tries, *words)
        assert code == 5, said
        assert "(Forbidden)" in said
    foreign = await scene.client.enqueue_job("not-in-any-taskqueue", "nap", seconds=0)
    code, said = await asyncio.to_thread(tenant.tries, "task", foreign)
    assert code == 3, said
    info = await scene.client.get_task(foreign)
    assert info is not None
    assert info.state is State.PENDING
    await scene.client.cancel(foreign)


async def test_a_pod_is_drained_by_hand_and_replaced(release, scene, tenant):
    """The operator leaves it drained, and the workload replaces it once it is deleted."""
    name = scene.name
    tenant.may(*EDITOR)
    scene.kubectl.apply(
        deployment(release, name, name, replicas=2),
        task_queue(release, name, name, scaling={"minReplicas": 2, "maxReplicas": 2}),
    )
    await scene.until("2 pods are ready", lambda: len(scene.ready()) == 2)
    task_id = await scene.client.enqueue_job(name, "nap", seconds=8)
    await scene.until_running(task_id)
    pod = (await scene.pod_of(task_id))["metadata"]["name"]
    text = await asyncio.to_thread(until, lambda: tenant.says("drain", pod, "--delete"))
    assert f"pod {pod} holds no task" in text
    assert (await scene.client.wait_many([task_id], 10))[0].unwrap() == 1, "it has finished"

    def replaced() -> bool:
        names = {each["metadata"]["name"] for each in scene.ready()}
        return len(names) == 2 and pod not in names

    await scene.until("it is replaced", replaced)
    text = await asyncio.to_thread(tenant.says, "explain", name)
    assert f"{tenant.admin.namespace}/{name}: 2 replicas" in text
    logs = await asyncio.to_thread(tenant.says, "logs", name, "--tail", "5")
    assert "[pod/" in logs
    assert await asyncio.to_thread(tenant.says, "events", name)


async def test_a_client_certificate_needs_a_service_account(release, scene, tenant):
    """The cluster's administrator has one; a token of a ServiceAccount does it."""
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await scene.until_looked_after()
    words = ("tasks", name, "-n", release.namespace)
    mine = os.environ["KUBECONFIG"]
    code, said = await asyncio.to_thread(lambda: tenant.tries(*words, kubeconfig=mine))
    assert code == 5, said
    assert "--service-account NAME" in said
    words += ("--service-account", tenant.name)
    code, said = await asyncio.to_thread(lambda: tenant.tries(*words, kubeconfig=mine))
    assert code == 0, said
    assert f"queue {name}: no pending tasks match" in said
