"""Losses of idenTTqueue and its peers under faults: `make bench-faults`, or see `--help`."""

from __future__ import annotations

import argparse
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults.report import Report, brief
from benchmarks.faults.scenarios import SCENARIOS
from benchmarks.faults.stage import Stage, stopped
from benchmarks.faults.verdict import JUDGES, Facts
from benchmarks.harness import command
from benchmarks.harness.cases import Case
from benchmarks.harness.libraries import ALL, Library
from benchmarks.harness.machine import facts
from benchmarks.harness.promises import promises
from testing.redis_server import RedisServer

PATIENCE_SECONDS = 660.0
"""Longer than any default but one: Celery's visibility time-out is an hour."""

AT_ONCE = 32
"""Runs at the same time: nearly all of them do nothing but wait."""


@dataclass(frozen=True)
class Run:
    """One scenario with one library in one style."""

    case: Case
    scenario: str

    @property
    def name(self) -> str:
        return f"{self.case.library.name}, {self.case.style}: {self.scenario}"

    def play(self, patience: float) -> Facts:
        with Stage(self.case, patience) as stage:
            return JUDGES[self.scenario](SCENARIOS[self.scenario].play(stage))


@dataclass
class Results:
    """Verdicts per library, style and scenario, and what could not be had."""

    runs: dict[str, dict[str, dict[str, Facts]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, run: Run, verdict: Facts) -> None:
        styles = self.runs.setdefault(run.case.library.name, {})
        styles.setdefault(run.case.style, {})[run.scenario] = verdict

    def has(self, run: Run) -> bool:
        return run.scenario in self.runs.get(run.case.library.name, {}).get(run.case.style, {})


def arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--faults", nargs="+", metavar="FAULT", choices=list(SCENARIOS))
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help=f"seconds that a task may take to run again ({PATIENCE_SECONDS:.0f})",
    )
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help=f"runs at the same time ({AT_ONCE})"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the results of the command before, and play what it could not",
    )
    return parser.parse_args()


def runs_of(
    libraries: tuple[Library, ...], said: dict[str, Any], scenarios: list[str]
) -> list[Run]:
    """Reliable settings too, where there are some."""
    return [
        Run(Case(library, style, concurrency=SCENARIOS[scenario].concurrency), scenario)
        for scenario in scenarios
        for library in libraries
        for style in ("default", "reliable")
        if style == "default" or said[library.name]["settings"]
    ]


def play_all(runs: list[Run], results: Results, patience: float, at_once: int) -> None:
    """Add what they give to the results."""
    with ThreadPoolExecutor(at_once) as pool:
        pending = {pool.submit(run.play, patience): run for run in runs}
        try:
            for number, future in enumerate(as_completed(pending), 1):
                run = pending[future]
                _say(f"{number}/{len(runs)} {run.name}: {_outcome(results, run, future.result)}")
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _outcome(results: Results, run: Run, result: Any) -> str:
    try:
        verdict = result()
    except Exception as error:
        traceback.print_exc()
        results.missing[run.name] = str(error).splitlines()[0]
        return "failed"
    results.add(run, verdict)
    return brief(run.scenario, verdict)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    command.end_in_order()
    args = arguments()
    chosen = tuple(item for item in ALL if not args.only or item.name in args.only)
    libraries, missing = command.install(chosen)
    server = RedisServer().start()
    try:
        with server.client() as client:
            version = client.info("server")["redis_version"]
        said = promises(libraries, server.address)
    finally:
        server.destroy()
    about = facts(version, libraries, command.typed("make bench-faults"))
    about["patience"] = args.patience
    scenarios = [name for name in SCENARIOS if not args.faults or name in args.faults]
    before = command.saved("faults") if args.resume else {}
    results = Results(before.get("runs", {}))
    runs = [run for run in runs_of(libraries, said, scenarios) if not results.has(run)]
    play_all(runs, results, args.patience, args.at_once)
    saved = {
        "facts": before.get("facts", about),
        "promises": before.get("promises", {}) | said,
        "runs": results.runs,
        "missing": missing | results.missing,
    }
    text = Report(saved).markdown()
    command.save("faults", saved, text)
    if args.write:
        command.publish("faults", text)


if __name__ == "__main__":
    main()
