"""Arrival rate and run time, from the counters of the queues."""

import pytest

from identtqueue_operator.model import Depth
from identtqueue_operator.policy.traffic import measure_traffic


def test_traffic_is_measured_from_counters():
    now = None
    for second in range(200):
        depth = Depth(
            enqueued_total=5 * second, ended_total=4 * second, run_ms_total=4 * second * 250
        )
        now = measure_traffic(now, depth, 1000.0 + second)
    assert now.arrivals_per_second == pytest.approx(5, rel=0.01)
    assert now.service_seconds == pytest.approx(0.25)
    restarted = measure_traffic(now, Depth(enqueued_total=1), 1300.0)
    assert restarted.arrivals_per_second == 0


def test_the_rate_of_a_burst_does_not_outlive_it():
    now = None
    for second in range(120):
        now = measure_traffic(now, Depth(enqueued_total=40 * second), 1000.0 + second)
    rates = []
    for second in range(1, 61):
        now = measure_traffic(now, Depth(enqueued_total=40 * 119), 1119.0 + second)
        rates.append(now.arrivals_per_second)
    assert rates[0] == 3.0  # nobody came for one second: at 3/s that has a probability of 5 %
    assert rates[-1] <= 3 / 60


def test_tasks_arrive_when_they_may_start() -> None:
    """10 a second are enqueued, one a second may start: a WaitTime fleet is for the one."""
    now = None
    for second in range(300):
        depth = Depth(enqueued_total=10 * second, held=9 * second, queued=9 * second)
        now = measure_traffic(now, depth, 1000.0 + second)
    assert now is not None
    assert now.arrivals_per_second == pytest.approx(1.0, abs=0.05)
