"""Others who change the number of replicas: told, corrected once, and not fought."""

from dataclasses import replace

import pytest

from identtqueue_operator.model import Depth, Hands, Memory
from identtqueue_operator.policy import foreign_changes as hands_module
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from identtqueue_operator.timings import Timings
from testing.operating import Setup
from testing.taskqueues import WORKLOAD, deployment, observed, spec
from testing.waiting import eventually

BUSY = Depth(queued=4, in_flight=4)


class Story:
    """Rounds of decisions, and what others do to the number in between."""

    def __init__(self, number: int = 4) -> None:
        self.at = 1000.0
        self.number = number
        self.memory = Memory()
        self.corrected: list[float] = []
        self.uid = "uid"
        self.spec = spec({"maxReplicas": 4, "concurrencyPerReplica": 1})
        self.look()

    def look(self, depth: Depth = BUSY, **more):
        there = replace(deployment(self.number, existing=0), uid=self.uid, replicas_by="argocd")
        seen = observed(at=self.at, depth=depth, workload=there, **more)
        decision, self.memory = decide(self.spec, seen, self.memory)
        if decision.scale_to is not None:
            self.number = decision.scale_to
            self.memory = self.memory.scaled(self.at, decision.current, self.number)
            self.corrected.append(self.at)
        return seen, decision


def test_a_first_change_is_corrected_at_once_and_told_once():
    story = Story()
    story.number = 0
    story.at += 1
    seen, decision = story.look()
    assert story.number == 4
    assert decision.hands.is_news
    told = render_status(Round(story.at, 1, WORKLOAD, seen=seen, decision=decision), {})
    (event,) = [e for e in told.events if e.reason == "ReplicasChangedByOthers"]
    assert event.type == "Warning"
    assert "argocd lowered the replicas from 4 to 0 while tasks ran" in event.message
    _, decision = story.look()
    assert not decision.hands.is_news


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 9])
def test_who_insists_is_not_fought(number):
    """In either direction: an hour of a tool that sets its number after each correction."""
    story = Story()
    for _ in range(3600):
        story.at += 1
        _, decision = story.look()
        if decision.current != number and decision.scale_to is None:
            story.number = number
    gaps = [b - a for a, b in zip(story.corrected, story.corrected[1:], strict=False)]
    assert 8 < len(story.corrected) < 25
    assert gaps[-1] >= hands_module.LONGEST_PAUSE_SECONDS
    assert "ReplicasChangedByOthers" in decision.target.limited_by or decision.current == 4


def test_after_half_an_hour_without_a_change_all_is_forgotten():
    story = Story()
    for _ in range(3):
        story.number = 0
        story.at += 20
        story.look()
    story.at += hands_module.REMEMBERED_SECONDS + 1
    story.look()
    story.number = 0
    story.at += 1
    story.look()
    assert story.number == 4, "at once, as the first time"


@pytest.mark.parametrize("how", ["paused", "conflict", "made anew", "a write without an answer"])
def test_what_is_no_change_by_others(how):
    story = Story()
    story.number = 2
    story.at += 1
    more = {}
    match how:
        case "paused":
            story.spec = replace_paused(story.spec)
        case "conflict":
            more = {"conflict": "an HPA scales it"}
        case "made anew":
            story.uid = "another"
        case _:
            story.memory = story.memory.may_have_scaled(2)
    _, decision = story.look(**more)
    assert decision.hands.changes == ()


def replace_paused(the_spec):
    return the_spec.model_copy(update={"paused": True})


def test_the_operators_own_numbers_are_its_own():
    story = Story(0)
    assert story.number == 4
    assert story.memory.hands == Hands("uid", frozenset({4}))
    story.look()
    assert story.memory.hands.changes == ()


@pytest.mark.parametrize("timings", [Timings(foreign_change_pause_seconds=3600.0)])
async def test_a_manifest_with_replicas_that_is_applied_again_and_again(operator, setup: Setup):
    setup.fleet.create(0)
    setup.create({"maxReplicas": 4})
    await setup.enqueue(6)
    await setup.replicas(4)
    await setup.fleet.settle()
    for worker in setup.fleet.workers.values():
        await worker.claim()
    apply = {"spec": {"replicas": 0}}
    setup.api.change("deployments", setup.name, apply, manager="kubectl-client-side-apply")
    message = await setup.told("ReplicasChangedByOthers")
    assert message.startswith(
        "kubectl-client-side-apply lowered the replicas from 4 to 0 while tasks ran"
    )
    await setup.replicas(4)
    await eventually(
        lambda: setup.condition("ReplicasChangedByOthers") == ("True", "AnotherHand"),
        lambda: setup.status,
    )
    setup.api.change("deployments", setup.name, apply, manager="kubectl-client-side-apply")
    await setup.reason("ReplicasChangedByOthers")
    for _ in range(3):
        await operator.looks()
    assert setup.fleet.replicas == 0, "the pause holds"
    assert setup.condition("Ready")[0] == "True"
