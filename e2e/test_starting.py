"""A worker's pod that is deleted while its program still starts.

Linux drops a SIGTERM that the first process of a container does not handle. Such a worker would
begin to take tasks afterwards, and be killed in the middle of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from testing.cluster.cluster import Kubectl
from testing.cluster.workload import pod_spec

SLOW = """
print("importing", flush=True)
import time
time.sleep(600)
"""
GRACE_SECONDS = 90


@pytest.fixture
def starting(kubectl: Kubectl, name: str) -> Iterator[str]:
    """Provide a pod with a worker whose application takes long to import."""
    jobs: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"slow.py": SLOW},
    }
    spec = pod_spec(env=[{"name": "IDENTTQUEUE_REDIS_ADDRESS", "value": "redis://127.0.0.1:1"}])
    spec["containers"][0]["command"] = ["identtqueue", "worker", "slow:app"]
    spec["volumes"] = [{"name": "jobs", "configMap": {"name": name}}]
    spec |= {"terminationGracePeriodSeconds": GRACE_SECONDS, "restartPolicy": "Never"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl.apply(jobs, pod)
    yield name
    kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")
    kubectl("delete", "configmap", name)


async def test_a_worker_that_still_starts_ends_when_its_pod_is_deleted(scene, starting, figure):
    def importing() -> bool:
        pod = scene.kubectl.get("pod", starting)
        state = pod["status"].get("containerStatuses", [{}])[0].get("state", {})
        return "running" in state and "importing" in scene.kubectl("logs", starting)

    await scene.until("the application is being imported", importing, 120)
    begun = time.monotonic()
    scene.kubectl("delete", "pod", starting, "--wait=true", timeout=GRACE_SECONDS * 2)
    took = time.monotonic() - begun
    figure(f"pod gone {took:.1f} s after its deletion, of {GRACE_SECONDS} s")
    assert took < GRACE_SECONDS / 2
