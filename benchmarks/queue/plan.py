"""Which measures are made, how often, and how long each takes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.harness.cases import Case, as_shown, defaults
from benchmarks.harness.libraries import ALL, MAIN, OURS, Library
from benchmarks.queue import measures
from benchmarks.queue.bench import Bench
from benchmarks.queue.report import SHOWN


@dataclass(frozen=True)
class Mode:
    """How thorough.

    Attributes:
        libraries: that are compared.
        rounds: of each measure; the median counts.
        seconds: that one run should take.
        most: tasks in one run.
        with_defaults: measure each library's own number of tasks at the same time too, in the
            first round.
        peers_at_best: measure the peers at their best settings too, not only as their READMEs have
            them.
        processes: numbers of worker processes on one queue.
        queues: numbers of queues on one worker.
        tasks_pending: in the long queue; 0: leave it out.
    """

    libraries: tuple[Library, ...]
    rounds: int = 3
    seconds: float = 4.0
    most: int = 100_000
    with_defaults: bool = True
    peers_at_best: bool = True
    processes: tuple[int, ...] = (1, 2, 4, 8)
    queues: tuple[int, ...] = (1, 4, 16)
    tasks_pending: int = 1_000_000


FULL = Mode(ALL)
QUICK = Mode(
    tuple(library for library in ALL if library.name in MAIN),
    rounds=1,
    seconds=0.8,
    most=20_000,
    with_defaults=False,
    peers_at_best=False,
    processes=(1, 8),
    queues=(1, 16),
    tasks_pending=0,
)


Numbers = dict[str, Any]

CALIBRATION_TASKS = 640
"""Enough for a rate to plan with; a quarter of it where defaults are slow."""


@dataclass
class Results:
    """What was measured: runs per library and measure, and what could not be."""

    runs: dict[str, dict[str, list[Numbers]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, library: str, measure: str, numbers: Numbers) -> None:
        self.runs.setdefault(library, {}).setdefault(measure, []).append(numbers)


@dataclass(frozen=True)
class Step:
    """One run of one measure of one library."""

    library: str
    measure: str
    run: Callable[[], Numbers]


@dataclass(frozen=True)
class Rates:
    """What a library does per second, roughly.

    Attributes:
        work, enqueue: at its best settings.
        shown: works off with its defaults, at 32 at the same time.
        default: the same, at its own number; 0: not measured.
    """

    work: float
    enqueue: float
    shown: float
    default: float = 0.0

    def to_work(self, mode: Mode, case: Case) -> int:
        """Tasks that keep a worker busy for the mode's time, if they are enqueued soon enough."""
        work = self.work
        if case.style == "default":
            work = self.shown if case == as_shown(case.library) else self.default
        return _round_number(min(work, 3 * self.enqueue) * mode.seconds, mode)

    def to_enqueue(self, mode: Mode) -> int:
        """Tasks that keep a producer busy for the mode's time."""
        return _round_number(self.enqueue * mode.seconds, mode)


def _round_number(wanted: float, mode: Mode) -> int:
    """A multiple of the producer's coroutines."""
    return max(320, min(mode.most, round(wanted)) // 320 * 320)


def measure(bench: Bench, mode: Mode) -> Results:
    """All of it; the libraries take turns, so that a busy minute of the machine hits them all."""
    results = Results()
    rates = _calibrate(bench, mode, results)
    libraries = [library for library in mode.libraries if library.name in rates]
    for number in range(mode.rounds):
        once = replace(mode, with_defaults=mode.with_defaults and number == 0)
        for step in _round(bench, once, libraries, rates):
            _say(f"round {number + 1}/{mode.rounds}: {step.library} {step.measure}")
            _carry_out(step, results)
    for step in _only_ours(bench, mode, rates):
        _say(f"{step.library} {step.measure}")
        _carry_out(step, results)
    return results


def _calibrate(bench: Bench, mode: Mode, results: Results) -> dict[str, Rates]:
    """A short run of each, thrown away: it warms caches up and tells how big a run can be."""
    rates = {}
    for library in mode.libraries:
        _say(f"calibrating {library.name}")
        try:
            rates[library.name] = _rates(bench, library, mode.with_defaults)
        except Exception as error:
            traceback.print_exc()
            results.missing[library.name] = str(error).splitlines()[0]
    return rates


def _rates(bench: Bench, library: Library, with_defaults: bool) -> Rates:
    worked = measures.work(bench, Case(library), CALIBRATION_TASKS)
    if not worked["stored"]:
        raise RuntimeError("its results were not found in Redis")
    enqueued = measures.enqueue(bench, Case(library), "single", CALIBRATION_TASKS)
    shown = measures.work(bench, as_shown(library), CALIBRATION_TASKS // 4)
    rates = Rates(worked["per_second"], enqueued["per_second"], shown["per_second"])
    if not with_defaults:
        return rates
    by_default = measures.work(bench, defaults(library), CALIBRATION_TASKS // 4)
    return replace(rates, default=by_default["per_second"])


def _round(
    bench: Bench, mode: Mode, libraries: list[Library], rates: dict[str, Rates]
) -> Iterator[Step]:
    """One run of each measure of each library, library by library within a measure."""
    for library in libraries:
        number = rates[library.name].to_work(mode, as_shown(library))
        yield _work_of(bench, as_shown(library), SHOWN, number)
    for library in libraries:
        number = rates[library.name].to_enqueue(mode)
        yield _enqueue(bench, as_shown(library), "single", number, " default")
    for library in libraries:
        yield _enqueue(bench, as_shown(library), "batched", mode.most, " default")
    for library in libraries:
        yield _latency(bench, mode, as_shown(library))
    best = libraries if mode.peers_at_best else [lib for lib in libraries if lib is OURS]
    for library in best:
        yield _work(bench, mode, Case(library), rates)
    for library in best:
        if not library.one_at_a_time:
            loop = "uvloop" if library.loops else "asyncio"
            yield _work(bench, mode, Case(library, concurrency=100, loop=loop), rates)
    for library in best:
        yield _enqueue(bench, Case(library), "single", rates[library.name].to_enqueue(mode))
    for library in best:
        yield _enqueue(bench, Case(library), "batched", mode.most)
    for library in best:
        yield _latency(bench, mode, Case(library))
    if mode.with_defaults:
        for library in libraries:
            yield _work(bench, mode, defaults(library), rates)


def _work(bench: Bench, mode: Mode, case: Case, rates: dict[str, Rates]) -> Step:
    number = rates[case.library.name].to_work(mode, case)
    return _work_of(bench, case, f"work {case.label}", number)


def _work_of(bench: Bench, case: Case, name: str, number: int) -> Step:
    return Step(case.library.name, name, lambda: measures.work(bench, case, number))


def _enqueue(bench: Bench, case: Case, role: str, number: int, style: str = "") -> Step:
    return Step(
        case.library.name,
        f"enqueue {role}{style}",
        lambda: measures.enqueue(bench, case, role, number),
    )


def _latency(bench: Bench, mode: Mode, case: Case) -> Step:
    name = "latency default" if case.style == "default" else "latency"
    seconds = max(1, round(mode.seconds))
    return Step(case.library.name, name, lambda: measures.latency(bench, case, seconds))


def _only_ours(bench: Bench, mode: Mode, rates: dict[str, Rates]) -> Iterator[Step]:
    """How it scales, and its other faces: threads, processes and the blocking client."""
    if OURS.name not in rates:
        return
    case = Case(OURS)
    number = rates[OURS.name].to_work(mode, case)
    few = rates[OURS.name].to_enqueue(mode) // 8
    for _ in range(mode.rounds):
        for count in mode.processes:
            yield _scaling(bench, replace(case, processes=count), f"processes {count}", number)
        for count in mode.queues:
            yield _scaling(bench, replace(case, queues=count), f"queues {count}", number)
        yield _scaling(bench, replace(case, job="thread"), "thread jobs", number // 2)
        yield _scaling(bench, replace(case, job="process"), "process jobs", number // 10)
        for ways in (1, 8):
            yield _callers(bench, case, "single", ways, few)
            yield _callers(bench, case, "blocking-single", ways, few)
    if mode.tasks_pending:
        yield Step(
            OURS.name,
            "long queue",
            lambda: measures.million(bench, case, mode.tasks_pending, mode.tasks_pending // 10),
        )


def _scaling(bench: Bench, case: Case, name: str, number: int) -> Step:
    return Step(OURS.name, name, lambda: measures.scaling(bench, case, number))


def _callers(bench: Bench, case: Case, role: str, ways: int, number: int) -> Step:
    name = f"{'blocking' if role.startswith('blocking') else 'asyncio'} callers {ways}"
    return Step(OURS.name, name, lambda: measures.callers(bench, case, role, number, ways))


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
    print(text, file=sys.stderr, flush=True)
