"""How fast the number of replicas changes: steps by pods and percent, in periods that slide."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identtqueue_operator.model import Depth, Memory, Step
from identtqueue_operator.policy.decide import GRACE_SECONDS, choose, decide
from testing.taskqueues import deployment, observed, pod, spec, worker

PROPERTY = settings(deadline=None, max_examples=60)
LONGEST_SECONDS = 90
"""Of the periods in these tests."""
PERIODS = st.integers(1, LONGEST_SECONDS)
AT_ONCE = {"stabilizationSeconds": 0, "idleSeconds": 0}


def policy(kind, value, period=60):
    return {"type": kind, "value": value, "periodSeconds": period}


def policies(most):
    return st.lists(
        st.builds(policy, st.just("Pods"), st.integers(1, 20), PERIODS)
        | st.builds(policy, st.just("Percent"), st.integers(1, most), PERIODS),
        max_size=3,
    )


@st.composite
def rules(draw):
    """Both directions, without other limits."""
    select = st.sampled_from(["Max", "Min"])
    steps = st.sampled_from([{}, {"maxStep": 3}])
    up = {"policies": draw(policies(300)), "selectPolicy": draw(select)} | draw(steps)
    down = {"policies": draw(policies(100)), "selectPolicy": draw(select)} | draw(steps)
    return {
        "maxReplicas": 10_000,
        "concurrencyPerReplica": 1,
        "pollPeriodSeconds": draw(st.integers(1, 10)),
        "scaleUp": up,
        "scaleDown": down | AT_ONCE,
    }


class Play:
    """One TaskQueue whose wishes are carried out at once."""

    def __init__(self, scaling, current=0):
        self.spec = spec(scaling)
        self.at, self.current, self.memory = 1000.0, current, Memory()
        self.history = [(0.0, current)]

    def look(self, demand):
        there = deployment(self.current, existing=0)
        seen = observed(at=self.at, depth=Depth(queued=demand), workload=there)
        decision, self.memory = decide(self.spec, seen, self.memory)
        if decision.scale_to is not None:
            self.memory = self.memory.scaled(self.at, self.current, decision.scale_to)
            self.current = decision.scale_to
            self.history.append((self.at, self.current))
        return decision

    def number_at(self, at):
        """After all changes of that moment."""
        return [number for when, number in self.history if when <= at][-1]


def furthest(one, start, sign):
    share = math.ceil(start * one.value / 100) if one.type == "Percent" else one.value
    return start + sign * max(1, share)


def holds(play, before, change_at, sign):
    """Whether the last change is within all that the rules allow, by the numbers of the past."""
    scaling = play.spec.scaling
    side = scaling.scale_up if sign > 0 else scaling.scale_down
    allowed = [
        sign * furthest(each, play.number_at(change_at - each.period_seconds), sign)
        for each in side.policies
    ]
    # A period slides; where the number was moved the other way meanwhile, nothing is undone.
    bounds = [(max if side.select_policy == "Max" else min)(allowed)] if allowed else []
    if side.max_step is not None:
        start = play.number_at(change_at - scaling.poll_period_seconds)
        bounds.append(sign * start + side.max_step)
    return all(sign * play.current <= max(bound, sign * before) for bound in bounds)


@pytest.mark.slow
@PROPERTY
@given(
    rules(),
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 300), st.floats(0.05, 60)), min_size=1, max_size=40),
)
def test_no_change_goes_further_than_a_step(scaling, current, looks):
    play = Play(scaling, current)
    for demand, pause in looks:
        before = play.current
        play.look(demand)
        if play.current != before:
            assert holds(play, before, play.at, 1 if play.current > before else -1)
        # Twice within a second is kept as one, later than it was: never too much, so not looked at.
        play.at += max(pause, 1.0)


@pytest.mark.slow
@PROPERTY
@given(rules(), st.integers(0, 60), st.integers(0, 60))
def test_no_number_is_a_dead_end(scaling, current, demand):
    """Each longest period brings it at least one replica nearer, and it asks for that look."""
    play = Play(scaling, current)
    for _ in range(abs(current - demand) + 1):
        decision = play.look(demand)
        if play.current == demand:
            return
        assert decision.next_look_seconds is not None
        assert decision.next_look_seconds <= LONGEST_SECONDS + GRACE_SECONDS
        play.at += LONGEST_SECONDS
    pytest.fail(f"stuck at {play.current}")


@pytest.mark.slow
@PROPERTY
@given(
    rules(),
    st.lists(st.builds(Step, st.floats(900, 999), st.integers(-50, 50)), max_size=4),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_more_backlog_never_means_fewer_replicas(scaling, steps, current, demand, more):
    steps = tuple(sorted(steps))
    memory = Memory(steps=steps, scaled_at=steps[-1].at if steps else None)

    def found(queued):
        return choose(spec(scaling), observed(current, queued), memory, current)[0].replicas

    assert found(demand + more) >= found(demand)


# --- by example -----------------------------------------------------------------------------------


def up(**rules):
    return {"maxReplicas": 1000, "concurrencyPerReplica": 1, "scaleUp": rules}


def test_a_percentage_doubles_once_per_period():
    play = Play(up(policies=[policy("Percent", 100, 15)]))
    numbers = []
    for _ in range(5):
        play.look(100)
        numbers.append(play.current)
        play.at += 15
    assert numbers == [1, 2, 4, 8, 16]


def test_it_is_told_with_its_numbers():
    play = Play(up(policies=[policy("Pods", 4, 60), policy("Percent", 100, 60)]), 10)
    target = play.look(100).target
    assert (target.replicas, target.limited_by) == (20, ("ScaleUpPolicy",))
    assert target.message.endswith("; scaleUp.policies (100 % per 60 s) makes it 20")


def test_the_least_of_several_if_that_is_selected():
    play = Play(
        up(policies=[policy("Pods", 4), policy("Percent", 100)], selectPolicy="Min"),
        current=10,
    )
    assert play.look(100).target.replicas == 14


def test_max_step_holds_beside_policies():
    play = Play(up(maxStep=2, policies=[policy("Percent", 100)]), 10)
    assert play.look(100).target.limited_by == ("ScaleUpMaxStep",)
    assert play.current == 12


@pytest.mark.parametrize(("current", "percent", "number"), [(10, 25, 7), (3, 10, 2), (1, 1, 0)])
def test_a_share_is_rounded_up(current, percent, number):
    scaling = {"scaleDown": AT_ONCE | {"policies": [policy("Percent", percent)]}}
    assert Play(scaling, current).look(0).target.replicas == number


def test_workers_that_go_one_by_one_go_in_one_step():
    """Each lowering is a change; together they are the step that was decided on."""
    scaling = {"concurrencyPerReplica": 1, "scaleDown": AT_ONCE | {"maxStep": 4}}
    memory, current, at = Memory(), 10, 1000.0
    for busy in (4, 3, 1, 0):
        pods = tuple(pod(f"p{number}", draining_since=None) for number in range(current))
        workers = tuple(
            worker(each, in_flight=int(number < 2 + busy), draining_in=("mrz",) * (number < 6))
            for number, each in enumerate(pods)
        )
        seen = observed(current, in_flight=2, at=at, pods=pods, workers=workers)
        decision, memory = decide(spec(scaling), seen, memory)
        assert decision.target.replicas == 6
        lower = current - 1
        memory = memory.scaled(at, current, lower)
        current, at = lower, at + 0.5
    assert current == 6


def test_after_a_restart_a_period_counts_as_used_up():
    scaling = up(policies=[policy("Pods", 5, 60)]) | {"scaleDown": AT_ONCE}
    memory = Memory(scaled_at=970.0)
    held, _ = decide(spec(scaling), observed(4, 99, workload=deployment(4, existing=0)), memory)
    assert held.target.replicas == 4
    assert held.next_look_seconds == 1.0, "tasks wait"
    later = observed(4, 99, at=1030.0)
    assert choose(spec(scaling), later, memory, 4)[0].replicas == 9


def test_after_a_restart_growth_from_zero_does_not_wait():
    scaling = up(policies=[policy("Percent", 50, 60)])
    found = choose(spec(scaling), observed(0, 99), Memory(scaled_at=999.0), 0)[0]
    assert found.replicas == 1


def test_changes_are_kept_no_longer_than_a_limit_looks_at_them():
    play = Play(up(policies=[policy("Pods", 1, 30)]) | {"scaleDown": AT_ONCE})
    for second in range(300):
        play.at = 1000.0 + second
        play.look(0 if second % 2 else 500)
        assert len(play.memory.steps) <= 31
    play = Play({"concurrencyPerReplica": 1, "scaleDown": AT_ONCE})
    for second in range(9):
        play.at = 1000.0 + second
        play.look(second)
    assert len(play.memory.steps) <= 1, "without limits nothing is remembered"


def test_what_others_changed_counts_as_if_it_had_always_been_so():
    play = Play(up(policies=[policy("Pods", 2, 60)]), 4)
    play.look(9)
    assert play.current == 6
    play.current = 3  # by hand
    play.at += 5
    play.look(9)
    assert play.current == 3
    assert play.memory.hands.changes
    play.at += 56
    play.look(9)
    assert play.current == 5
