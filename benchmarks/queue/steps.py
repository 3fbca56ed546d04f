"""The runs of one round, library by library within a measure, and those of idenTTqueue alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from benchmarks.harness.cases import Case, as_shown, at_best, defaults
from benchmarks.harness.libraries import OURS, Library
from benchmarks.queue import costs, herd, measures, pending
from benchmarks.queue.bench import Bench
from benchmarks.queue.medians import PROCESS_JOBS
from benchmarks.queue.modes import Mode, Rates
from identtqueue.signature import RunIn

SHOWN = " as shown"
"""End of a measure's name: with everything as the library's README has it."""

PLAIN = tuple(place for place in get_args(RunIn) if place not in ("loop", "process"))
"""Places in which a plain function of idenTTqueue can run, besides a process."""


@dataclass(frozen=True)
class Step:
    """One run of one measure of one library."""

    library: str
    measure: str
    run: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Steps:
    """Makes the steps of a run."""

    bench: Bench
    mode: Mode
    rates: dict[str, Rates]

    def work(self, case: Case, name: str, rate: str = "best") -> Step:
        number = self.rates[case.library.name].to_work(self.mode, rate)
        return Step(case.library.name, name, lambda: measures.work(self.bench, case, number))

    def single(self, case: Case, end: str = "") -> Step:
        number = self.rates[case.library.name].to_enqueue(self.mode)
        return self._enqueue(case, "single", number, end)

    def batched(self, case: Case, end: str = "") -> Step:
        return self._enqueue(case, "batched", self.mode.most, end)

    def _enqueue(self, case: Case, role: str, number: int, end: str) -> Step:
        return Step(
            case.library.name,
            f"enqueue {role}{end}",
            lambda: measures.enqueue(self.bench, case, role, number),
        )

    def latency(self, case: Case, end: str = "") -> Step:
        seconds = max(1, round(self.mode.seconds))
        return Step(
            case.library.name,
            f"latency{end}",
            lambda: measures.latency(self.bench, case, seconds),
        )

    def start(self, library: Library) -> Step:
        case = as_shown(library)
        return Step(library.name, "start", lambda: costs.start(self.bench, case))

    def memory(self, library: Library) -> Step:
        case = at_best(library)
        return Step(library.name, "memory", lambda: costs.memory(self.bench, case))

    def scaling(self, case: Case, name: str, number: int) -> Step:
        return Step(OURS.name, name, lambda: measures.scaling(self.bench, case, number))

    def processes(self, case: Case, number: int) -> Iterator[Step]:
        """Jobs in processes: at c=32 as all others, and with two slots per CPU.

        Such jobs usually keep a CPU busy. Then more slots are of no use.
        """
        case = replace(case, job="process")
        few = 2 * (os.cpu_count() or 1)
        for name, slots in ((PROCESS_JOBS, case.concurrency), (f"process jobs, {few} slots", few)):
            sized = replace(case, concurrency=slots)
            yield Step(OURS.name, name, partial(measures.process_jobs, self.bench, sized, number))

    def callers(self, case: Case, role: str, ways: int, number: int) -> Step:
        name = f"{'blocking' if role.startswith('blocking') else 'asyncio'} callers {ways}"
        return Step(OURS.name, name, lambda: measures.callers(self.bench, case, role, number, ways))


def of_round(
    bench: Bench,
    mode: Mode,
    libraries: list[Library],
    rates: dict[str, Rates],
    *,
    first: bool,
) -> Iterator[Step]:
    """One run of each measure of each library.

    Args:
        bench: the server.
        mode: how thorough.
        libraries: that have rates.
        rates: what each does per second.
        first: it is the first round: with what is measured once.
    """
    steps = Steps(bench, mode, rates)
    ours = [library for library in libraries if library is OURS]
    shown = [library for library in libraries if first and mode.shows(library)] or ours
    for library in shown:
        yield steps.work(as_shown(library), f"work{SHOWN}", "shown")
    for library in libraries:
        yield steps.work(at_best(library), "work")
    yield from _more_work(steps, libraries)
    for library in shown:
        yield steps.single(as_shown(library), SHOWN)
    for library in libraries:
        yield steps.single(at_best(library))
    for library in shown:
        yield steps.batched(as_shown(library), SHOWN)
    for library in libraries:
        yield steps.batched(at_best(library))
    for library in shown:
        yield steps.latency(as_shown(library), SHOWN)
    for library in libraries:
        yield steps.latency(at_best(library))
    for library in libraries:
        yield steps.start(library)
    if first:
        yield from _once(steps, libraries)


def _more_work(steps: Steps, libraries: list[Library]) -> Iterator[Step]:
    """Plain functions, and 100 tasks at the same time."""
    for library in libraries:
        for loop in library.loops or ("asyncio",):
            if library is OURS:
                for place in PLAIN:
                    case = replace(as_shown(OURS), job=place, loop=loop)
                    yield steps.work(case, f"plain {place}, {loop}{SHOWN}", "shown")
            elif library.plain:
                yield steps.work(
                    replace(at_best(library, loop=loop), job="thread"), f"plain {loop}"
                )
    for library in libraries:
        if library.one_at_a_time:
            continue
        loop = "uvloop" if library.loops else "asyncio"
        if library is OURS:
            case = replace(as_shown(OURS), concurrency=100, loop=loop)
            yield steps.work(case, f"work c=100{SHOWN}", "shown")
        yield steps.work(at_best(library, 100, loop), "work c=100")


def _once(steps: Steps, libraries: list[Library]) -> Iterator[Step]:
    """Yield the steps that do not vary, and those that are only to be seen once."""
    for library in libraries:
        yield steps.memory(library)
    if steps.mode.peers_as_shown:
        for library in libraries:
            yield steps.work(defaults(library), f"work, its own c{SHOWN}", "own")


def of_ours(bench: Bench, mode: Mode, rates: dict[str, Rates]) -> Iterator[Step]:
    """How ours scales, its other faces, and what it costs when many wait."""
    if OURS.name not in rates:
        return
    steps, case = Steps(bench, mode, rates), as_shown(OURS)
    number = rates[OURS.name].to_work(mode, "shown")
    few = rates[OURS.name].to_enqueue(mode) // 8
    for _ in range(mode.rounds):
        for count in mode.processes:
            yield steps.scaling(replace(case, processes=count), f"processes {count}", number)
        for count in mode.queues:
            yield steps.scaling(replace(case, queues=count), f"queues {count}", number)
        yield from steps.processes(case, number // 2)
        for ways in (1, 8):
            yield steps.callers(case, "single", ways, few)
            yield steps.callers(case, "blocking-single", ways, few)
        if mode.herd:
            yield Step(OURS.name, "herd, scheduled", lambda: herd.scheduled(bench, case))
            yield Step(OURS.name, "herd, limited", lambda: herd.limited(bench, case))
    if mode.tasks_pending:
        yield Step(
            OURS.name,
            "long queue",
            lambda: pending.long_queue(bench, case, mode.tasks_pending, drain=mode.drain),
        )
