"""The simulated queue and its pods: nothing gets lost in them, and queueing theory holds."""

import math
import statistics
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scaling import arrivals, service
from benchmarks.scaling.engine import Events
from benchmarks.scaling.fleet import Fleet, Pods

STEADY = Pods(concurrency=4, start=service.constant(3.0))


def fleet(moments, durations, pods=STEADY, replicas=0, seed=1):
    return Fleet(Events(), Random(seed), moments, durations, pods, replicas)


# --- events ---


def test_events_come_in_order_and_those_of_one_moment_as_they_were_planned():
    events, seen = Events(), []
    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "never")):
        events.at(when, seen.append, name)
    events.run(until=5.0)
    assert (seen, events.now, events.handled) == (["a", "b", "c"], 2.0, 3)


def test_what_is_planned_for_the_past_happens_now():
    events, moments = Events(), []
    events.at(3.0, lambda: events.at(1.0, lambda: moments.append(events.now)))
    events.run(until=10.0)
    assert moments == [3.0]


# --- conservation ---


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0, 100), max_size=40).map(sorted),
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 6)), max_size=8),
    st.sampled_from(["lost", "rerun"]),
    st.floats(0, 40),
    st.integers(0, 2**16),
)
def test_every_task_that_came_is_somewhere(moments, orders, killed, grace, seed):
    rng = Random(seed)
    pods = Pods(3, service.exponential(5.0), grace_seconds=grace, killed=killed)
    those = fleet(moments, [rng.expovariate(0.05) for _ in moments], pods, replicas=1, seed=seed)
    for when, replicas in orders:
        those.events.at(when, those.scale, replicas)

    def balanced():
        came, accounted = those.balance()
        assert came == accounted
        assert those.in_flight == sum(len(pod.running) for pod in those.pods.values())
        assert all(len(pod.running) + pod.room == 3 for pod in those.pods.values())
        return False

    those.events.run(1000.0, balanced)
    assert those.arrived == len(moments)
    assert sum(not pod.deleting for pod in those.pods.values()) == those.replicas
    assert those.lost == (those.kills if killed == "lost" else 0)
    if those.replicas:
        assert those.done + those.lost == len(moments)


def test_pod_seconds_are_paid_from_creation_to_the_end():
    those = fleet([10.0], [5.0])
    those.events.at(10.0, those.scale, 2)
    those.events.at(20.0, those.scale, 0)
    those.events.run(100.0)
    those.close()
    assert those.first_start == [pytest.approx(13.05)]
    assert those.pod_seconds == pytest.approx(2 * 10)
    assert those.over


def test_a_pod_without_grace_kills_its_task_and_one_with_grace_ends_it():
    for grace, done in ((0.0, 0), (30.0, 1)):
        pods = Pods(1, service.constant(1.0), grace_seconds=grace, killed="lost")
        those = fleet([0.0], [20.0], pods, replicas=1)
        those.events.at(5.0, those.scale, 0)
        those.events.run(100.0)
        assert (those.done, those.lost, those.kills) == (done, 1 - done, 1 - done)
        assert those.over


def test_a_killed_task_runs_again_from_its_beginning():
    pods = Pods(1, service.constant(1.0), grace_seconds=0.0)
    those = fleet([0.0], [20.0], pods, replicas=1)
    those.events.at(5.0, those.scale, 0)
    those.events.at(50.0, those.scale, 1)
    those.events.run(1000.0)
    assert (those.done, those.kills) == (1, 1)
    assert those.wasted_seconds == pytest.approx(5.05)
    assert those.last_end == pytest.approx(50.05 + 1 + 20)


def test_the_replicaset_takes_what_is_not_ready_then_low_costs_then_the_young():
    those = fleet([], [], replicas=3)
    those.events.at(100.0, those.scale, 5)
    those.events.run(101.0)  # two are starting
    first = those.pods[1]
    those.drain(first, -5)
    those.scale(4)
    those.events.run(101.5)
    assert [number for number in those.pods if number <= 3] == [1, 2, 3]
    those.events.run(200.0)
    those.scale(3)
    those.events.run(201.0)
    assert 1 not in those.pods
    young = max(those.pods)
    those.scale(2)
    those.events.run(202.0)
    assert young not in those.pods


def test_arrivals_and_durations_belong_together():
    with pytest.raises(ValueError, match="2 arrivals, but 1 durations"):
        fleet([0.0, 1.0], [1.0])


# --- queueing theory ---


def erlang_c(servers: int, load: float) -> float:
    """The probability that a task waits in M/M/c (Kleinrock, "Queueing Systems" I, 3.5)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("servers", "load"), [(4, 3.0), (8, 6.8)])
def test_a_fixed_fleet_is_an_m_m_c_queue(servers, load):
    """Mean wait and share of tasks that wait, by independent runs.

    The tolerance is four standard errors of the mean over the runs: it follows from their number,
    and must be small against the value for the test to say anything.
    """
    runs, tasks, begin = 24, 4000, 500
    waits, shares = [], []
    for seed in range(runs):
        rng = Random(f"{servers} {seed}")
        moments = arrivals.constant(rng, load, (tasks + begin) / load)
        durations = [rng.expovariate(1.0) for _ in moments]
        those = fleet(moments, durations, STEADY, replicas=servers // 4)
        those.events.run(1e6)
        found = [start - came for start, came in zip(those.first_start, moments, strict=True)]
        waits.append(statistics.fmean(found[begin:]))
        shares.append(sum(wait > 0 for wait in found[begin:]) / len(found[begin:]))
    chance = erlang_c(servers, load)
    for values, theory in ((shares, chance), (waits, chance / (servers - load))):
        error = statistics.stdev(values) / math.sqrt(runs)
        assert abs(statistics.fmean(values) - theory) < 4 * error
        assert 4 * error < 0.25 * theory
