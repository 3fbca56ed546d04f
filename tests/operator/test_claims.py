"""Several operators that serve one TaskQueue: one looks after it, the others say so and wait."""

import pytest

from identtqueue_operator.policy import claims
from identtqueue_operator.policy.claims import ASK_AGAIN_SECONDS, Claim, Stance
from identtqueue_operator.settings import Settings, SettingsError
from identtqueue_operator.timings import DEFAULTS, Timings
from identtqueue_operator.workload import owned
from testing.operating import Operator, Setup
from testing.waiting import eventually

ME, OTHER = "a/one", "b/two"


@pytest.mark.parametrize(
    ("claim", "asked_at", "stance"),
    [
        (Claim(), None, Stance.OWN),
        (Claim(ME), None, Stance.OWN),
        (Claim(ME, OTHER), None, Stance.ANSWER),
        (Claim(ME, ME), None, Stance.OWN),
        (Claim(OTHER), None, Stance.ASK),
        (Claim(OTHER, ME), None, Stance.ASK),  # asked before this operator restarted
        (Claim(OTHER, ME), 1000.0, Stance.WAIT),
        (Claim(OTHER, ME), 1000.0 - DEFAULTS.answer_seconds, Stance.TAKE_OVER),
        (Claim(OTHER), 1000.0 - DEFAULTS.answer_seconds, Stance.WAIT),  # it has answered
        (Claim(OTHER, "c/three"), 1000.0, Stance.WAIT),
        (Claim(OTHER), 1000.0 - ASK_AGAIN_SECONDS, Stance.ASK),
    ],
)
def test_the_stance(claim, asked_at, stance):
    assert claims.choose_stance(ME, claim, asked_at, 1000.0, DEFAULTS.answer_seconds)[0] == stance


@pytest.fixture
async def second(api, kube):
    running = Operator(api, kube, own_namespace="elsewhere")
    await running.start()
    yield running
    await running.stop()


def owner(setup):
    return (setup.status.get("operator") or {}).get("name")


def template(setup, image="one"):
    return {
        "workloadRef": None,
        "template": {"spec": {"containers": [{"name": "worker", "image": image}]}},
    }


async def test_a_second_release_leaves_the_taskqueue_alone(operator, setup: Setup, api, kube):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
    await eventually(lambda: owner(setup) == "ns/identtqueue-operator", lambda: setup.status)
    second = Operator(api, kube, own_namespace="elsewhere")
    await second.start()
    try:
        message = await setup.told("OperatorsOverlap")
        assert "elsewhere/identtqueue-operator serves this TaskQueue too" in message
        await eventually(lambda: setup.condition("OperatorsOverlap")[0] == "True")
        await setup.enqueue(2)
        await setup.replicas(2)
        assert owner(setup) == "ns/identtqueue-operator"
        # The two tasks may come in two rounds. The second operator would write a number once more.
        numbers = [write["spec"]["replicas"] for write in setup.api.writes("/scale")]
        assert numbers in ([2], [1, 2])
        assert not setup.events("ReplicasChangedByOthers")
    finally:
        await second.stop()


async def test_the_second_takes_over_when_the_first_is_gone(operator, setup: Setup, api, kube):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
    await eventually(lambda: owner(setup) == "ns/identtqueue-operator", lambda: setup.status)
    await operator.stop()
    second = Operator(api, kube, own_namespace="elsewhere", timings=Timings(answer_seconds=0.5))
    await second.start()
    try:
        await setup.enqueue(2)
        await setup.replicas(2)
        await eventually(
            lambda: owner(setup) == "elsewhere/identtqueue-operator", lambda: setup.status
        )
        assert setup.status["operator"].get("challengedBy") is None
    finally:
        await second.stop()


async def test_an_operator_that_restarts_while_it_asks_takes_over_what_the_first_recorded(
    setup: Setup, api, kube
):
    """It asks again in the same words, of which no watch brings news."""
    setup.fleet.create(2)
    setup.create({"minReplicas": 1}, restoreReplicas=True)
    asked = {"name": "ns/gone", "challengedBy": "elsewhere/identtqueue-operator"}
    status = {"operator": asked, "originalReplicas": 5}
    setup.api.change("taskqueues", setup.name, {"status": status})
    second = Operator(api, kube, own_namespace="elsewhere", timings=Timings(answer_seconds=0.5))
    await second.start()
    try:
        await eventually(
            lambda: owner(setup) == "elsewhere/identtqueue-operator", lambda: setup.status
        )
        await eventually(lambda: setup.status.get("conditions"), lambda: setup.status)
        assert setup.status["originalReplicas"] == 5
    finally:
        await second.stop()


async def test_two_operators_that_begin_together_settle_on_one(operator, second, setup: Setup):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
    await setup.enqueue(2)
    await setup.replicas(2)
    await eventually(owner_is_settled(setup), lambda: setup.status)


def owner_is_settled(setup):
    return lambda: setup.condition("OperatorsOverlap") == ("True", "AnotherOperator")


async def test_whoever_rewrites_the_deployment_of_a_template_is_answered_at_a_pace(
    operator, setup: Setup, api
):
    """Any change is paced: of the mark, as another version of the operator makes it, as well."""
    setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1}, **template(setup))
    await eventually(lambda: ("deployments", "ns", setup.name) in api.objects)
    mark = "identtqueue.dev/template-hash"

    def insist(event, plural, body):
        annotations = body["metadata"].get("annotations") or {}
        if plural == "deployments" and annotations.get(mark) != "another":
            api.change("deployments", setup.name, {"metadata": {"annotations": {mark: "another"}}})

    api.listeners.append(insist)
    before = len(api.writes(f"deployments/{setup.name}"))
    api.change("deployments", setup.name, {"metadata": {"annotations": {mark: "another"}}})
    await eventually(lambda: len(api.writes(f"deployments/{setup.name}")) > before)
    for _ in range(5):
        await operator.looks()
    assert len(api.writes(f"deployments/{setup.name}")) == before + 1
    assert owned.MEND_SECONDS >= 10


@pytest.mark.parametrize(
    ("text", "labels", "served"),
    [
        ("", {}, True),
        ("team=a", {"team": "a"}, True),
        ("team==a", {"team": "b"}, False),
        ("team!=a", {}, True),
        ("team in (a, b),tier", {"team": "b", "tier": "x"}, True),
        ("team notin (a,b)", {"team": "b"}, False),
        ("!legacy", {"legacy": ""}, False),
        ("x.example/y=z", {"x.example/y": "z"}, True),
    ],
)
def test_a_label_selector(text, labels, served):
    settings = Settings.from_environment({"IDENTTQUEUE_LABEL_SELECTOR": text})
    assert settings.selector.matches(labels) == served


@pytest.mark.parametrize("text", ["a in b", "a=b=c", "!a=b", ",", "a in (b", "=b"])
def test_a_label_selector_that_is_none(text):
    with pytest.raises(SettingsError, match="IDENTTQUEUE_LABEL_SELECTOR"):
        Settings.from_environment({"IDENTTQUEUE_LABEL_SELECTOR": text})


async def test_a_taskqueue_that_is_not_selected(api, kube, setup: Setup):
    chosen = Settings.from_environment({"IDENTTQUEUE_LABEL_SELECTOR": "team=a"}).selector
    operator = Operator(api, kube, selector=chosen)
    await operator.start()
    try:
        setup.fleet.create(0)
        setup.create({"maxReplicas": 4, "pollPeriodSeconds": 1})
        await setup.enqueue(2)
        api.change("taskqueues", setup.name, {"metadata": {"labels": {"team": "a"}}})
        await setup.replicas(2)
        api.change("taskqueues", setup.name, {"metadata": {"labels": {"team": "b"}}})
        await eventually(lambda: not list(operator.controller.snapshots()))
    finally:
        await operator.stop()
