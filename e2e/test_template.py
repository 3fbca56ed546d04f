"""With `template`, the operator creates, updates and protects the Deployment until the end."""

from __future__ import annotations

import asyncio
import time

from testing.cluster.workload import pod_spec, task_queue


async def test_template_from_creation_to_deletion(release, scene, figure):
    name = scene.name
    scaling = {"minReplicas": 2, "maxReplicas": 2, "concurrencyPerReplica": 1}

    def of(revision: str) -> dict:
        template = {"metadata": {"annotations": {"revision": revision}}, "spec": pod_spec()}
        changes = {"workloadRef": None, "template": template, "scaling": scaling}
        return task_queue(release, name, name, **changes)

    scene.kubectl.apply(of("one"))
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=12) for _ in range(2)]
    await asyncio.gather(*(scene.until_running(task) for task in tasks))
    old = {worker.pod_uid for worker in await scene.admin.workers(name)}
    assert len(old) == 2
    assert None not in old

    # A new template rolls the pods while they work: nothing is lost, nothing runs twice.
    scene.kubectl.apply(of("two"))
    tasks += [await scene.client.enqueue_job(name, "nap", seconds=1) for _ in range(4)]
    scene.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")
    for task in tasks:
        assert await scene.client.wait_for_result(task, 90) == 1
    assert (await scene.admin.depths([name]))[name].counters["succeeded"] == len(tasks)
    pods = await scene.until("only new pods", lambda: all_new(scene, old), 60)
    assert {pod["metadata"]["annotations"]["revision"] for pod in pods} == {"two"}

    # A change by hand is reverted; what others add is not.
    changed_at = time.time()
    scene.kubectl("set", "env", f"deployment/{name}", "IDENTTQUEUE_QUEUES=elsewhere")
    await scene.until("reverted", lambda: queues_of(scene) == name, 20)
    figure(f"template's Deployment changed by hand -> reverted: {time.time() - changed_at:.2f} s")
    scene.kubectl("rollout", "restart", f"deployment/{name}")
    scene.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")
    template = scene.kubectl.get("deployment", name)["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert any(reason == "WorkloadReverted" for reason, _ in scene.kubectl.events(name))

    # A deletion waits for nothing, even if no operator runs.
    release.scale_operator(0)
    try:
        scene.kubectl("delete", "tq", name, "--timeout=10s")
        scene.kubectl("wait", "--for=delete", f"deployment/{name}", "--timeout=60s")
    finally:
        release.scale_operator(1)


def all_new(scene, old: set) -> list[dict]:
    """Return the pods once none of the old ones is left; until then, nothing."""
    pods = scene.kubectl.list("pods", f"identtqueue.dev/taskqueue={scene.name}")
    return pods if not old & {pod["metadata"]["uid"] for pod in pods} else []


def queues_of(scene) -> str:
    """Return the queues that the Deployment's workers are configured to serve."""
    pod = scene.kubectl.get("deployment", scene.name)["spec"]["template"]["spec"]
    return next(e["value"] for e in pod["containers"][0]["env"] if e["name"].endswith("_QUEUES"))
