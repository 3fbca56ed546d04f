"""One Redis, and the processes of the libraries on it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cases import Case
from benchmarks.harness.processes import Group
from benchmarks.harness.tally import jobs_in, span
from benchmarks.host import redis_cpu_seconds
from testing.redis_server import RedisServer

SCRIPT_COMMANDS = ("eval", "evalsha", "fcall")
QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class Load:
    """The work of Redis up to a moment."""

    cpu_seconds: float
    commands: int  # those that scripts call, too
    reads: int  # from sockets: a pipeline is one

    def since(self, before: Load) -> Load:
        return Load(
            self.cpu_seconds - before.cpu_seconds,
            self.commands - before.commands,
            self.reads - before.reads,
        )


class Bench:
    """Owns the server, and a folder for logs and tallies; use it as a context manager."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="identtqueue-bench-"))
        self.server = RedisServer()
        self._runs = 0

    def __enter__(self) -> Bench:
        self.server.start()
        self.redis = self.server.client()
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        self.server.destroy()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fresh(self) -> Path:
        """An empty Redis, with nothing left from the run before; gives the next tally's path."""
        self.redis.flushall()
        self.redis.config_resetstat()
        return self.next_tally()

    def next_tally(self) -> Path:
        """Name the file in which the jobs of the next run note themselves. Redis is left alone."""
        self._runs += 1
        return self._folder / f"tally-{self._runs}"

    @property
    def redis_version(self) -> str:
        return str(self.redis.info("server")["redis_version"])

    def load(self) -> Load:
        """Read the work of Redis so far."""
        stats = self.redis.info("stats")
        commands = sum(row["calls"] for row in self.redis.info("commandstats").values())
        return Load(redis_cpu_seconds(self.redis), commands, stats["total_reads_processed"])

    def script_calls(self) -> int:
        """Scripts that clients have called so far."""
        stats = self.redis.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in SCRIPT_COMMANDS)

    def used_memory(self) -> int:
        """Bytes that Redis uses, when nobody but this object is connected."""
        end = time.monotonic() + QUIET_SECONDS
        while self.redis.info("clients")["connected_clients"] > 1:
            if time.monotonic() > end:
                raise RuntimeError("others are still connected to Redis")
            time.sleep(0.005)
        return int(self.redis.info("memory")["used_memory"])

    def ask(self, case: Case, tally: Path, role: str, *words: object) -> Any:
        """Run a producer's role; gives its answer."""
        return case.ask(self.server.address, tally, role, *words)

    def seconds_to_first_job(self, case: Case, tally: Path, limit: float) -> float:
        """Start a worker as its documentation does, for a task that waits; until that runs."""
        words = case.command(self.server.address, tally)
        log = self._folder / f"{case.library.name}-start.log"
        began = time.monotonic_ns()
        group = Group(words, case.environment(self.server.address, tally), log, self._folder)
        self._groups = [group]
        try:
            self.wait_for_jobs(tally, 1, limit)
            return (span(tally, 0, 1).first - began) / 1e9
        finally:
            group.kill()

    @contextmanager
    def workers(self, case: Case, tally: Path) -> Iterator[list[int]]:
        """Worker processes, `case.processes` of them; gives their pids."""
        log = self._folder / f"{case.library.name}.log"
        log.write_bytes(b"")
        groups: list[Group] = []
        try:
            words, environment = case.words("work"), case.environment(self.server.address, tally)
            groups.extend(
                Group(words, environment, log, self._folder) for _ in range(case.processes)
            )
            self._groups = groups
            yield [group.pid for group in groups]
            for group in groups:
                group.check()
        finally:
            for group in groups:
                group.stop()

    def wait_for_jobs(self, tally: Path, number: int, seconds: float) -> int:
        """Wait until so many jobs have run; gives how many have.

        Raises:
            RuntimeError: not in time.
        """
        end = time.monotonic() + seconds
        while (done := jobs_in(tally)) < number:
            for group in self._groups:
                group.check()
            if time.monotonic() > end:
                raise RuntimeError(f"only {done} of {number} jobs ran in {seconds:.0f} s")
            time.sleep(0.005)
        return done
