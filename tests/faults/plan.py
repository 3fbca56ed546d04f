"""A seed -> which fault begins when, and whom it hits. Pure: one seed is one plan.

The interleaving with the processes can't be the same twice; the faults, their times, their
victims and their lengths are.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DOUBLE = 0.2
"""Share of the faults that begin while the one before is still going on."""


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
        victim: a number from which whoever injects it chooses its victim.
        strength: within 0 and 1: how much, for whoever has a use for it.
        double: it begins while the one before is going on.
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
    """So many faults, `gap_seconds` apart on average; each kind at least once if they suffice."""
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
