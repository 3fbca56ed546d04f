"""A library under one set of settings, and how its processes are started in that."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.agent import MARK
from benchmarks.harness.environments import ROOT, python_of
from benchmarks.harness.libraries import Library

ROLE_SECONDS = 180.0
"""The longest that a producer may take."""


@dataclass(frozen=True)
class Case:
    """A library under one set of settings; see `harness.adapters.base.Setup`."""

    library: Library
    style: str = "best"
    concurrency: int | None = 32
    loop: str = "asyncio"
    queues: int = 1
    job: str = "async"
    processes: int = 1

    @property
    def label(self) -> str:
        if self.style == "default":
            return f"default c={self.concurrency}" if self.concurrency else "default"
        return f"c={self.concurrency} {self.loop if self.library.loops else 'threads'}"

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
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "queue")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "BENCH_REDIS": redis,
            "BENCH_STYLE": self.style,
            "BENCH_CONCURRENCY": str(self.concurrency or ""),
            "BENCH_LOOP": self.loop,
            "BENCH_QUEUES": str(self.queues),
            "BENCH_JOB": self.job,
            "BENCH_RECORD": str(record),
        }

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


def defaults(library: Library) -> Case:
    """As the library's own first example has it."""
    return replace(Case(library), style="default", concurrency=None)


def as_shown(library: Library) -> Case:
    """The same, but for the number of tasks at the same time, where the library lets it be set."""
    return replace(defaults(library), concurrency=None if library.one_at_a_time else 32)
