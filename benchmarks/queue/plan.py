"""Which measures are made, how often, and how long each takes."""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.harness.cases import as_shown, at_best, defaults
from benchmarks.harness.libraries import ALL, MAIN, NEAREST, Library
from benchmarks.queue import measures
from benchmarks.queue.bench import Bench
from benchmarks.queue.modes import Mode, Rates
from benchmarks.queue.steps import Step, of_ours, of_round

BEGUN = time.monotonic()
"""When this program has begun; each line of progress says how long ago that was."""

CALIBRATION_TASKS = 640
"""Enough for a rate to plan with; a quarter of it where defaults are slow."""


def chosen(names: tuple[str, ...]) -> tuple[Library, ...]:
    return tuple(library for library in ALL if library.name in names)


FULL = Mode(ALL)
QUICK = Mode(
    chosen(MAIN),
    rounds=1,
    seconds=0.6,
    most=20_000,
    peers_as_shown=False,
    processes=(),
    queues=(),
    herd=False,
    tasks_pending=0,
)
TARGETS = Mode(
    chosen(NEAREST),
    seconds=1.2,
    most=50_000,
    peers_as_shown=False,
    processes=(),
    queues=(),
    drain=False,
)


@dataclass
class Results:
    """The results: runs per library and measure, and the measures that are missing."""

    runs: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, library: str, measure: str, numbers: dict[str, Any]) -> None:
        self.runs.setdefault(library, {}).setdefault(measure, []).append(numbers)


def measure(bench: Bench, mode: Mode) -> Results:
    """All of it; the libraries take turns, so that a busy minute of the machine hits them all."""
    results = Results()
    rates = _calibrate(bench, mode, results)
    libraries = [library for library in mode.libraries if library.name in rates]
    for number in range(mode.rounds):
        for step in of_round(bench, mode, libraries, rates, first=number == 0):
            _say(f"round {number + 1}/{mode.rounds}: {step.library} {step.measure}")
            _carry_out(step, results)
    for step in of_ours(bench, mode, rates):
        _say(f"{step.library} {step.measure}")
        _carry_out(step, results)
    return results


def _calibrate(bench: Bench, mode: Mode, results: Results) -> dict[str, Rates]:
    """A short run of each, thrown away: it warms caches up and tells how big a run can be."""
    rates = {}
    for library in mode.libraries:
        _say(f"calibrating {library.name}")
        try:
            rates[library.name] = _rates(bench, library, mode)
        except Exception as error:
            traceback.print_exc()
            results.missing[library.name] = str(error).splitlines()[0]
    return rates


def _rates(bench: Bench, library: Library, mode: Mode) -> Rates:
    worked = measures.work(bench, at_best(library), CALIBRATION_TASKS)
    if not worked["stored"]:
        raise RuntimeError("its results were not found in Redis")
    enqueued = measures.enqueue(bench, at_best(library), "single", CALIBRATION_TASKS)
    rates = Rates(worked["per_second"], enqueued["per_second"])
    if not mode.shows(library):
        return rates
    shown = measures.work(bench, as_shown(library), CALIBRATION_TASKS // 4)
    rates = replace(rates, shown=shown["per_second"])
    if not mode.peers_as_shown:
        return rates
    own = measures.work(bench, defaults(library), CALIBRATION_TASKS // 4)
    return replace(rates, own=own["per_second"])


def _carry_out(step: Step, results: Results) -> None:
    """One that fails is said, and left out; the others go on."""
    try:
        numbers = step.run()
    except Exception as error:
        traceback.print_exc()
        results.missing[f"{step.library}: {step.measure}"] = str(error).splitlines()[0]
        return
    if numbers:
        results.add(step.library, step.measure, numbers)


def _say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - BEGUN), 60)
    print(f"{minutes}:{seconds:02} {text}", file=sys.stderr, flush=True)
