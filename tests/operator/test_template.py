"""With `template` the operator owns the Deployment."""

from support.waiting import eventually

TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "one"}]}}


def image(setup):
    pod = setup.api.get("deployments", setup.name)["spec"]["template"]["spec"]
    return pod["containers"][0]["image"]


async def test_the_deployment_is_made_scaled_and_changed(operator, setup):
    await setup.enqueue(3)
    setup.create(workloadRef=None, template=TEMPLATE)
    await eventually(lambda: ("deployments", "ns", setup.name) in setup.api.objects)
    await setup.replicas(3)
    uid = setup.api.get("taskqueues", setup.name)["metadata"]["uid"]
    made = setup.api.get("deployments", setup.name)
    assert made["metadata"]["ownerReferences"][0]["uid"] == uid
    two = {"spec": {"containers": [{"name": "worker", "image": "two"}]}}
    setup.api.change("taskqueues", setup.name, {"spec": {"template": two}})
    await eventually(lambda: image(setup) == "two")
    assert setup.fleet.replicas == 3


async def test_a_deleted_deployment_is_made_again(operator, setup):
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    setup.api.remove("deployments", setup.name)
    await eventually(lambda: ("deployments", "ns", setup.name) in setup.api.objects)


async def test_somebody_elses_deployment_is_left_alone(operator, setup):
    setup.fleet.create(1)
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("WorkloadNotOwned")
    assert setup.condition("WorkloadFound") == ("False", "WorkloadNotOwned")
    assert "ownerReferences" not in setup.api.get("deployments", setup.name)["metadata"]
