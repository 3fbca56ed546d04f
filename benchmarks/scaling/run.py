"""Scalers under simulated load: `make bench-scaling`, or see `--help`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness import command
from benchmarks.harness.environments import ROOT, python_of
from benchmarks.host import host_facts
from benchmarks.scaling import report
from benchmarks.scaling.measure import Course, Outcome, run
from benchmarks.scaling.scalers import CONTENDERS
from benchmarks.scaling.scenarios import LARGE, SCENARIOS, of_many
from benchmarks.scaling.validation import CHECKS, find

MANY = 10_000
CHUNK = 250
SEEDS = 1
OF_MANY = ("Backlog", "Backlog, tuned", "KEDA", "KEDA, tuned")
"""Who is put under the many queues: they take most of the time."""
MANY_NAME = "many queues"


@dataclass(frozen=True)
class Job:
    """The work of one process in one go: runs of one contender."""

    load: str
    contender: str
    seeds: tuple[int, ...]
    """Of `many queues`: the queues."""
    course: bool = False

    def play(self) -> tuple[Job, Outcome, Course | None]:
        total, course = Outcome(), Course() if self.course else None
        (contender,) = (each for each in CONTENDERS if each.name == self.contender)
        for seed in self.seeds:
            scenario = of_many(seed) if self.load == MANY_NAME else _named(self.load)
            total.add(run(scenario, contender, seed, course if seed == 0 else None))
        return self, total, course


def _named(name: str) -> Any:
    (scenario,) = (each for each in (*SCENARIOS, LARGE) if each.name == name)
    return scenario


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [scenario.name for scenario in (*SCENARIOS, LARGE)] + [MANY_NAME]
    parser.add_argument("--only", nargs="+", metavar="LOAD", choices=names)
    parser.add_argument(
        "--scalers",
        nargs="+",
        metavar="SCALER",
        choices=[contender.name for contender in CONTENDERS],
        help="run these; what the others did (it is the same each time) is kept from the last run",
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each load, pooled")
    parser.add_argument("--queues", type=int, default=MANY, help=f"of {MANY_NAME} ({MANY:,})")
    parser.add_argument("--quick", action="store_true", help="one seed, 500 queues")
    parser.add_argument("--saved", action="store_true", help="report the last results once more")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--write", action="store_true", help="put the results into docs/measurements.md"
    )
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.queues = 1, min(args.queues, 500)
    return args


def jobs(args: argparse.Namespace) -> Iterable[Job]:
    """The long ones first, so that the processes end together."""
    chosen = [s.name for s in (LARGE, *SCENARIOS)] + [MANY_NAME]
    chosen = [name for name in chosen if not args.only or name in args.only]
    for contender in CONTENDERS:
        if args.scalers and contender.name not in args.scalers:
            continue
        if MANY_NAME in chosen and contender.name in OF_MANY:
            busiest = min(20, args.queues)
            for index in range(busiest):
                yield Job(MANY_NAME, contender.name, (index,))
            for start in range(busiest, args.queues, CHUNK):
                rest = range(start, min(start + CHUNK, args.queues))
                yield Job(MANY_NAME, contender.name, tuple(rest))
        for name in chosen:
            if name != MANY_NAME:
                for seed in range(1 if name == LARGE.name else args.seeds):
                    yield Job(name, contender.name, (seed,), course=seed == 0)


def play_all(work: list[Job], processes: int) -> tuple[dict[Any, Outcome], dict[Any, Course]]:
    """Outcomes and courses by (load, contender)."""
    outcomes: dict[Any, Outcome] = {}
    courses: dict[Any, Course] = {}
    with ProcessPoolExecutor(processes) as pool:
        pending = [pool.submit(job.play) for job in work]
        try:
            for number, future in enumerate(as_completed(pending), 1):
                job, outcome, course = future.result()
                key = job.load, job.contender
                outcomes.setdefault(key, Outcome()).add(outcome)
                if course is not None:
                    courses[key] = course
                print(f"{number}/{len(work)} {job.load}: {job.contender}", **_STDERR)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return outcomes, courses


_STDERR: dict[str, Any] = {"file": sys.stderr, "flush": True}


def tell(
    outcomes: dict[Any, Outcome], courses: dict[Any, Course], queues: int
) -> dict[str, dict[str, Any]]:
    """Loads and their scalers, as they are saved."""
    words = {scenario.name: scenario.words for scenario in (*SCENARIOS, LARGE)}
    words[MANY_NAME] = f"{queues:,} queues: {of_many(0).words}"
    loads: dict[str, dict[str, Any]] = {}
    for name, text in words.items():
        found = [(c.name, outcomes[name, c.name]) for c in CONTENDERS if (name, c.name) in outcomes]
        if not found:
            continue
        if name == MANY_NAME:
            for _, outcome in found:
                outcome.runs = 1  # all queues together are one run
        loads[name] = {
            "name": name,
            "words": text,
            "scalers": {scaler: report.summary(outcome) for scaler, outcome in found},
            "courses": {
                scaler: asdict(courses[name, scaler])
                for scaler, _ in found
                if (name, scaler) in courses
            },
        }
    return loads


def simulate(args: argparse.Namespace) -> dict[str, Any]:
    """All runs; what the report is made of."""
    about, started = host_facts(command.typed("make bench-scaling")), time.perf_counter()
    findings = [find(check).told() for check in CHECKS]
    outcomes, courses = play_all(list(jobs(args)), args.processes)
    total = list(outcomes.values())
    about |= {
        "seconds": time.perf_counter() - started,
        "processes": args.processes,
        "events": sum(outcome.events for outcome in total),
        "tasks": sum(outcome.tasks for outcome in total),
        "decisions": sum(o.decisions for (_, name), o in outcomes.items() if "KEDA" not in name),
    }
    return {
        "facts": about,
        "findings": findings,
        "loads": tell(outcomes, courses, args.queues),
    }


def merge(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The new results, beside those of scalers that did not run again."""
    loads = dict(before["loads"])
    for name, load in now["loads"].items():
        kept = before["loads"].get(name, load)
        found = {part: kept[part] | load[part] for part in ("scalers", "courses")}
        names = [each.name for each in CONTENDERS]
        loads[name] = load | {
            part: {scaler: of_one[scaler] for scaler in names if scaler in of_one}
            for part, of_one in found.items()
        }
    facts = before["facts"] | {name: now["facts"][name] for name in ("date", "commit")}
    return now | {"loads": loads, "facts": facts}


def main() -> None:
    command.end_in_order()
    args = arguments()
    last = command.OUTPUT / "scaling.json"
    before = json.loads(last.read_text("utf-8")) if args.saved or args.scalers else {}
    saved = before if args.saved else simulate(args)
    if args.scalers:
        saved = merge(before, saved)
    text = report.markdown(saved)
    results = command.save("scaling", saved, text)
    folder = command.PICTURES if args.write else command.OUTPUT
    words = [python_of("plot"), "-m", "benchmarks.scaling.plot", str(results), str(folder)]
    subprocess.run(words, check=True, cwd=ROOT)
    if args.write:
        command.publish("scaling", f"{report.PLOTS}\n\n{text}")


if __name__ == "__main__":
    main()
