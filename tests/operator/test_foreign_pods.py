"""Pods that carry the Deployment's labels and are not its own."""

import pytest

from identtqueue.admin import Admin
from testing.fleet import controlled_by, now
from testing.waiting import eventually


def put_pod(setup, name, owner=None) -> None:
    """A ready pod with the Deployment's labels."""
    setup.api.put(
        "pods",
        name,
        {
            "metadata": {
                "labels": setup.fleet.labels,
                "ownerReferences": [owner] if owner else [],
            },
            "spec": {"nodeName": "node"},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
                "containerStatuses": [
                    {"name": "worker", "restartCount": 0, "state": {"running": {}}}
                ],
            },
        },
    )


def bare(setup):
    """A pod by itself, as `kubectl run` makes it."""
    return


def of_a_job(setup):
    """Of another kind of owner."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": True}


def of_another_deployment(setup):
    """A ReplicaSet that another Deployment owns."""
    other = setup.api.put(
        "deployments", "other", {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
    )
    body = {"metadata": {"ownerReferences": [controlled_by(other)]}}
    return controlled_by(setup.api.put("replicasets", "other-5d5f8c", body))


def of_a_replicaset_by_itself(setup):
    """A ReplicaSet without an owner."""
    return controlled_by(setup.api.put("replicasets", f"{setup.name}-5d5f8c"))


@pytest.mark.parametrize(
    "owner", [bare, of_a_job, of_another_deployment, of_a_replicaset_by_itself]
)
async def test_foreign_pods_are_neither_counted_nor_waited_for(operator, setup, owner):
    setup.fleet.create(2)
    await setup.fleet.settle()
    owner = owner(setup)
    for number in range(3):
        put_pod(setup, f"foreign-{number}", owner)
    setup.create({"minReplicas": 1, "maxReplicas": 5})
    await setup.replicas(1)
    await setup.fleet.settle()
    (worker,) = setup.fleet.workers.values()
    (task,) = await setup.enqueue(1)
    async with Admin(setup.address) as admin:

        async def nobody_drains() -> bool:
            return not any(info.draining for info in await admin.workers(setup.queue))

        await eventually(nobody_drains, "the last worker may fetch")
    assert await worker.claim() == [task]
    await setup.reason("Working")
    assert setup.fleet.replicas == 1


async def test_a_foreign_pod_with_a_worker_in_it_is_not_drained(operator, setup):
    """A copy for debugging: it serves the queue, and the Deployment does not count it."""
    setup.fleet.create(1)
    await setup.fleet.settle()
    put_pod(setup, "copy")
    await setup.fleet.start_worker(setup.api.get("pods", "copy"))
    setup.create()
    await setup.replicas(0)
    async with Admin(setup.address) as admin:
        told = [info.pod_name for info in await admin.workers(setup.queue) if info.draining]
    assert "copy" not in told


async def test_without_the_right_to_ask_the_name_of_the_replicaset_decides(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    put_pod(setup, "foreign", of_another_deployment(setup))
    setup.api.unreadable[f"replicasets/{setup.name}-1a2b3c"] = 403
    setup.api.unreadable["replicasets/other-5d5f8c"] = 403
    setup.create({"minReplicas": 1, "maxReplicas": 5})
    await setup.replicas(1)
    await operator.looks()
    assert operator.failed_rounds == 0
    for name in (f"{setup.name}-1a2b3c", "other-5d5f8c"):
        assert setup.api.reads[f"/apis/apps/v1/namespaces/ns/replicasets/{name}"] == 1


async def test_each_replicaset_is_asked_for_once(operator, setup):
    setup.fleet.create(3)
    await setup.fleet.settle()
    setup.create({"minReplicas": 3, "maxReplicas": 3})
    await setup.reason("Idle")
    for _ in range(5):
        await operator.looks()
    path = f"/apis/apps/v1/namespaces/ns/replicasets/{setup.name}-1a2b3c"
    assert setup.api.reads[path] == 1
