"""KEDA and the HPA as they are documented, and the model's figures beside measured ones."""

from random import Random

import pytest

from benchmarks.scaling import service
from benchmarks.scaling.engine import Events
from benchmarks.scaling.fleet import Fleet, Pods
from benchmarks.scaling.keda import (
    TUNED,
    Behavior,
    Hpa,
    KedaScaler,
    Policy,
    ScaledObject,
)
from benchmarks.scaling.validation import CHECKS, find

FREE = Behavior(up=(Policy("Pods", 1000),), down_window_seconds=0.0)


def growth(settings, metric=100, syncs=6):
    """Numbers after each sync, from one replica on."""
    hpa, current, found = Hpa(settings), 1, []
    for sync in range(syncs):
        current = hpa.desired(current, metric, 15.0 * sync)
        found.append(current)
    return found


@pytest.mark.parametrize(("metric", "wanted"), [(54, 10), (56, 12), (46, 10), (44, 9)])
def test_an_average_value_is_left_alone_within_the_tolerance(metric, wanted):
    assert Hpa(ScaledObject(behavior=FREE)).desired(10, metric, 0.0) == wanted


def test_without_behavior_it_doubles_from_four_on():
    assert growth(ScaledObject(max_replicas=20)) == [4, 8, 16, 20, 20, 20]


def test_the_default_behavior_adds_four_pods_or_doubles():
    assert growth(ScaledObject(max_replicas=20, behavior=Behavior())) == [5, 10, 20, 20, 20, 20]


def test_900_per_cent_is_tenfold():
    assert growth(TUNED, metric=2000)[:3] == [10, 100, 100]


def test_several_syncs_in_one_period_share_what_its_policy_allows():
    slow = Behavior(up=(Policy("Pods", 4, 60.0),))
    assert growth(ScaledObject(behavior=slow)) == [5, 5, 5, 5, 9, 9]


def test_it_shrinks_to_the_highest_recommendation_of_five_minutes():
    hpa, current, found = Hpa(ScaledObject()), 20, {}
    for sync in range(24):
        at = 15.0 * sync
        current = hpa.desired(current, 100 if sync == 0 else 20, at)
        found[at] = current
    assert found[285.0] == 20
    assert found[300.0] == 4


def test_shrinking_obeys_its_policies():
    by_half = Behavior(down=(Policy("Percent", 50),), down_window_seconds=0.0)
    hpa = Hpa(ScaledObject(behavior=by_half))
    assert [hpa.desired(20, 0, 0.0), hpa.desired(10, 0, 15.0)] == [10, 5]


def play(settings, moments, until, seconds=1.0, replicas=0):
    those = Fleet(
        Events(), Random(3), moments, [seconds] * len(moments),
        Pods(1, service.constant(1.0)), replicas,
    )  # fmt: skip
    KedaScaler(those, settings, Random(3))
    those.events.run(until)
    return those


def test_zero_is_left_when_a_poll_finds_more_than_the_activation_length():
    assert play(ScaledObject(activation_length=3), [5.0] * 3, 200.0).replicas == 0
    assert play(ScaledObject(activation_length=2), [5.0] * 3, 34.0).replicas == 1


def test_the_minimum_is_kept_and_the_idle_number_lies_below_it():
    settings = ScaledObject(polling_seconds=1, cooldown_seconds=5, min_replicas=3)
    assert play(settings, [5.0], 400.0).replicas == 3
    idle = ScaledObject(polling_seconds=1, cooldown_seconds=5, min_replicas=3, idle_replicas=0)
    those = play(idle, [5.0], 400.0)
    assert [number for _, number in those.changes] == [0, 3, 0]


def test_of_two_writes_at_once_the_second_is_refused():
    """Poll and sync meet at every moment: zero stays zero, whichever read it before."""
    those = Fleet(Events(), Random(3), [], [], Pods(1, service.constant(1.0)), 3)
    scaler = KedaScaler(those, ScaledObject(), Random(3))
    those.events.at(0.001, scaler.poll)  # wants 0
    those.events.at(0.002, scaler.sync)  # wants 1, on what it read before
    those.events.run(400.0)
    assert those.changes == [(0.0, 3), (pytest.approx(0.081), 0)]


def test_running_tasks_are_not_in_the_metric_so_their_pods_are_killed():
    settings = ScaledObject(polling_seconds=1, cooldown_seconds=5)
    those = play(settings, [5.0], 60.0, seconds=600.0)
    assert (those.kills, those.done) == (1, 0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c.words}, {c.settings_name}")
def test_what_was_measured_is_within_95_per_cent_of_the_models_runs(check):
    found = find(check, runs=80)
    assert found.holds, (check.measured, found.low, found.median, found.high)
