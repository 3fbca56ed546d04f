"""What the agent hands to a library's module, and what it expects there.

A module has `noop` (the job: count, and give the argument back), `work()` (run a worker until
SIGTERM) and `Producer`. A producer's `enqueue` gives what its `result` takes; it has `enqueue_many`
if the library has batches, and `round_trip` in the place of `result` if one call does both. These
are coroutines or plain functions, as the library's own are; for plain ones the agent uses threads
where it would use coroutines.

Two styles. `default`: as the library's own first example has it. `best`: what its documentation
offers for speed, and no log line per task. Results are stored in both.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tally import Tally


@dataclass(frozen=True)
class Setup:
    """How to run, from the environment: CLIs and forked children see it too.

    Attributes:
        redis: address of the server that was started for this.
        best: the style.
        concurrency: tasks at the same time in one worker process, in style `best`.
        uvloop: the event loop, in style `best`.
        queues: fetched from by one worker (where the library is measured with several).
        threads: the job is a plain function (where the library is measured with both).
    """

    redis: str
    best: bool
    concurrency: int
    uvloop: bool
    queues: int
    threads: bool
    tally_path: str

    @classmethod
    def from_environment(cls) -> Setup:
        env = os.environ
        return cls(
            redis=env["BENCH_REDIS"],
            best=env["BENCH_STYLE"] == "best",
            concurrency=int(env["BENCH_CONCURRENCY"]),
            uvloop=env["BENCH_LOOP"] == "uvloop",
            queues=int(env["BENCH_QUEUES"]),
            threads=env["BENCH_JOB"] == "thread",
            tally_path=env["BENCH_TALLY"],
        )

    @property
    def port(self) -> int:
        return int(self.redis.rpartition(":")[2])


setup = Setup.from_environment()
tally = Tally(setup.tally_path)


def quiet() -> None:
    """Style `best` writes no log line per task; style `default` logs as the library does."""
    if setup.best:
        logging.disable(logging.INFO)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run an asyncio worker in the loop that is measured."""
    factory = None
    if setup.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def run_command(name: str, *words: str) -> NoReturn:
    """Become a command of the library's own."""
    path = str(Path(sys.executable).with_name(name))
    os.execv(path, [path, *words])
