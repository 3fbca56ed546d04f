"""How long tasks run, and how long pods take to start: distributions by their mean.

Each function makes a sampler: it takes a random generator and returns seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

Sampler = Callable[[Random], float]


def constant(seconds: float) -> Sampler:
    """Always the same."""
    return lambda _: seconds


def exponential(mean: float) -> Sampler:
    """Memoryless; standard deviation = mean."""
    return lambda rng: rng.expovariate(1 / mean)


def lognormal(mean: float, variation: float) -> Sampler:
    """Skewed to the right, as run times of real tasks are.

    Args:
        mean: seconds.
        variation: standard deviation / mean.
    """
    sigma = math.sqrt(math.log(1 + variation**2))
    mu = math.log(mean) - sigma**2 / 2
    return lambda rng: rng.lognormvariate(mu, sigma)


def pareto(mean: float, shape: float, longest: float = math.inf) -> Sampler:
    """A heavy tail: a few tasks are most of the work.

    Args:
        mean: seconds, before the cut at `longest`.
        shape: above 1; at most 2 means infinite variance.
        longest: a time-out.
    """
    if shape <= 1:
        raise ValueError(f"a Pareto distribution of shape {shape} has no mean: give more than 1")
    scale = mean * (shape - 1) / shape
    return lambda rng: min(scale * rng.paretovariate(shape), longest)
