"""TaskQueues that name the wrong thing: a web service, the operator, somebody else's queue."""

import secrets

import pytest

from identtqueue_operator.timings import Timings
from testing.fleet import Fleet, controlled_by
from testing.waiting import eventually

quick = pytest.mark.parametrize("timings", [Timings(register_seconds=0.0)])
"""Pods count as strangers as soon as they are ready."""


def web_service(setup, count, *, ready=True, name=None, replica_set=None) -> Fleet:
    """A Deployment whose pods run something that is no worker."""
    fleet = Fleet(setup.api, name or f"web-{secrets.token_hex(3)}", setup.fleet.redis, "nothing")
    fleet.create(count)
    for number in range(count):
        fleet.put_pod(f"{fleet.name}-{replica_set or '1a2b3c'}-{number:05x}", ready=ready)
    fleet.count()
    return fleet


async def told_by(setup, name, reason):
    return await eventually(
        lambda: [
            event["message"]
            for event in setup.api.all("events")
            if event["involvedObject"]["name"] == name and event["reason"] == reason
        ],
        f"{reason} of {name}",
    )


@pytest.mark.parametrize("ready", [True, False])
async def test_a_web_service_named_by_mistake_is_left_alone(operator, setup, ready):
    """From the first look on, before it is known that none of its pods will ever register."""
    web = web_service(setup, 3, ready=ready)
    setup.create(name=web.name, workloadRef={"name": web.name})
    await eventually(lambda: setup.api.get("taskqueues", web.name).get("status"))
    for _ in range(5):
        await operator.looks()
    assert web.replicas == 3
    assert setup.api.writes("/scale") == []


@quick
async def test_that_no_worker_registered_is_told_and_nothing_is_scaled(operator, setup):
    web = web_service(setup, 3)
    await setup.enqueue(9)
    setup.create(name=web.name, workloadRef={"name": web.name})
    (message,) = await told_by(setup, web.name, "NoWorkerRegistered")
    assert message.startswith("3 of 3 pods: ready, but no worker has registered")
    status = setup.api.get("taskqueues", web.name)["status"]
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert conditions["Ready"] == ("False", "NoWorkerRegistered")
    assert conditions["WorkersReady"] == ("False", "NoWorkerRegistered")
    assert web.replicas == 3


@quick
async def test_workers_of_another_queue_are_told_of_and_it_passes(operator, setup):
    setup.fleet.create(2)
    setup.fleet.queue = f"{setup.queue}-other"
    await setup.fleet.settle()
    await setup.enqueue(9)
    setup.create({"maxReplicas": 9})
    await setup.told("NoWorkerRegistered")
    assert setup.fleet.replicas == 2
    setup.fleet.queue = setup.queue
    for pod in setup.fleet.pods:
        await setup.fleet.start_worker(pod)
    await setup.replicas(9)
    await eventually(lambda: setup.condition("Ready")[0] == "True")


@quick
async def test_a_queue_that_nobody_serves_is_told(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 1}, queues=[{"name": setup.queue}, {"name": "ocr-" + setup.queue}])
    assert f"ocr-{setup.queue}" in await setup.told("QueueNotServed")
    assert setup.condition("WorkersReady") == ("False", "QueueNotServed")
    assert setup.condition("Ready")[0] == "True"


async def test_the_operator_never_scales_itself(operator, setup):
    """Its pod is called as its settings say; here `operator`, of the Deployment `operator`."""
    setup.api.put("deployments", "operator", {"spec": {"replicas": 2}})
    await setup.enqueue(9)
    setup.create(name="me", workloadRef={"name": "operator"})
    await told_by(setup, "me", "WorkloadIsOperator")
    assert setup.api.get("deployments", "operator")["spec"]["replicas"] == 2
    status = setup.api.get("taskqueues", "me")["status"]
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert conditions["WorkloadFound"] == ("False", "WorkloadIsOperator")
    assert conditions["Ready"] == ("False", "WorkloadIsOperator")


async def test_an_operator_whose_pod_has_a_name_that_was_cut_knows_itself(operator, setup):
    """A pod's name is cut to 63 characters; its ReplicaSet's is not."""
    itself = "o" * 60
    made = setup.api.put("deployments", itself, {"spec": {"replicas": 2}})
    body = {"metadata": {"ownerReferences": [controlled_by(made)]}}
    owner = controlled_by(setup.api.put("replicasets", f"{itself}-5d5f8c", body))
    setup.api.put("pods", "operator", {"metadata": {"ownerReferences": [owner]}, "spec": {}})
    await setup.enqueue(9)
    setup.create(name="me", workloadRef={"name": itself})
    await told_by(setup, "me", "WorkloadIsOperator")
    assert setup.api.get("deployments", itself)["spec"]["replicas"] == 2


async def test_two_taskqueues_that_count_the_same_tasks_are_told(operator, setup):
    setup.fleet.create()
    other = Fleet(setup.api, f"other-{secrets.token_hex(3)}", setup.fleet.redis, setup.queue)
    other.create()
    setup.create({"maxReplicas": 6})
    await setup.reason("Idle")
    assert setup.condition("QueueShared") == ("False", "OnlyTaskQueue")
    setup.create({"maxReplicas": 6}, name=other.name, workloadRef={"name": other.name})
    message = await setup.told("QueueShared")
    assert message.startswith(f"queue {setup.queue} is also named by TaskQueue {other.name}")
    await told_by(setup, other.name, "QueueShared")
    await setup.enqueue(6)
    await setup.replicas(6)
    await eventually(lambda: other.replicas == 6)
    setup.api.remove("taskqueues", other.name)
    await eventually(lambda: setup.condition("QueueShared") == ("False", "OnlyTaskQueue"))


async def test_a_rival_for_the_same_deployment_counts_nothing(operator, setup):
    setup.fleet.create()
    setup.create()
    setup.create(name=f"{setup.name}-too")
    await eventually(
        lambda: (
            setup.api.get("taskqueues", f"{setup.name}-too").get("status", {}).get("reason")
            == "Conflicting"
        )
    )
    await eventually(lambda: setup.condition("QueueShared") == ("False", "OnlyTaskQueue"))
