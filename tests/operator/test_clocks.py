"""A clock that is set, forward or back, changes nothing but what is due by the clock."""

from dataclasses import replace

import pytest

from identtqueue_operator.model import Depth, Memory
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.policy.drain import VICTIM_COST, drains_since
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from identtqueue_operator.times import rfc3339
from identtqueue_operator.timings import Timings
from testing.taskqueues import WORKLOAD, observed, pod, spec, with_trigger, worker
from testing.waiting import eventually

HOUR = 3600.0
SHIFTS = pytest.mark.parametrize("shift", [-HOUR, HOUR], ids=["an hour back", "an hour ahead"])
RULES = {
    "maxReplicas": 20,
    "concurrencyPerReplica": 1,
    "scaleDown": {"stabilizationSeconds": 60, "idleSeconds": 60},
}


def seconds_until_it_shrinks(shift: float) -> float:
    """An idle fleet of ten, whose operator's clock is set after 30 s."""
    pods = tuple(pod(f"p{number}") for number in range(10))
    workers = tuple(worker(each) for each in pods)
    busy = observed(10, in_flight=10, at=100_000.0, pods=pods, workers=workers)
    _, memory = decide(spec(RULES), replace(busy, steady_at=500.0), Memory())
    for second in range(0, 7_300, 5):
        wall = 100_000.0 + second + (shift if second >= 30 else 0.0)
        idle = with_trigger(busy, depth=Depth())
        seen = replace(idle, at=wall, steady_at=500.0 + second)
        decision, memory = decide(spec(RULES), seen, memory)
        if decision.target.replicas < 10:
            return second
    return float("inf")


@SHIFTS
def test_shrinking_takes_as_long_as_ever(shift):
    assert seconds_until_it_shrinks(shift) == seconds_until_it_shrinks(0.0) == 60


@SHIFTS
def test_a_drain_lasts_as_long_as_ever(shift):
    going = pod("p", deletion_cost=VICTIM_COST, draining_since=99_990.0)
    seen = observed(1, at=100_000.0, steady_at=500.0, pods=(going,))
    since = drains_since({}, seen)
    assert since == {going.uid: 490.0}
    later = replace(seen, at=100_020.0 + shift, steady_at=520.0)
    assert drains_since(since, later) == since
    assert drains_since(since, replace(later, pods=())) == {}


def test_the_mark_of_an_operator_whose_clock_was_ahead_counts_from_the_first_look():
    going = pod("p", deletion_cost=VICTIM_COST, draining_since=100_000.0 + HOUR)
    seen = observed(1, at=100_000.0, steady_at=500.0, pods=(going,))
    assert drains_since({}, seen) == {going.uid: 500.0}


@SHIFTS
def test_that_nobody_works_stays_told(shift):
    waits = pod("p", ready=False, created_at=0.0, containers=(), unschedulable="no node")
    seen = observed(1, queued=3, at=100_000.0, pods=(waits,))
    status, memory = {}, Memory()
    for at in (0.0, 30.0, 70.0, 75.0 + shift):
        now = replace(seen, at=100_000.0 + at, steady_at=500.0 + at)
        decision, memory = decide(spec(RULES), now, memory)
        status = render_status(
            Round(now.at, 1, WORKLOAD, seen=now, decision=decision), status
        ).status
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodsUnschedulable")


@pytest.mark.slow
@SHIFTS
async def test_an_operator_whose_clock_was_set_shrinks_in_time(operator, setup, shift):
    """Times that another operator wrote into the status may lie in the future."""
    await operator.stop()
    wall = operator.clock
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 2}})
    times = {"lastActiveTime": rfc3339(wall()), "lastScaleTime": rfc3339(wall())}
    setup.api.change("taskqueues", setup.name, {"status": times})
    operator.clock = lambda: wall() + shift
    await operator.start()
    await setup.replicas(0)


@pytest.mark.parametrize("timings", [Timings(numbers_seconds=0.5)])
async def test_numbers_are_written_in_time_by_a_clock_that_was_set_back(operator, setup):
    await operator.stop()
    wall, shift = operator.clock, 0.0
    operator.clock = lambda: wall() + shift
    await operator.start()
    setup.fleet.create(1)
    await setup.fleet.settle()
    await setup.enqueue(3)
    setup.create({"maxReplicas": 1})
    await eventually(lambda: (setup.status.get("tasks") or {}).get("queued") == 3)
    shift = -HOUR
    await setup.enqueue(4)
    await eventually(lambda: setup.status["tasks"]["queued"] == 7)
