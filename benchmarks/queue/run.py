"""idenTTqueue beside its peers, on this machine: `make bench`, or see `--help`."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import Bench
from environments import ROOT, interpreter, python_of
from libraries import ALL, Library
from machine import facts
from plan import FULL, QUICK, Mode, measure
from report import Report, write_into

OUTPUT = ROOT / "build" / "bench"
README = ROOT / "benchmarks" / "README.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the main peers, few tasks, one round: below 3 minutes"
    )
    parser.add_argument("--rounds", type=int, help="of each measure; the median counts")
    parser.add_argument("--seconds", type=float, help="that one run should take")
    parser.add_argument(
        "--only", nargs="+", metavar="LIBRARY", choices=[library.name for library in ALL]
    )
    parser.add_argument(
        "--write", action="store_true", help="put table and plot into benchmarks/README.md"
    )
    return parser.parse_args()


def mode_of(args: argparse.Namespace) -> Mode:
    mode = QUICK if args.quick else FULL
    if args.only:
        chosen = tuple(library for library in ALL if library.name in args.only)
        mode = replace(mode, libraries=chosen)
    return replace(mode, rounds=args.rounds or mode.rounds, seconds=args.seconds or mode.seconds)


def run(mode: Mode) -> dict[str, Any]:
    """Measure; all that the report needs."""
    missing = {library.name: why for library in mode.libraries if (why := _impossible(library))}
    mode = replace(
        mode, libraries=tuple(item for item in mode.libraries if item.name not in missing)
    )
    for library in mode.libraries:
        python_of(library.name)  # installs it, before anything is measured
    with Bench() as bench:
        about = facts(bench, mode.libraries, " ".join(["make bench", *_own_options()]))
        results = measure(bench, mode)
    return {"facts": about, "runs": results.runs, "missing": missing | results.missing}


def _impossible(library: Library) -> str | None:
    """Why this Python can't run it."""
    python = interpreter()
    if python.number >= library.oldest_python:
        return None
    return f"needs Python {'.'.join(map(str, library.oldest_python))}, found {python.version}"


def _own_options() -> list[str]:
    options = [word for word in sys.argv[1:] if word != "--write"]
    return [f'BENCH="{" ".join(options)}"'] if options else []


def main() -> None:
    # An end from outside cleans up as an interrupt does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = arguments()
    saved = run(mode_of(args))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    results = OUTPUT / "queue.json"
    results.write_text(json.dumps(saved, indent=1), "utf-8")
    text = Report(saved).markdown()
    (OUTPUT / "queue.md").write_text(text, "utf-8")
    print(text)
    folder = README.parent if args.write else OUTPUT
    plot = str(Path(__file__).with_name("plot.py"))
    subprocess.run([python_of("plot"), plot, str(results), str(folder)], check=True)
    if args.write:
        write_into(README, text)
    print(f"saved in {OUTPUT.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
