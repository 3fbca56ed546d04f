"""The number of replicas: properties over all inputs, and each rule by example."""

from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identtqueue_operator.model import Depth, Memory, Source, SourceTrouble, Traffic
from identtqueue_operator.policy.decide import choose, decide
from testing.taskqueues import (
    STRATEGY_EXAMPLES,
    deployment,
    observed,
    pod,
    spec,
    with_trigger,
    worker,
)

# A busy machine makes a single example slow, which says nothing.
PROPERTY = settings(deadline=None, max_examples=60)
COUNTS = st.integers(0, 5000)
REPLICAS = st.integers(0, 120)


TENTH = {"type": "Percent", "value": 10, "periodSeconds": 10}


@st.composite
def scalings(draw):
    low = draw(st.integers(0, 20))
    return {
        "minReplicas": low,
        "maxReplicas": draw(st.integers(max(low, 1), 100)),
        "concurrencyPerReplica": draw(st.integers(1, 20)),
        "strategy": draw(st.sampled_from(STRATEGY_EXAMPLES)),
        "activationThreshold": draw(st.integers(1, 10)),
        "tolerancePercent": draw(st.sampled_from([0, 0, 10, 50])),
        "pollPeriodSeconds": draw(st.integers(1, 10)),
        "scaleUp": draw(st.sampled_from([{}, {"maxStep": 4}, {"policies": [TENTH]}])),
        "scaleDown": {
            "stabilizationSeconds": draw(st.integers(0, 60)),
            "idleSeconds": draw(st.integers(0, 60)),
        }
        | draw(st.sampled_from([{}, {"maxStep": 2}, {"policies": [TENTH]}])),
    } | draw(st.sampled_from(SCHEDULES))


SCHEDULES = [
    {},
    {"schedules": [{"name": "now", "start": "* * * * *", "durationSeconds": 60, "minReplicas": 1}]},
]
TRAFFIC = st.builds(
    Traffic,
    at=st.just(990.0),
    enqueued_total=st.just(0),
    ended_total=st.just(0),
    run_ms_total=st.just(0),
    arrivals_per_second=st.floats(0, 500),
    service_seconds=st.none() | st.floats(0.001, 60),
)
MEMORIES = st.builds(
    Memory,
    wanted=st.lists(st.tuples(st.floats(900, 1000), st.integers(0, 100)), max_size=3).map(tuple),
    active_at=st.none() | st.floats(900, 1000),
    scaled_at=st.none() | st.floats(900, 1000),
    traffic=st.just({}) | st.fixed_dictionaries({"main": TRAFFIC}),
)


def target(the_spec, seen, memory=None):
    return choose(the_spec, seen, memory or Memory(), seen.workload.replicas)[0]


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS)
def test_a_change_stays_within_the_bounds(scaling, memory, current, queued, in_flight):
    the_spec = spec(scaling)
    found = target(the_spec, observed(current, queued, in_flight), memory).replicas
    low, high = the_spec.scaling.min_replicas, the_spec.scaling.max_replicas
    if found > current:
        assert found <= high
    if found < current:
        assert found >= low


@PROPERTY
@given(scalings(), REPLICAS, COUNTS, COUNTS)
def test_without_limits_on_speed_the_bounds_hold_at_once(scaling, current, queued, in_flight):
    scaling |= {"scaleUp": {}, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
    scaling |= {"activationThreshold": 1}
    the_spec = spec(scaling)
    found = target(the_spec, observed(current, queued, in_flight)).replicas
    assert the_spec.scaling.min_replicas <= found <= the_spec.scaling.max_replicas


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS, st.integers(1, 500))
def test_more_backlog_never_means_fewer_replicas(scaling, memory, current, queued, in_flight, more):
    the_spec = spec(scaling)
    less = target(the_spec, observed(current, queued, in_flight), memory).replicas
    assert target(the_spec, observed(current, queued + more, in_flight), memory).replicas >= less


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS, COUNTS, st.integers(1, 500))
def test_more_tasks_that_fall_due_soon_never_mean_fewer_replicas(
    scaling, memory, current, queued, in_flight, due, more
):
    def found(due_soon):
        depth = Depth(queued, in_flight, due_soon=due_soon, due_within_seconds=3)
        return target(spec(scaling), observed(current, depth=depth), memory)

    assert found(due + more).replicas >= found(due).replicas
    assert f"{due + more} due within 3 s" in found(due + more).message


@pytest.mark.slow
@PROPERTY
@given(scalings(), REPLICAS, COUNTS, COUNTS)
def test_constant_load_comes_to_rest(scaling, current, queued, in_flight):
    the_spec, memory, numbers = spec(scaling), Memory(), []
    for step in range(90):  # a step per longest poll period
        seen = observed(current, queued, in_flight, at=1000.0 + 10 * step)
        found, memory = choose(the_spec, seen, memory, current)
        if found.replicas != current:
            memory = memory.scaled(seen.at, current, found.replicas)
        current = found.replicas
        numbers.append(current)
    assert len(set(numbers[-20:])) == 1
    # On its way there it turns at most once: growing and shrinking do not take turns.
    moves = [b - a for a, b in pairwise(numbers) if a != b]
    assert sum((a > 0) != (b > 0) for a, b in pairwise(moves)) <= 1


@pytest.mark.slow
@PROPERTY
@given(
    scalings(),
    MEMORIES,
    REPLICAS,
    st.sampled_from(SourceTrouble),
    st.floats(0, 1000),
    st.sampled_from([{"policy": "Hold"}, {"policy": "Fixed", "replicas": 7}, {"policy": "Max"}]),
)
def test_missing_data_never_lowers(scaling, memory, current, trouble, outage, policy):
    source = Source(trouble, "no answer", outage_seconds=outage, trusted_seconds=0)
    seen = observed(current, depth=None, source=source)
    found = target(spec(scaling | {"onSourceError": policy}), seen, memory)
    assert found.replicas >= current
    assert found.limited_by == ("SourceError",)


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, st.sampled_from(SourceTrouble), st.integers(0, 6))
def test_missing_data_ends_and_stops_nobody(scaling, memory, current, trouble, pods):
    those = tuple(pod(f"p{number}") for number in range(pods))
    workers = tuple(worker(each, in_flight=0) for each in those)
    source = Source(trouble, "no answer", outage_seconds=99, trusted_seconds=0)
    seen = observed(current, depth=None, source=source, pods=those, workers=workers)
    decision, _ = decide(spec(scaling), seen, memory)
    assert decision.scale_to is None or decision.scale_to > current
    if current >= pods:
        assert decision.drain.victims == decision.drain.stop == ()
    assert not decision.evidence.leases_expired


@PROPERTY
@given(scalings(), MEMORIES, st.integers(1, 120), COUNTS, COUNTS)
def test_what_is_wanted_is_wanted_again(scaling, memory, current, queued, in_flight):
    """A fixed point in one step, where no limit on speed is in the way."""
    scaling |= {"scaleUp": {}, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
    the_spec = spec(scaling)
    first, memory = choose(the_spec, observed(current, queued, in_flight), memory, current)
    seen = observed(first.replicas, queued, in_flight)
    again = choose(the_spec, seen, memory, first.replicas)[0].replicas
    assert again == first.replicas or (first.replicas == 0 and queued)  # activation comes next


@pytest.mark.slow
@PROPERTY
@given(scalings(), st.integers(1, 120), st.integers(0, 200))
def test_left_alone_an_idle_fleet_goes_to_its_minimum(scaling, current, per_second):
    """By the looks that it asks for itself: nothing outside happens."""
    the_spec, at = spec(scaling | {"schedules": []}), 1000.0
    busy = Depth(queued=9, in_flight=9, enqueued_total=per_second, ended_total=1, run_ms_total=900)
    before = Traffic(at - 1, 0, 0, 0, arrivals_per_second=per_second, service_seconds=0.9)
    _, memory = choose(
        the_spec, observed(current, depth=busy), Memory(traffic={"main": before}), current
    )
    idle = replace(busy, queued=0, in_flight=0)
    for _ in range(1000):
        seen = observed(depth=idle, at=at, workload=deployment(current, existing=0))
        decision, memory = decide(the_spec, seen, memory)
        if decision.scale_to is not None:
            memory = memory.scaled(at, current, decision.scale_to)
            current = decision.scale_to
        elif decision.next_look_seconds is None:
            break
        at += max(decision.next_look_seconds or 0.05, 0.05)
    assert current == the_spec.scaling.min_replicas


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS)
def test_the_message_holds_the_inputs(scaling, memory, current, queued, in_flight):
    message = target(spec(scaling), observed(current, queued, in_flight), memory).message
    assert f"{queued} queued" in message
    assert f"{in_flight} in flight" in message


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS)
def test_each_clamp_that_held_back_is_named_and_explained(
    scaling, memory, current, queued, in_flight
):
    found = target(spec(scaling), observed(current, queued, in_flight), memory)
    assert len(found.message.split("; ")) == 1 + len(found.limited_by)
    assert len(set(found.limited_by)) == len(found.limited_by)


# --- pauses ---------------------------------------------------------------------------------------


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS, st.sampled_from([*SourceTrouble, None]))
def test_a_pause_in_one_direction_holds(scaling, memory, current, queued, in_flight, trouble):
    """Whatever asks for more or less: tasks, bounds, schedules, a policy for missing data."""
    scaling |= {"onSourceError": {"policy": "Max", "afterFailures": 1}}
    seen = observed(current, queued, in_flight)
    if trouble:
        seen = with_trigger(seen, depth=None, source=Source(trouble, "no answer", 99))

    def found(**more):
        sides = {
            side: scaling[side] | {"paused": side in more} for side in ("scaleUp", "scaleDown")
        }
        return target(spec(scaling | sides), seen, memory).replicas

    free = found()
    assert found(scaleUp=True) == min(free, current)
    assert found(scaleDown=True) == max(free, current)
    assert found(scaleUp=True, scaleDown=True) == current


@PROPERTY
@given(scalings(), MEMORIES, REPLICAS, COUNTS, COUNTS, REPLICAS, st.booleans())
def test_a_pause_at_a_number_goes_there_and_stays(
    scaling, memory, current, queued, in_flight, number, paused
):
    the_spec = spec(scaling, paused=paused, pausedReplicas=number)
    there = deployment(current, existing=0)
    seen = observed(current, queued, in_flight, workload=there)
    decision, memory = decide(the_spec, seen, memory)
    assert (decision.target.replicas, decision.target.reason) == (number, "PausedAtReplicas")
    assert decision.target.limited_by == ()
    later = observed(number, in_flight, queued, workload=deployment(number, existing=0))
    again, _ = decide(the_spec, later, memory.scaled(seen.at, current, number))
    assert (again.target.replicas, again.scale_to) == (number, None)


def test_a_pause_at_a_smaller_number_ends_nobody():
    pods = tuple(pod(f"p{number}") for number in range(3))
    workers = tuple(worker(each, in_flight=1) for each in pods)
    seen = observed(3, in_flight=3, pods=pods, workers=workers)
    decision, _ = decide(spec(pausedReplicas=1), seen, Memory())
    assert len(decision.drain.stop) == 2
    assert decision.scale_to is None
    blind = with_trigger(seen, depth=None, source=Source(SourceTrouble.UNREACHABLE, "no answer", 9))
    decision, _ = decide(spec(pausedReplicas=1), blind, Memory())
    assert (decision.target.replicas, decision.target.limited_by) == (3, ("SourceError",))
    assert "no data (no answer) makes it 3" in decision.target.message


def test_what_a_pause_is_called():
    def word(scaling=None, **more):
        return (spec(scaling, **more).pause or ("",))[0]

    up, down = {"scaleUp": {"paused": True}}, {"scaleDown": {"paused": True}}
    assert word() == ""
    assert word(paused=True) == "SpecPaused"
    assert word(pausedReplicas=0) == word(paused=True, pausedReplicas=3) == "PausedAtReplicas"
    assert (word(up), word(down), word(up | down)) == (
        *("ScaleUpPaused", "ScaleDownPaused", "ScalingPaused"),
    )


# --- tolerance, and the time after a TaskQueue was made ------------------------------------------


@PROPERTY
@given(scalings(), MEMORIES, st.integers(1, 120), st.integers(1, 50))
def test_a_tolerance_keeps_no_queue_with_tasks_at_zero_nor_an_idle_one_above(
    scaling, memory, tasks, percent
):
    scaling |= {"activationThreshold": 1, "minReplicas": 0, "tolerancePercent": percent}
    scaling |= {"schedules": [], "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
    the_spec = spec(scaling)
    fresh = replace(memory, steps=(), scaled_at=None)
    assert target(the_spec, observed(0, tasks), fresh).replicas > 0
    idle = replace(fresh, wanted=(), traffic={})
    assert target(the_spec, observed(1), idle).replicas == 0


@pytest.mark.parametrize(
    ("queued", "replicas"), [(88, 9), (90, 10), (100, 10), (110, 10), (111, 12)]
)
def test_a_tolerance_keeps_the_number_while_it_is_nearly_right(queued, replicas):
    rules = {"maxReplicas": 50, "tolerancePercent": 10, "concurrencyPerReplica": 10}
    rules |= {"scaleDown": {"stabilizationSeconds": 0}}
    found = target(spec(rules), observed(10, queued))
    assert found.replicas == replicas
    assert ("Tolerance" in found.limited_by) == (queued in (90, 110))


def test_a_tolerance_is_told():
    rules = {"maxReplicas": 50, "tolerancePercent": 10, "concurrencyPerReplica": 10}
    found = target(spec(rules), observed(10, 101))
    assert found.message == (
        "ceil((101 queued + 0 in flight) / 10 per replica) = 11; "
        "tolerancePercent 10 (10.10 replicas are needed) makes it 10"
    )


def test_a_young_taskqueue_keeps_its_workers():
    rules = {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}
    rules["scaleDown"]["initialCooldownSeconds"] = 300
    young = Memory(created_at=900.0)
    seen = observed(3, workload=deployment(3, existing=0))
    decision, _ = decide(spec(rules), seen, young)
    assert (decision.target.replicas, decision.target.limited_by) == (3, ("InitialCooldown",))
    assert "initialCooldownSeconds (100 of 300 s since" in decision.target.message
    assert decision.next_look_seconds == pytest.approx(200.05)
    assert target(spec(rules), observed(3, at=1200.0), young).replicas == 0
    assert target(spec(rules), observed(3, queued=40), young).replicas == 4, "it may grow"


# --- by example -----------------------------------------------------------------------------------


def test_from_zero_to_many_in_one_step():
    the_spec = spec({"maxReplicas": 20, "concurrencyPerReplica": 10})
    assert target(the_spec, observed(0, queued=200)).replicas == 20


def test_tasks_of_a_paused_queue_need_no_worker():
    depth = Depth(queued=10, paused=10)
    found = target(spec(), observed(0, depth=depth))
    assert found.replicas == 0
    assert "10 more wait in a paused queue" in found.message


@pytest.mark.parametrize(
    ("scaling", "current", "queued", "replicas", "limited_by"),
    [
        ({"activationThreshold": 5}, 0, 4, 0, "ActivationThreshold"),
        ({"activationThreshold": 5}, 0, 5, 1, ""),
        ({"activationThreshold": 5}, 1, 4, 1, ""),
        ({"minReplicas": 2}, 1, 0, 2, "MinReplicas"),
        ({"maxReplicas": 3}, 1, 99, 3, "MaxReplicas"),
        ({"scaleUp": {"maxStep": 2}}, 1, 99, 3, "ScaleUpMaxStep"),
        ({"scaleDown": {"stabilizationSeconds": 9}}, 4, 1, 4, "StabilizationWindow"),
        ({"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 9}}, 4, 0, 1, "IdleSeconds"),
        ({"scaleDown": {"stabilizationSeconds": 0, "maxStep": 1}}, 4, 1, 3, "ScaleDownMaxStep"),
    ],
)
def test_each_limit(scaling, current, queued, replicas, limited_by):
    the_spec = spec(scaling)
    memory = Memory(wanted=((995.0, current),), active_at=995.0, scaled_at=900.0)
    found = target(the_spec, observed(current, queued), memory)
    assert found.replicas == replicas
    assert limited_by in found.limited_by or not limited_by


def test_a_step_is_taken_once_per_poll_period():
    the_spec = spec({"scaleUp": {"maxStep": 2}, "pollPeriodSeconds": 5})
    just_scaled = Memory(scaled_at=998.0)
    assert target(the_spec, observed(3, queued=99), just_scaled).replicas == 3
    assert target(the_spec, observed(3, queued=99, at=1003.1), just_scaled).replicas == 5


def test_idle_long_enough_goes_to_zero():
    the_spec = spec({"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 30}})
    memory = Memory(wanted=((900.0, 0),), active_at=970.0)
    assert target(the_spec, observed(1), memory).replicas == 0
    assert target(the_spec, observed(1, at=999.9), memory).replicas == 1


def test_above_the_maximum_shrinks():
    the_spec = spec({"maxReplicas": 3, "scaleDown": {"stabilizationSeconds": 0}})
    found = target(the_spec, observed(9, queued=99))
    assert (found.replicas, found.reason) == (3, "AboveMaximum")


def test_paused_and_contested_keep_their_replicas():
    assert target(spec(paused=True), observed(3, queued=99)).reason == "Paused"
    assert target(spec(paused=True), observed(3, queued=99)).replicas == 3
    contested = observed(3, queued=99, conflict="HorizontalPodAutoscaler x scales it too")
    assert target(spec(), contested).reason == "Conflicting"
    assert target(spec(), contested).replicas == 3


def test_source_error_policies_wait_for_their_turn():
    the_spec = spec(
        {"onSourceError": {"policy": "Max", "afterFailures": 3}, "pollPeriodSeconds": 5}
    )

    def after(seconds):
        source = Source(SourceTrouble.UNREACHABLE, "x", seconds, trusted_seconds=0)
        return target(the_spec, observed(1, depth=None, source=source)).replicas

    assert after(14.9) == 1
    assert after(15) == 10


def test_a_restarted_operator_does_not_shrink_at_once():
    the_spec = spec({"scaleDown": {"stabilizationSeconds": 30, "idleSeconds": 30}})
    decision, _ = decide(the_spec, observed(5), Memory())
    assert decision.target.replicas == 5
    assert decision.target.limited_by == ("StabilizationWindow",)


def test_a_missing_deployment_is_decided_on_without_one():
    decision, _ = decide(spec(), observed(workload=None), Memory())
    assert decision.target.reason == "WorkloadMissing"
    assert decision.scale_to is None
    assert decision.next_look_seconds == 5


# --- scheduled tasks ------------------------------------------------------------------------------


def test_what_falls_due_before_a_pod_would_be_ready_counts_now():
    depth = Depth(queued=3, in_flight=1, due_soon=12, due_within_seconds=7.2)
    found = target(spec({"concurrencyPerReplica": 4}), observed(1, depth=depth))
    assert found.replicas == 4
    assert found.message == "ceil((3 queued + 12 due within 8 s + 1 in flight) / 4 per replica) = 4"


def test_from_zero_for_a_scheduled_task_and_not_to_zero_just_before_it():
    depth = Depth(scheduled=1, due_soon=1, due_within_seconds=5)
    found = target(spec(), observed(0, depth=depth))
    assert (found.replicas, found.reason) == (1, "BacklogAboveTarget")
    idle = spec({"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}})
    assert target(idle, observed(1, depth=depth), Memory(active_at=0.0)).replicas == 1


def test_a_threshold_counts_what_falls_due_soon():
    depth = Depth(queued=1, due_soon=2, due_within_seconds=5)
    assert target(spec({"activationThreshold": 3}), observed(0, depth=depth)).replicas == 1
    assert target(spec({"activationThreshold": 4}), observed(0, depth=depth)).replicas == 0


def test_the_next_look_is_a_pods_start_ahead_of_the_next_scheduled_task():
    depth = Depth(scheduled=1, next_due_seconds=60.0, due_within_seconds=8.0)
    look = decide(spec(), observed(0, depth=depth), Memory())[0].next_look_seconds
    assert look == pytest.approx(52.05)


# --- schedules ------------------------------------------------------------------------------------

OFFICE = {
    "name": "office-hours",
    "timeZone": "Europe/Berlin",
    "start": "0 8 * * 1-5",
    "end": "0 18 * * 1-5",
    "minReplicas": 4,
}


def moment(text):
    return datetime.fromisoformat(text).timestamp()


def test_a_schedule_raises_the_minimum_while_it_is_in_force():
    the_spec = spec({"schedules": [OFFICE]})
    found = target(the_spec, observed(0, at=moment("2026-01-05T08:00+01:00")))
    assert (found.replicas, found.limited_by) == (4, ("Schedule",))
    assert found.message.endswith("; schedule office-hours until 2026-01-05T17:00:00Z makes it 4")
    assert target(the_spec, observed(0, at=moment("2026-01-05T07:59+01:00"))).replicas == 0
    assert target(the_spec, observed(0, at=moment("2026-01-10T12:00+01:00"))).replicas == 0


def test_more_work_than_the_schedule_asks_for_is_served():
    the_spec = spec({"schedules": [OFFICE], "concurrencyPerReplica": 1})
    found = target(the_spec, observed(4, 9, at=moment("2026-01-05T12:00+01:00")))
    assert (found.replicas, found.limited_by) == (9, ())


def test_a_schedule_below_min_replicas_changes_nothing():
    the_spec = spec({"schedules": [OFFICE], "minReplicas": 5})
    found = target(the_spec, observed(0, at=moment("2026-01-05T12:00+01:00")))
    assert (found.replicas, found.limited_by) == (5, ("MinReplicas",))


def test_a_schedule_holds_without_data_too():
    seen = observed(
        *(1, 0, 0, moment("2026-01-05T12:00+01:00")),
        depth=None,
        source=Source(SourceTrouble.UNREACHABLE, "no answer", trusted_seconds=0),
    )
    assert target(spec({"schedules": [OFFICE]}), seen).replicas == 4


def test_the_next_look_is_at_the_next_boundary():
    the_spec = spec({"schedules": [OFFICE]})
    for at, wait in (("2026-01-05T07:00", 3600), ("2026-01-05T17:30", 1800)):
        seen = observed(4, at=moment(f"{at}+01:00"))
        memory = Memory(wanted=((0.0, 0),), active_at=0.0)
        assert decide(the_spec, seen, memory)[0].next_look_seconds <= wait + 0.05
    seen = observed(4, 0, 0, moment("2026-01-09T17:00+01:00"))
    look = decide(the_spec, seen, Memory(wanted=((0.0, 0),)))[0].next_look_seconds
    assert look == pytest.approx(3600.05)


# --- when to look again ---------------------------------------------------------------------------


def test_work_is_looked_at_every_second_and_rest_is_not():
    assert decide(spec(), observed(1, queued=1), Memory())[0].next_look_seconds == 1
    idle = observed(0, workload=deployment(0))
    assert decide(spec(), idle, Memory(wanted=((0.0, 0),)))[0].next_look_seconds is None


@pytest.mark.parametrize(
    ("rules", "memory", "seconds"),
    [
        (
            {"stabilizationSeconds": 30, "idleSeconds": 0},
            Memory(wanted=((990.0, 4), (999.0, 2)), active_at=999.0),
            20,
        ),
        ({"stabilizationSeconds": 0, "idleSeconds": 50}, Memory(active_at=960.0), 10),
        (
            {"stabilizationSeconds": 0, "idleSeconds": 0, "maxStep": 1},
            Memory(active_at=0.0, scaled_at=998.0),
            3,
        ),
    ],
)
def test_a_limit_that_ends_by_itself_is_looked_at_when_it_ends(rules, memory, seconds):
    current = 4 if rules["idleSeconds"] == 0 else 1
    seen = observed(current, workload=deployment(current, existing=0))
    decision, _ = decide(spec({"scaleDown": rules}), seen, memory)
    assert decision.target.replicas == current
    assert decision.next_look_seconds == pytest.approx(seconds + 0.05)


def test_a_scheduled_task_is_looked_at_when_it_falls_due():
    seen = observed(0, depth=Depth(scheduled=1, next_due_seconds=0.4))
    assert decide(spec(), seen, Memory())[0].next_look_seconds == pytest.approx(0.45)


# --- what a look costs ----------------------------------------------------------------------------


def test_a_look_passes_over_the_workers_a_few_times_not_once_per_pod():
    passes = 0

    class Counted(tuple):
        __slots__ = ()

        def __iter__(self):
            nonlocal passes
            passes += 1
            return super().__iter__()

    pods = tuple(pod(f"p{number}") for number in range(50))
    workers = Counted(worker(each, in_flight=1) for each in pods)
    seen = observed(50, queued=9, in_flight=50, pods=pods, workers=workers)
    decide(spec({"maxReplicas": 100, "concurrencyPerReplica": 4}), seen, Memory())
    assert 0 < passes < 10


# --- limits of jobs ---


def test_no_replica_is_wanted_for_tasks_that_may_not_start() -> None:
    depth = Depth(queued=1000, held=996, in_flight=4, workers=4)
    target, _ = choose(
        spec(scaling={"maxReplicas": 50, "concurrencyPerReplica": 1}),
        observed(depth=depth),
        Memory(),
        4,
    )
    assert target.replicas == 8
    assert "4 queued (996 more are held by limits or pauses) + 4 in flight" in target.message


@pytest.mark.parametrize(("next_held", "replicas"), [(0.1, 1), (59.0, 1), (61.0, 0), (None, 0)])
def test_a_steady_trickle_under_a_rate_limit_keeps_one_replica(
    next_held: float | None, replicas: int
) -> None:
    """Each look falls between two starts; a rest that is longer than idleSeconds is a rest."""
    scaling = {"scaleDown": {"idleSeconds": 60, "stabilizationSeconds": 0}}
    memory = Memory(wanted=((0.0, 0),), active_at=0.0)
    seen = observed(
        depth=Depth(queued=100, held=100, next_held_seconds=next_held),
        workload=deployment(replicas=1),
    )
    decision, memory = decide(spec(scaling=scaling), seen, memory)
    assert decision.target.replicas == replicas
    assert (memory.active_at == seen.at) == bool(replicas)


def test_at_zero_the_operator_looks_when_a_rate_limit_lets_a_task_start() -> None:
    depth = Depth(queued=5, held=5, next_held_seconds=7.0)
    none = deployment(replicas=0)
    decision, _ = decide(spec(), observed(depth=depth, workload=none), Memory())
    assert decision.target.replicas == 0
    assert decision.next_look_seconds == pytest.approx(7.0, abs=0.5)
    due = replace(depth, held=4, next_held_seconds=0.0)
    decision, _ = decide(spec(), observed(depth=due, workload=none), Memory())
    assert decision.scale_to == 1


# --- a rollout ---


def test_a_rollout_holds_shrinking_back_and_not_growth():
    rules = {"maxReplicas": 20, "concurrencyPerReplica": 1}
    the_spec = spec(rules | {"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}})
    rolling = replace(deployment(4, existing=5), updated=2)
    pods = tuple(pod(f"p{i}") for i in range(5))
    workers = tuple(worker(each, in_flight=1) for each in pods)
    seen = observed(4, in_flight=2, workload=rolling, pods=pods, workers=workers)
    held = target(the_spec, seen)
    assert (held.replicas, held.limited_by) == (4, ("Rollout",))
    assert "a rollout under way (2 of 5 pods are new) makes it 4" in held.message
    assert target(the_spec, with_trigger(seen, depth=Depth(queued=6, in_flight=2))).replicas == 8
