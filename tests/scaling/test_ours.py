"""The operator's own `decide` under simulated load: no flapping, nobody killed, at rest at last."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from benchmarks.scaling import arrivals, ours, service
from benchmarks.scaling.engine import Events
from benchmarks.scaling.fleet import Fleet, Pods
from benchmarks.scaling.measure import Outcome, quantile, run
from benchmarks.scaling.scalers import CONTENDERS, Contender
from benchmarks.scaling.scenarios import LONG_WORKER, Scenario
from identtqueue_operator.policy.decide import GRACE_SECONDS, HOT_SECONDS

STRATEGIES = {
    "Backlog": {},
    "WaitTime": {"strategy": {"type": "WaitTime", "waitTime": {"targetSeconds": 10}}},
}
BY_NAME = {contender.name: contender for contender in CONTENDERS}
PODS = Pods(concurrency=4, start=service.constant(4.0))


def play(moments, durations, until=1e5, pods=PODS, **scaling):
    scaling = {"maxReplicas": 50, "concurrencyPerReplica": pods.concurrency} | scaling
    those = Fleet(Events(), Random(1), moments, durations, pods)
    scaler = ours.OurScaler(those, ours.spec(**scaling))
    those.events.run(until, lambda: those.over)
    return those, scaler


def turns(changes):
    moves = [after > before for (_, before), (_, after) in pairwise(changes)]
    return sum(a != b for a, b in pairwise(moves))


def test_the_first_task_is_one_write_as_soon_as_the_doorbell_is_heard():
    those, _ = play([100.0] * 20, [1.0] * 20)
    assert those.changes[1] == (pytest.approx(100.02), 5)


def test_it_goes_to_zero_idle_seconds_after_the_last_task():
    rules = {"stabilizationSeconds": 0, "idleSeconds": 2}
    those, _ = play([100.0] * 20, [1.0] * 20, scaleDown=rules)
    assert those.over
    # Idle since the last look that saw a task, so up to a look earlier than since its end.
    assert 2.0 - HOT_SECONDS <= those.changes[-1][0] - those.last_end <= 2.0 + 2 * GRACE_SECONDS


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_even_load_comes_to_rest(strategy):
    """A task every 0.1 s that takes 1.9 s: five replicas of four, and then not another change."""
    moments = [0.1 * number for number in range(6_000)]
    those, _ = play(moments, [1.9] * len(moments), until=599.0, **STRATEGIES[strategy])
    assert [change for change in those.changes if change[0] > 200] == []
    assert those.replicas == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("window", [20, 60])
def test_a_random_load_of_constant_rate_turns_no_more_than_once_per_window(strategy, window):
    rng, seconds = Random(window), 600.0
    moments = arrivals.constant(rng, 10, seconds)
    durations = [service.exponential(2.0)(rng) for _ in moments]
    rules = {"stabilizationSeconds": window, "idleSeconds": 60}
    those, _ = play(moments, durations, seconds, scaleDown=rules, **STRATEGIES[strategy])
    # Each turn downwards needs a whole window without a wish for more.
    assert turns(those.changes) <= 2 * seconds / window


@pytest.mark.parametrize("name", ["Backlog", "Backlog, tuned", "WaitTime"])
def test_long_tasks_in_bursts_are_never_killed(name):
    load = Scenario(
        "long tasks", "", lambda rng: arrivals.bursty(rng, 1, 0, 600, 60, 60),
        service.lognormal(60.0, 0.5), LONG_WORKER, 100, 600.0,
    )  # fmt: skip
    outcome = run(load, BY_NAME[name], 5)
    assert (outcome.kills, outcome.unfinished) == (0, 0)
    assert outcome.done == outcome.tasks > 100


def test_percent_steps_double_the_fleet_and_halve_it():
    """At most twice as many per 15 s, at most a half less per 30 s, as in an HPA's behavior."""
    up = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    down = {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}]}
    rest = {"stabilizationSeconds": 0, "idleSeconds": 0}
    moments = [0.1 * number for number in range(2_000)]
    those, _ = play(moments, [9.5] * len(moments), scaleUp=up, scaleDown=down | rest)
    assert those.over
    assert those.kills == 0
    assert max(number for _, number in those.changes) > 16

    def at(moment):
        return [0, *(number for when, number in those.changes if when <= moment)][-1]

    for (_, before), (when, after) in pairwise(those.changes):
        start = at(when - 15 if after > before else when - 30)
        if after > before:
            assert after <= max(2 * start, start + 1)
        else:
            assert after >= start // 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_tolerance_calms_a_random_load(strategy):
    def changes(percent):
        rng = Random(4)
        moments = arrivals.constant(rng, 40, 600.0)
        durations = [service.exponential(2.0)(rng) for _ in moments]
        rules = {"stabilizationSeconds": 0, "idleSeconds": 60}
        those, _ = play(
            moments, durations, 600.0,
            scaleDown=rules, tolerancePercent=percent, **STRATEGIES[strategy],
        )  # fmt: skip
        assert those.waiting < 200, "it keeps pace"
        return len(those.changes)

    assert changes(20) < changes(0) / 2


def burst(startup):
    """A burst of 600 tasks of 2 s, after enough of them to know how long they take."""

    def moments(rng):
        return sorted([*arrivals.constant(rng, 1, 300), *arrivals.at_once(600, 310.0)])

    pods = replace(PODS, start=service.constant(startup))
    return Scenario("burst", "", moments, service.constant(2.0), pods, 400, 320.0)


@pytest.mark.parametrize("startup", [0.5, 4.0])
def test_wait_time_orders_a_burst_once(startup):
    rest = {"scaleDown": {"stabilizationSeconds": 10, "idleSeconds": 5}}

    def make(fleet, *_):
        spec = ours.spec(maxReplicas=400, concurrencyPerReplica=4, **STRATEGIES["WaitTime"], **rest)
        return ours.OurScaler(fleet, spec)

    outcome = run(burst(startup), Contender("WaitTime", make, ""), 1)
    # 600 x 2 s within 10 s less a start-up (measured in whole seconds), 4 at once; and what the
    # burst does to the arrival rate: 600 / 30 s x 2 s.
    assert outcome.peak <= 600 * 2 / max(10 - startup - 2, 5) / 4 + 600 / 30 * 2 / 4 + 2
    assert quantile(sorted(outcome.waits), 0.99) < 11


def test_a_run_is_repeatable_and_the_same_tasks_go_to_every_scaler():
    first, again = (run(burst(4.0), BY_NAME["Backlog"], 3) for _ in range(2))
    other = run(burst(4.0), BY_NAME["KEDA, tuned"], 3)
    assert first == again
    assert (other.tasks, other.work_seconds) == (first.tasks, first.work_seconds)


def test_outcomes_add_up():
    total = Outcome()
    for seed in (1, 2):
        total.add(Outcome(runs=1, waits=[float(seed)], tasks=1, peak=seed, to_zero=[1.0]))
    assert (total.runs, total.waits, total.tasks, total.peak) == (2, [1.0, 2.0], 2, 2)
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.25, 0.5, 0.99)] == [1, 2, 4]
