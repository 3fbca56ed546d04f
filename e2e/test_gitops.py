"""GitOps controllers, which apply a manifest again and again, with and without `replicas`."""

from __future__ import annotations

import json

import pytest

from testing.cluster.workload import deployment, task_queue

ARGO = "argocd-controller"


def apply_as(scene, manager: str, body: dict, *words: str) -> None:
    """Apply the manifest as a GitOps controller does: server-side, as its own field manager."""
    scene.kubectl(
        *("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-"),
        *words,
        stdin=json.dumps(body),
    )


@pytest.mark.timeout(240, func_only=True)
async def test_a_manifest_without_replicas_is_applied_again_and_again(release, scene):
    """It neither scales nor rolls out: manifest and operator own different fields."""
    name = scene.name
    manifest = deployment(release, name, name)
    manifest["spec"].pop("replicas")
    apply_as(scene, ARGO, manifest)
    scene.kubectl.apply(task_queue(release, name, name))
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=12) for _ in range(2)]
    for task in tasks:
        await scene.until_running(task)
    generation = scene.kubectl.get("deployment", name)["metadata"]["generation"]
    for _ in range(5):
        apply_as(scene, ARGO, manifest)
    assert scene.replicas() == 2
    assert scene.kubectl.get("deployment", name)["metadata"]["generation"] == generation
    assert scene.kubectl.condition(name, "ReplicasChangedByOthers")["status"] == "False"
    for task in tasks:
        assert await scene.client.wait_for_result(task, 60) == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 60)


@pytest.mark.timeout(240, func_only=True)
async def test_a_manifest_with_replicas_zero_is_told_and_corrected(release, scene):
    """Running tasks get their grace time; the number returns as soon as a task waits."""
    name = scene.name
    manifest = deployment(release, name, name)
    scene.kubectl.apply(manifest, task_queue(release, name, name))
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=15) for _ in range(2)]
    for task in tasks:
        await scene.until_running(task)
    apply_as(scene, ARGO, manifest)  # replicas: 0

    def told() -> dict | None:
        found = scene.kubectl.condition(name, "ReplicasChangedByOthers")
        return found if found.get("status") == "True" else None

    found = await scene.until("told, with the name of who did it", told, 30)
    assert f"{ARGO} lowered the replicas from 2 to 0" in found["message"]
    await scene.until_told("ReplicasChangedByOthers")
    one_more = await scene.client.enqueue_job(name, "nap", seconds=0)
    await scene.until("corrected", lambda: scene.replicas() > 0, 15)
    for task in [one_more, *tasks]:
        assert await scene.client.wait_for_result(task, 60) == 1, "it ended within its grace time"
