"""Arrivals and run times have the rates and means that they are named after."""

import math
import statistics
from random import Random

import pytest

from benchmarks.scaling import arrivals, service

PATTERNS = {
    "constant": (lambda rng: arrivals.constant(rng, 5, 2000), 5 * 2000),
    "step": (lambda rng: arrivals.step(rng, 20, 2000, 500, 1000), 20 * 500),
    "ramp": (lambda rng: arrivals.ramp(rng, 10, 2000), 10 * 2000 / 2),
    "spikes": (lambda rng: arrivals.spikes(rng, 2, 2000, 3000, (100.0, 900.0)), 2 * 2000 + 6000),
    "diurnal": (lambda rng: arrivals.diurnal(rng, 10, 2000, 1000), 10 * 2000 / 2),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_as_many_tasks_come_as_the_rate_says(name):
    make, expected = PATTERNS[name]
    moments = make(Random(name))
    assert moments == sorted(moments)
    assert 0 <= moments[0] <= moments[-1] < 2000
    # A Poisson count has the standard deviation sqrt(mean).
    assert abs(len(moments) - expected) < 4 * math.sqrt(expected)


def test_a_step_has_nothing_outside():
    moments = arrivals.step(Random(1), 20, 2000, 500, 1000)
    assert min(moments) >= 500
    assert max(moments) < 1000


def test_bursts_are_on_and_off_in_the_given_proportion():
    counts = [len(arrivals.bursty(Random(seed), 10, 0, 6000, 30, 90)) for seed in range(40)]
    error = statistics.stdev(counts) / math.sqrt(len(counts))
    assert abs(statistics.fmean(counts) - 10 * 6000 * 30 / 120) < 4 * error
    # Far more variable than a Poisson process of the same mean.
    assert statistics.variance(counts) > 10 * statistics.fmean(counts)


def test_the_same_seed_gives_the_same_tasks():
    for make, _ in PATTERNS.values():
        assert make(Random(7)) == make(Random(7))
        assert make(Random(7)) != make(Random(8)) or make is PATTERNS["spikes"][0]


@pytest.mark.parametrize(
    "sampler",
    [
        service.constant(3.0),
        service.exponential(3.0),
        service.lognormal(3.0, 1.0),
        service.pareto(3.0, 3.0),
    ],
)
def test_run_times_have_their_mean(sampler):
    rng = Random(1)
    values = [sampler(rng) for _ in range(20_000)]
    error = statistics.stdev(values) / math.sqrt(len(values)) or 1e-9
    assert abs(statistics.fmean(values) - 3.0) < 4 * error
    assert min(values) > 0


def test_a_lognormal_has_its_variation():
    rng = Random(1)
    values = [service.lognormal(2.0, 0.5)(rng) for _ in range(20_000)]
    assert statistics.stdev(values) / statistics.fmean(values) == pytest.approx(0.5, rel=0.05)


def test_a_time_out_cuts_the_tail_and_a_tail_without_mean_is_refused():
    rng = Random(1)
    assert max(service.pareto(4.0, 1.5, 60.0)(rng) for _ in range(20_000)) == 60.0
    with pytest.raises(ValueError, match="has no mean"):
        service.pareto(4.0, 1.0)
