"""Chaos: real producers and workers, random faults from a seed, and books that must balance.

    make chaos CHAOS="--seed 7 --tasks 20000 --faults 40"

At the end all faults stop, everything drains, and every accepted task must have exactly one
result, one dead letter or one cancellation that was asked for. A run that loses anything, or
finds anything else wrong, ends with 1 and prints the seed, the faults and the task's history.
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
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from faults import books, report
from faults.injection import available
from faults.orders import Order, orders_of
from faults.plan import Fault, make_plan
from faults.producer import read_journal
from faults.report import Injected
from faults.system import ProducerMember, System, system
from identtqueue.admin import Admin
from identtqueue.errors import RedisError
from support.processes import ROOT
from support.proxy import Proxy
from support.waiting import eventually

OUTPUT = ROOT / "build" / "chaos"
README = Path(__file__).with_name("README.md")
DRAIN_SECONDS = 180.0
"""When all faults have stopped: until everything has ended. Delays, retries and waits of the
producers included."""

PROGRESS_SECONDS = 5.0
SHOWN_PROBLEMS = 20


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="default: a random one, printed")
    parser.add_argument("--tasks", type=int, default=200_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--gap-seconds", type=float, default=4.0, help="between faults, on average")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--producers", type=int, default=3, help="the last one is blocking")
    parser.add_argument("--queues", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=list(available()))
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
    if args.seed is None:
        args.seed = secrets.randbelow(1_000_000)
    return args


class Run:
    """One run."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args = args
        self._folder = folder
        self._kinds = available()
        shapes = {
            name: kind.shape
            for name, kind in self._kinds.items()
            if not args.only or name in args.only
        }
        self.plan = make_plan(args.seed, args.faults, shapes, args.gap_seconds)
        self.queues = [f"chaos-{n}" for n in range(args.queues)]
        self.injected: list[Injected] = []
        self.problems: list[str] = []
        self._now: dict[int, str] = {}  # faults that are going on
        self._begun = time.monotonic()
        self._numbers: dict[str, int] = {}

    async def play(self) -> books.Books:
        """From the first start to the books."""
        self._begun = time.monotonic()
        async with (
            AsyncExitStack() as exits,
            system(self._folder, self.queues, self._args.workers) as made,
        ):
            admin = await exits.enter_async_context(Admin(made.address))
            await self._add_producers(made, exits)
            watch = asyncio.create_task(self._watch(made, admin))
            try:
                await self._inject_all(made)
                self._say("all faults have stopped")
                await self._drain(made, admin)
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            for worker in made.workers:
                await asyncio.wait_for(worker.stop(), 60)
            return await asyncio.to_thread(self._make_up, made)

    async def _add_producers(self, made: System, exits: AsyncExitStack) -> None:
        for number in range(self._args.producers):
            proxy = await exits.enter_async_context(Proxy(made.primary.port))
            share = self._share(number)
            options = [
                *("--seed", str(self._args.seed), "--producer", str(number)),
                *("--tasks", str(share), "--per-second", f"{share / self._load_seconds():.3f}"),
                *(word for queue in self.queues for word in ("--queue", queue)),
                *(["--blocking"] if number == self._args.producers - 1 else []),
            ]
            journal = self._folder / f"producer-{number}"
            made.producers.append(ProducerMember(number, proxy, journal, options))
            made.producers[-1].start()

    def _share(self, producer: int) -> int:
        tasks, producers = self._args.tasks, self._args.producers
        return tasks // producers + (producer < tasks % producers)

    def _load_seconds(self) -> float:
        """The tasks are spread over the time of the faults."""
        return max(self.plan[-1].at_seconds, 1.0)

    # --- faults ---

    async def _inject_all(self, made: System) -> None:
        async with asyncio.TaskGroup() as group:
            begun = time.monotonic()
            for fault in self.plan:
                await asyncio.sleep(begun + fault.at_seconds - time.monotonic())
                group.create_task(self._inject(made, fault))

    async def _inject(self, made: System, fault: Fault) -> None:
        begun = time.monotonic()
        self._now[fault.number] = fault.kind
        try:
            pids = await self._kinds[fault.kind].inject(made, fault)
        finally:
            del self._now[fault.number]
        self.injected.append(Injected(fault, begun, time.monotonic(), pids))

    # --- watching ---

    async def _watch(self, made: System, admin: Admin) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with suppress(RedisError, TimeoutError):
                async with asyncio.timeout(2):
                    await self._look(admin)
            self._progress(made)

    async def _look(self, admin: Admin) -> None:
        depths = (await admin.depths(self.queues)).values()
        self._numbers = {
            "enqueued": sum(d.counters.get("enqueued", 0) for d in depths),
            "ended": sum(
                d.counters.get(name, 0)
                for d in depths
                for name in ("succeeded", "failed", "cancelled")
            ),
            "queued": sum(d.queued for d in depths),
            "in flight": sum(d.in_flight for d in depths),
            "scheduled": sum(d.scheduled for d in depths),
        }

    def _progress(self, made: System) -> None:
        numbers = "  ".join(f"{name} {n:,}" for name, n in self._numbers.items())
        starts = sum(worker.starts for worker in made.workers)
        self._say(
            f"faults {len(self.injected)}/{len(self.plan)}  {numbers}  worker starts {starts}  "
            f"now: {', '.join(self._now.values()) or '-'}"
        )

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.0f} s  {text}", file=sys.stderr, flush=True)

    # --- the end ---

    async def _drain(self, made: System, admin: Admin) -> None:
        """Everything ends, within a bounded time."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                for producer in made.producers:
                    await producer.ended()
                await eventually(
                    lambda: self._is_empty(admin), "the queues drain", seconds=DRAIN_SECONDS
                )
        except (TimeoutError, AssertionError):
            self.problems.append(
                f"not drained within {DRAIN_SECONDS:g} s of the last fault: {self._numbers}"
            )
            for producer in made.producers:
                producer.destroy()

    async def _is_empty(self, admin: Admin) -> bool:
        with suppress(RedisError):
            await self._look(admin)
            return not any(self._numbers[name] for name in ("queued", "in flight", "scheduled"))
        return False

    def _make_up(self, made: System) -> books.Books:
        self._say("making up the books")
        journals = chain.from_iterable(read_journal(p.journal) for p in made.producers)
        with made.primary.client() as raw:
            found = books.make_up(
                chain(self._orders(), made.orders),
                journals if not made.orders else chain(journals, _accepted(made.orders)),
                made.ledger.lines(),
                raw,
                self.queues,
            )
        for member in made.members:
            found.problems += member.surprises
        found.problems += [*self.problems, *self._tracebacks()]
        self.starts = {
            "worker_starts": sum(worker.starts for worker in made.workers),
            "producer_starts": sum(producer.starts for producer in made.producers),
        }
        return found

    def _orders(self) -> Iterator[Order]:
        for number in range(self._args.producers):
            for group in orders_of(self._args.seed, number, self.queues, self._share(number)):
                yield from group

    def _tracebacks(self) -> Iterator[str]:
        """No fault of these is one that a worker may not expect."""
        for log in sorted(self._folder.glob("*.log")):
            text = log.read_text(errors="replace")
            if "Traceback" in text:
                start = text.index("Traceback")
                yield f"{log.name}: {text[max(0, start - 300) : start + 3000]}"


def _accepted(orders: list[Order]) -> Iterator[tuple[str, str, str]]:
    for order in orders:
        yield "accepted", order.task_id, "ok"


def summary(args: argparse.Namespace, run: Run, found: books.Books, seconds: float) -> Any:
    """All that is reported."""
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
            "problems": len(found.problems),
            "repeats": len(repeats),
            "finished_twice": found.finished_twice(),
            "faults": len(run.injected),
            "double": sum(one.fault.double for one in run.injected),
            "orders_resent": journal.count("exists"),
            **run.starts,
        },
        "costs": report.costs(run.injected, repeats),
        "about": {name: kind.about for name, kind in available().items()},
        "faults": [asdict(one) for one in run.injected],
        "problems": found.problems,
    }


def _facts(args: argparse.Namespace) -> dict[str, str]:
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    options = [f"--seed {args.seed} --tasks {args.tasks} --faults {args.faults}"]
    options += [f"--only {' '.join(map(repr, args.only))}"] if args.only else []
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
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
    run = Run(args, folder)
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
