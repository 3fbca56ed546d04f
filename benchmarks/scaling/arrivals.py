"""When tasks arrive: patterns of load, each a sorted list of moments in seconds.

All but `at_once` are Poisson processes, most with a rate that changes; drawn by thinning (Lewis and
Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", Naval Research Logistics
Quarterly 26, 1979): candidates come at the highest rate, and one at time t is kept with probability
rate(t) / highest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

Rate = Callable[[float], float]
"""Tasks per second at a moment."""


def at_once(count: int, at: float = 0.0) -> list[float]:
    """So many tasks at one moment."""
    return [at] * count


def poisson(rng: Random, rate: Rate, highest: float, seconds: float) -> list[float]:
    """A Poisson process whose rate changes and never exceeds `highest`."""
    return list(_thinned(rng, rate, highest, seconds))


def _thinned(rng: Random, rate: Rate, highest: float, seconds: float) -> Iterator[float]:
    at = rng.expovariate(highest)
    while at < seconds:
        if rng.random() * highest < rate(at):
            yield at
        at += rng.expovariate(highest)


def constant(rng: Random, rate: float, seconds: float) -> list[float]:
    """The same rate all the time."""
    return poisson(rng, lambda _: rate, rate, seconds)


def step(rng: Random, rate: float, seconds: float, begin: float, end: float) -> list[float]:
    """Nothing, then a rate, then nothing."""
    return poisson(rng, lambda at: rate if begin <= at < end else 0.0, rate, seconds)


def ramp(rng: Random, highest: float, seconds: float) -> list[float]:
    """From nothing up to the highest rate at half time, and back."""
    half = seconds / 2
    return poisson(rng, lambda at: highest * (1 - abs(at - half) / half), highest, seconds)


def spikes(
    rng: Random, base: float, seconds: float, count: int, moments: tuple[float, ...]
) -> list[float]:
    """A low rate, and at some moments many tasks at once."""
    many = [moment for moment in moments for _ in range(count)]
    return sorted(constant(rng, base, seconds) + many)


def diurnal(rng: Random, highest: float, seconds: float, day: float) -> list[float]:
    """A sine: nothing at midnight, the highest rate at noon. A day may be shorter than ours."""
    return poisson(
        rng, lambda at: highest * (1 - math.cos(2 * math.pi * at / day)) / 2, highest, seconds
    )


def bursty(
    rng: Random, high: float, low: float, seconds: float, on_seconds: float, off_seconds: float
) -> list[float]:
    """A Markov-modulated Poisson process of two states; both last exponentially long.

    (Fischer and Meier-Hellstern, "The Markov-modulated Poisson process cookbook", Performance
    Evaluation 18, 1993.) Starts in the low state.
    """
    found: list[float] = []
    at, on = 0.0, False
    while at < seconds:
        length = rng.expovariate(1 / (on_seconds if on else off_seconds))
        end, rate = min(at + length, seconds), high if on else low
        if rate:
            found += [at + moment for moment in constant(rng, rate, end - at)]
        at, on = end, not on
    return found
