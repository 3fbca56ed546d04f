"""The tutorial on Kubernetes, as its page says it, with the code of its blocks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml

from identtqueue.admin import Admin
from testing import markdown
from testing.cluster.cluster import Kubectl
from testing.cluster.release import Release
from testing.cluster.workload import IMAGE, pod_spec
from testing.waiting import eventually, wait_until

PAGE = "docs/tutorial/kubernetes.md"
TASKS = markdown.files("docs/tutorial/first-task.md")["tasks.py"]
NAME = "documents"


def blocks(language: str) -> list[str]:
    return [block.text for block in markdown.blocks(PAGE) if block.language == language]


def stands_in(spec: dict[str, Any]) -> dict[str, Any]:
    """Complete a pod of the page: its image is the operator's, with `tasks.py` by a ConfigMap.

    The namespace of the tests takes only restricted pods; the page's reader has no such rule.
    """
    strict = pod_spec()
    (container,) = spec["containers"]
    command = container.get("command", ["identtqueue", "worker", "tasks:app", "--queue", NAME])
    return strict | {
        "terminationGracePeriodSeconds": 1,
        "containers": [strict["containers"][0] | container | {"image": IMAGE, "command": command}],
    }


async def busy_pod(admin: Admin) -> str:
    """Return the name of a pod whose worker has tasks, as soon as there is one."""

    async def look() -> str | None:
        workers = await admin.workers(NAME)
        return next((worker.pod_name for worker in workers if worker.in_flight), None)

    return await eventually(look, "a worker has tasks", seconds=60)


@pytest.fixture
def tutorial(release: Release) -> Kubectl:
    """Provide the namespace, with what the page's image holds."""
    kubectl = release.kubectl
    jobs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e2e-jobs"}}
    kept = kubectl.get("configmap", "e2e-jobs")["data"]
    kubectl.apply(jobs | {"data": kept | {"tasks.py": TASKS}})
    yield kubectl
    kubectl("delete", "taskqueue", NAME, "--ignore-not-found", "--timeout=60s")
    kubectl("delete", "pod", "caller", "--ignore-not-found", "--wait=false")


async def test_the_page_scales_from_zero_and_survives_the_loss_of_a_pod(
    tutorial: Kubectl, admin: Admin
):
    queue, caller = (yaml.safe_load(text) for text in blocks("yaml"))
    (send,) = blocks("python")
    del queue["metadata"]["namespace"], caller["metadata"]["namespace"]
    pods = queue["spec"]["template"]["spec"]
    queue["spec"]["template"]["spec"] = stands_in(pods) | {"terminationGracePeriodSeconds": 30}
    caller["spec"] = stands_in(caller["spec"])

    tutorial.apply(queue, caller)
    wait_until("Idle", lambda: tutorial.condition(NAME, "Ready").get("reason") == "Idle", 60)
    tutorial("wait", "--for=condition=Ready", "pod/caller", "--timeout=60s")
    sending = asyncio.create_task(
        asyncio.to_thread(tutorial, "exec", "-i", "caller", "--", "python", stdin=send)
    )
    victim = await busy_pod(admin)
    tutorial("delete", "pod", "--force", "--grace-period=0", victim)

    assert (await sending).count("attempt ") == 20
    assert "Brief" in tutorial("describe", "taskqueue", NAME)
    assert "ScaledUp" in {reason for reason, _ in tutorial.events(NAME)}
