"""How long a pod takes to start, from the pods that were seen."""

from dataclasses import replace

import pytest

from identtqueue_operator.model import Container, Startup
from identtqueue_operator.policy.pod_startup import (
    GRAIN_SECONDS,
    UNKNOWN_SECONDS,
    measure_startup,
    startup_seconds,
)
from testing.taskqueues import pod, spec


def started(name, took, created_at=1000.0, **more):
    return pod(name, created_at=created_at, ready_since=created_at + took, **more)


def test_before_any_pod_was_seen_a_guess_stands_and_a_setting_always():
    assert startup_seconds(spec(), None) == UNKNOWN_SECONDS
    assert startup_seconds(spec(), Startup(0.0)) == UNKNOWN_SECONDS
    assert startup_seconds(spec({"startupSeconds": 30}), Startup(0.0, 3.0)) == 30
    assert startup_seconds(spec({"startupSeconds": 0}), Startup(0.0, 3.0)) == 0
    assert startup_seconds(spec(), Startup(0.0, 3.0)) == 3 + GRAIN_SECONDS


def test_the_first_pod_is_the_measure_and_later_ones_move_it():
    now = measure_startup(None, [started("a", 4)], 1010.0)
    assert now.seconds == 4
    for number in range(30):
        new = started(f"b{number}", 8, created_at=1010.0)
        now = measure_startup(now, [new], 1020.0)
    assert now.seconds == pytest.approx(8, abs=0.01)


def test_each_pod_counts_once_even_if_it_turns_ready_again():
    first = started("a", 4)
    now = measure_startup(None, [first], 1010.0)
    again = replace(first, ready_since=1500.0)
    assert measure_startup(now, [again], 1510.0).seconds == 4
    assert measure_startup(now, [first], 1010.0) == now


@pytest.mark.parametrize(
    "strange",
    [
        pod("starting", ready=False, created_at=1000.0),
        started("waited-for-a-node", 4000),
        started("clock-set-back", -5),
        started("restarted", 300, containers=(Container("worker", True, ended_at=1200.0),)),
        started("going", 4, deleting=True),
    ],
)
def test_what_is_no_measure(strange):
    assert measure_startup(None, [strange], 9000.0).seconds is None


def test_after_a_restart_the_stored_average_knows_better_than_pods_of_before():
    stored = Startup(begun_at=5000.0, seconds=4.0)
    assert measure_startup(stored, [started("old", 60)], 5000.0).seconds == 4
    assert measure_startup(stored, [started("new", 14, created_at=5100.0)], 5200.0).seconds > 4


def test_only_pods_that_are_there_are_remembered():
    now = measure_startup(None, [started("a", 4), started("b", 4)], 1010.0)
    assert measure_startup(now, [started("b", 4)], 1020.0).measured == {"uid-b"}
