"""Chaos: real producers and workers, random faults from a seed, and books that must balance.

    make chaos CHAOS="--seed 7 --tasks 20000 --faults 40"

At the end all faults stop and everything drains. Then every accepted task must have exactly one
result, dead letter or requested cancellation. A run that has lost a task or finds any other problem
exits with 1, and prints the seed, the faults and the history of the task.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import shutil
import signal
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testing.faults import books, report
from testing.faults.injection import KINDS, available
from testing.faults.run import Run, Size
from testing.processes import ROOT
from testing.revision import commit

OUTPUT = ROOT / "build" / "chaos"
README = Path(__file__).parents[2] / "tests/faults/README.md"
SHOWN_PROBLEMS = 20


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="default: a random one, printed")
    parser.add_argument(
        "--tasks", type=int, default=205_000, help="a few of them are one by their key"
    )
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--gap-seconds", type=float, default=4.0, help="between faults, on average")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--producers", type=int, default=3, help="the last one is blocking")
    parser.add_argument("--queues", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=list(KINDS))
    parser.add_argument("--old-redis", action="store_true", help="6.2, and its clock steps too")
    parser.add_argument("--plan", action="store_true", help="print the faults, and do nothing")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for report and logs")
    parser.add_argument(
        "--write", action="store_true", help="put the report into tests/faults/README.md"
    )
    args = parser.parse_args(words)
    for name in ("tasks", "faults", "workers", "producers", "queues"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    if args.gap_seconds <= 0:
        parser.error("--gap-seconds must be more than 0")
    missing = set(args.only or ()) - set(available(old_redis=args.old_redis))
    if missing:
        parser.error(f"can't be injected here: {', '.join(sorted(missing))}")
    if args.seed is None:
        args.seed = secrets.randbelow(1_000_000)
    return args


def summary(args: argparse.Namespace, run: Run, found: books.Books, seconds: float) -> Any:
    """Return the facts and figures of the report."""
    ends, repeats = found.ends(), found.repeats()
    journal = [more for e in found.entries.values() for more in e.noted("accepted")]
    return {
        "facts": _facts(args),
        "numbers": {
            "seconds": round(seconds),
            "accepted": len(found.tasks()),
            "succeeded": ends["succeeded"],
            "failed": ends["failed"],
            "cancelled": ends["cancelled"],
            "lost": sum("LOST" in problem for problem in found.problems),
            "buried": found.innocents_buried(),
            "problems": len(found.problems),
            "repeats": len(repeats),
            "finished_twice": found.finished_twice(),
            "faults": len(run.injected),
            "double": sum(one.fault.double for one in run.injected),
            "orders_resent": journal.count("exists"),
            **run.starts,
        },
        "costs": report.costs(run.injected, repeats),
        "about": {name: kind.about for name, kind in KINDS.items()},
        "faults": [asdict(one) for one in run.injected],
        "problems": found.problems,
    }


def _facts(args: argparse.Namespace) -> dict[str, str]:
    standard = arguments([])
    options = [f"--seed {args.seed} --tasks {args.tasks} --faults {args.faults}"]
    options += [
        f"--{name.replace('_', '-')} {getattr(args, name)}"
        for name in ("gap_seconds", "workers", "producers", "queues")
        if getattr(args, name) != getattr(standard, name)
    ]
    options += ["--old-redis"] if args.old_redis else []
    options += [f"--only {' '.join(map(repr, args.only))}"] if args.only else []
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "command": f'make chaos CHAOS="{" ".join(options)}"',
        "machine": (
            f"{os.cpu_count()} cores, Python {platform.python_version()}, {args.workers} workers, "
            f"{args.producers} producers, {args.queues} queues, lease 5 s"
        ),
    }


async def _play(run: Run) -> books.Books:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run.play()


def main() -> int:
    args = arguments()
    folder: Path = args.output / "run"
    names = ("seed", "tasks", "faults", "gap_seconds", "workers", "producers", "queues")
    names += ("old_redis",)
    size = Size(**{name: getattr(args, name) for name in names}, only=tuple(args.only or ()))
    run = Run(size, folder)
    if args.plan:
        for fault in run.plan:
            print(json.dumps(asdict(fault)))
        return 0
    print(f"seed {args.seed}: {args.tasks} tasks, {args.faults} faults", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.monotonic()
    try:
        found = asyncio.run(_play(run))
    except asyncio.CancelledError:
        print("interrupted", file=sys.stderr)
        return 130
    saved = summary(args, run, found, time.monotonic() - begun)
    text = report.markdown(saved)
    (args.output / "report.json").write_text(json.dumps(saved, indent=1, default=str), "utf-8")
    (args.output / "report.md").write_text(text, "utf-8")
    print(text)
    if found.problems:
        _complain(args, run, found)
        return 1
    if args.write:
        report.write_into(README, text)
    return 0


def _complain(args: argparse.Namespace, run: Run, found: books.Books) -> None:
    print(f"{len(found.problems)} problems with seed {args.seed}. The faults:", file=sys.stderr)
    for one in sorted(run.injected, key=lambda one: one.begun):
        print(f"  {one.begun:.3f}-{one.ended:.3f} {one.pids} {one.fault}", file=sys.stderr)
    for problem in found.problems[:SHOWN_PROBLEMS]:
        print(problem, file=sys.stderr)
    print(f"logs and ledger: {args.output / 'run'}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
