"""With `template` the operator owns the Deployment."""

import time

from identtqueue_operator.workload.owned import MEND_SECONDS
from testing.api_server import Refusal
from testing.operating import Operator, put
from testing.waiting import eventually

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


async def test_a_change_by_hand_is_reverted_and_told(operator, setup):
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    by_hand(setup, image="theirs")
    await eventually(lambda: image(setup) == "one")
    assert "somebody changed" in await setup.told("WorkloadReverted")


async def test_a_change_while_the_operator_was_down_is_reverted_at_its_first_look(operator, setup):
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    await operator.stop()
    by_hand(setup, image="theirs")
    await operator.start()
    await eventually(lambda: image(setup) == "one")


async def test_what_others_add_stays_and_costs_one_look(operator, setup):
    """`kubectl rollout restart`, an admission webhook, another controller's annotation."""
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    applied = len(applies(setup))
    added = {"kubectl.kubernetes.io/restartedAt": "now"}
    template = {"metadata": {"annotations": added}}
    setup.api.change("deployments", setup.name, {"spec": {"template": template}})
    await eventually(lambda: len(applies(setup)) == applied + 1)
    await setup.enqueue(2)
    await setup.replicas(2)
    assert len(applies(setup)) == applied + 1
    found = setup.api.get("deployments", setup.name)["spec"]["template"]["metadata"]
    assert found["annotations"] == added
    assert setup.events("WorkloadReverted") == []


async def test_replicas_and_status_are_no_change_of_the_template(operator, setup):
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    applied = len(applies(setup))
    setup.api.change("deployments", setup.name, {"spec": {"replicas": 3}})
    setup.api.change("deployments", setup.name, {"status": {"observedGeneration": 2}})
    await setup.replicas(0)  # by scaling
    assert len(applies(setup)) == applied


async def test_somebody_who_insists_is_answered_now_and_then_and_not_at_once(operator, setup):
    await operator.stop()
    ahead = 0.0
    operator.steady = lambda: time.monotonic() + ahead
    await operator.start()
    setup.create(workloadRef=None, template=TEMPLATE)
    await setup.reason("Idle")
    before = len(applies(setup))

    def insist(event, plural, body):
        if plural == "deployments" and image(setup) == "one":
            by_hand(setup, image="theirs")

    by_hand(setup, image="theirs")
    setup.api.listeners.append(insist)
    await setup.told("WorkloadReverted")
    await setup.enqueue(2)
    await setup.replicas(2)  # scaling goes on meanwhile
    assert len(applies(setup)) == before + 1
    setup.api.listeners.remove(insist)
    ahead = MEND_SECONDS
    await setup.enqueue(1)
    await eventually(lambda: image(setup) == "one")


async def test_a_deployment_that_the_api_server_does_not_take(operator, setup):
    def refuse(path, write):
        if path.endswith(f"deployments/{setup.name}"):
            raise Refusal(422, "Invalid", "spec.containers[0].image: Required value")
        return write()

    setup.api.around_write = refuse
    setup.create({"pollPeriodSeconds": 1}, workloadRef=None, template=TEMPLATE)
    await setup.reason("WorkloadRefused")
    assert setup.condition("WorkloadFound") == ("False", "WorkloadRefused")
    assert "image: Required value" in await setup.told("WorkloadRefused")
    setup.api.around_write = lambda path, write: write()
    await setup.reason("Idle")


async def test_what_the_api_server_warns_of_is_told_before_there_are_pods(operator, setup):
    """Pod Security is enforced on pods; of a Deployment it only says what would happen."""
    said = 'would violate PodSecurity "restricted:latest": hostNetwork (x)'
    quoted = said.replace('"', '\\"')
    setup.api.warnings[f"deployments/{setup.name}"] = f'299 - "{quoted}"'
    setup.create(workloadRef=None, template=TEMPLATE)
    told = await setup.told("WorkloadWarning")
    assert told == (f"Deployment {setup.name} was written, and the API server warns: {said}")
    await setup.reason("Idle")
    await operator.looks()
    assert len(setup.events("WorkloadWarning")) == 1


async def test_a_refused_deployment_of_a_paused_taskqueue_is_not_told_as_unpaused(operator, setup):
    setup.api.forbidden = f"deployments/{setup.name}"
    setup.create(workloadRef=None, template=TEMPLATE, paused=True)
    await setup.reason("WorkloadRefused")
    assert setup.condition("Paused") == ("True", "SpecPaused")


async def test_an_operator_without_the_right_to_templates_says_so_and_does_not_try(
    api, kube, setup
):
    operator = Operator(api, kube, templates=False)
    await operator.start()
    setup.create({"pollPeriodSeconds": 1}, workloadRef=None, template=TEMPLATE)
    await setup.reason("WorkloadTemplateNotAllowed")
    assert setup.condition("WorkloadFound") == ("False", "WorkloadTemplateNotAllowed")
    assert setup.condition("Ready") == ("False", "WorkloadTemplateNotAllowed")
    assert "name it in workloadRef" in await setup.told("WorkloadTemplateNotAllowed")
    # TaskQueues with a workloadRef go on.
    other = f"{setup.name}-other"
    await setup.client.enqueue_job(other, "job")
    put(api, other, setup.address)
    await eventually(lambda: api.get("deployments", other)["spec"]["replicas"] == 1)
    assert not applies(setup)
    assert operator.failed_rounds == 0
    await operator.stop()


def by_hand(setup, *, image: str) -> None:
    pod = {"spec": {"containers": [{"name": "worker", "image": image}]}}
    setup.api.change("deployments", setup.name, {"spec": {"template": pod}})


def applies(setup):
    """Bodies of server-side applies of the Deployment."""
    return [
        body for _, path, body in setup.api.requests if path.endswith(f"deployments/{setup.name}")
    ]
