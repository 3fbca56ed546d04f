"""The plan of a chaos run: which fault begins when and what it hits. Pure: one seed is one plan.

The faults, their times, victims and lengths are the same each time. How they interleave with the
processes is not.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DOUBLE = 0.2
"""Share of the faults that begin while the previous one is still active."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How often a kind of fault is drawn, and how long it lasts."""

    weight: float
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at_seconds: when it begins, after the start of the run.
        seconds: how long it lasts; 0 if it is a moment.
        victim: random number from which the injection chooses its victim.
        strength: number between 0 and 1 for injections that have a strength.
        double: whether it begins while the previous fault is still active.
    """

    number: int
    at_seconds: float
    kind: str
    seconds: float
    victim: int
    strength: float
    double: bool


def make_plan(
    seed: int, number: int, shapes: Mapping[str, Shape], gap_seconds: float
) -> list[Fault]:
    """Plan faults `gap_seconds` apart on average, each kind at least once if there are enough."""
    rng = random.Random(f"plan {seed}")
    kinds = _kinds(rng, number, shapes)
    faults: list[Fault] = []
    at = 0.0
    for n, kind in enumerate(kinds):
        shape = shapes[kind]
        double = n > 0 and rng.random() < DOUBLE
        if double:
            at += rng.uniform(0.0, 0.3)
        else:
            at += gap_seconds / (1 - DOUBLE) * rng.uniform(0.5, 1.5)
        faults.append(
            Fault(
                number=n + 1,
                at_seconds=round(at, 3),
                kind=kind,
                seconds=round(rng.uniform(shape.shortest_seconds, shape.longest_seconds), 3),
                victim=rng.randrange(1 << 16),
                strength=round(rng.random(), 3),
                double=double,
            )
        )
    return faults


def _kinds(rng: random.Random, number: int, shapes: Mapping[str, Shape]) -> Sequence[str]:
    names = sorted(shapes)
    first = rng.sample(names, len(names))[:number]
    weights = [shapes[name].weight for name in names]
    kinds = [*first, *rng.choices(names, weights, k=number - len(first))]
    rng.shuffle(kinds)
    return kinds
