"""A library under one set of settings, and how its processes are started in that."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.agent import MARK
from benchmarks.harness.environments import ROOT, bytecode_folder, python_of
from benchmarks.harness.libraries import Library

ROLE_SECONDS = 180.0
"""The longest that a producer may take."""


@dataclass(frozen=True)
class Case:
    """A library under one set of settings; see `harness.adapters.base.Setup`.

    Attributes:
        job: "async", a coroutine function; "thread", a plain one; "process", a plain one in a
            process. Only ours: "limited", which may run few times at once, and any other place
            that `run_in` names.
        processes: of workers.
    """

    library: Library
    style: str = "best"
    concurrency: int | None = 32
    loop: str = "asyncio"
    queues: int = 1
    job: str = "async"
    processes: int = 1

    def words(self, role: str, *rest: object) -> list[str]:
        """The command of a role: see `harness.agent`."""
        name = self.library.name
        return [python_of(name), "-m", "benchmarks.harness.agent", name, role, *map(str, rest)]

    def environment(self, redis: str, record: Path) -> dict[str, str]:
        """Of all its processes.

        Args:
            redis: address of the server.
            record: where its jobs write that they ran.
        """
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "queue")]),
            "PYTHONPYCACHEPREFIX": str(bytecode_folder()),
            "PYTHONSAFEPATH": "1",
            "BENCH_REDIS": redis,
            "BENCH_STYLE": self.style,
            "BENCH_CONCURRENCY": str(self.concurrency or ""),
            "BENCH_LOOP": self.loop,
            "BENCH_QUEUES": str(self.queues),
            "BENCH_JOB": self.job,
            "BENCH_RECORD": str(record),
        }

    def command(self, redis: str, record: Path) -> list[str]:
        """The words that start a worker as its documentation does, with nothing before it."""
        found: list[str] = self.ask(redis, record, "command")
        return found

    def ask(self, redis: str, record: Path, role: str, *rest: object) -> Any:
        """Run a producer's role; gives its answer.

        Raises:
            RuntimeError: it failed.
        """
        done = subprocess.run(
            self.words(role, *rest),
            env=self.environment(redis, record),
            cwd=record.parent,
            capture_output=True,
            text=True,
            timeout=ROLE_SECONDS,
            check=False,
        )
        for line in done.stdout.splitlines():
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise RuntimeError(f"{self.library.name}: {role} failed\n{done.stderr[-3000:]}")


def at_best(library: Library, concurrency: int = 32, loop: str = "asyncio") -> Case:
    """Return the settings that a library's documentation offers for speed, and its fastest job."""
    return Case(library, concurrency=concurrency, loop=loop, job=library.job)


def defaults(library: Library) -> Case:
    """As the library's own first example has it."""
    return Case(library, style="default", concurrency=None, job=library.job)


def as_shown(library: Library) -> Case:
    """The same, but for the number of tasks at the same time, where the library lets it be set."""
    return replace(defaults(library), concurrency=None if library.one_at_a_time else 32)
