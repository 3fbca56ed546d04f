"""idenTTqueue beside its peers, on this machine: `make bench`, or see `--help`."""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import replace
from typing import Any

from benchmarks.harness import command
from benchmarks.harness.environments import ROOT, python_of
from benchmarks.harness.libraries import ALL
from benchmarks.harness.machine import facts
from benchmarks.harness.promises import promises
from benchmarks.queue.bench import Bench
from benchmarks.queue.modes import Mode
from benchmarks.queue.plan import FULL, QUICK, TARGETS, measure
from benchmarks.queue.report import PLOT, Report


def arguments() -> argparse.Namespace:
    parser = command.parser(__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="the main peers, few tasks, one round: below 4 minutes"
    )
    size.add_argument(
        "--targets",
        action="store_true",
        help="three rounds of what the targets need: below 20 minutes",
    )
    parser.add_argument("--rounds", type=int, help="of each measure; the median counts")
    parser.add_argument("--seconds", type=float, help="that one run should take")
    return parser.parse_args()


def mode_of(args: argparse.Namespace) -> Mode:
    mode = QUICK if args.quick else TARGETS if args.targets else FULL
    if args.only:
        chosen = tuple(library for library in ALL if library.name in args.only)
        mode = replace(mode, libraries=chosen)
    return replace(mode, rounds=args.rounds or mode.rounds, seconds=args.seconds or mode.seconds)


def run(mode: Mode) -> dict[str, Any]:
    """Measure; all that the report needs."""
    libraries, missing = command.install(mode.libraries)
    mode = replace(mode, libraries=libraries)
    with Bench() as bench:
        about = facts(bench.redis_version, mode.libraries, command.typed("make bench"))
        said = promises(mode.libraries, bench.server.address)
        results = measure(bench, mode)
    return {
        "facts": about,
        "promises": said,
        "runs": results.runs,
        "missing": missing | results.missing,
    }


def main() -> None:
    command.end_in_order()
    args = arguments()
    saved = run(mode_of(args))
    text = Report(saved).markdown()
    results = command.save("queue", saved, text)
    folder = command.PICTURES if args.write else command.OUTPUT
    plot = [python_of("plot"), "-m", "benchmarks.queue.plot", str(results), str(folder)]
    subprocess.run(plot, cwd=ROOT, check=True)
    if args.write:
        command.publish("results", f"{PLOT}\n\n{text}")


if __name__ == "__main__":
    main()
