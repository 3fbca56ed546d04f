"""The interface between the agent and a library's module.

A module has two jobs, `noop` (count, and give the argument back) and `hold` (write start and end
into the ledger); `promise`, what the library's documentation says about delivery; `work()` (run a
worker until SIGTERM) and `Producer`. A producer's `enqueue` gives what its `result` takes; it has
`enqueue_many` if the library has batches, and `round_trip` in the place of `result` if one call
does both. `enqueue_hold` gives an id, `outcome` says of an id whether an end is recorded:
SUCCEEDED, FAILED or None. All of these are coroutines or plain functions, as the library's own are;
for plain ones the agent uses threads where it would use coroutines.

A library's command replaces the agent's process (`run_command`). Where the documentation starts a
worker from Python, `start_words` names what starts the program that would be written for it.

Three styles. `default`: as the library's own first example has it, with its log. `best`: what its
documentation offers for speed, and no log line per task. `reliable`: the defaults, and what its
documentation offers for faults. Results are stored in all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.harness.ledger import Ledger
from benchmarks.harness.tally import Tally

SUCCEEDED, FAILED = "succeeded", "failed"
TELL = "BENCH_TELL_COMMAND"

SILENCE_SECONDS = 15
"""Style `reliable`: silence of a worker after which its tasks are taken over, where a library lets
that be set. idenTTqueue's default."""

LONGEST_TASK_SECONDS = 60
"""Style `reliable`: for settings that must exceed the longest task."""

GRACE_SECONDS = 25
"""Style `reliable`: for tasks that run at SIGTERM; below Kubernetes' 30 s."""


@dataclass(frozen=True)
class Promise:
    """The promise of a library's documentation.

    Attributes:
        guarantee: delivery as these benchmarks run it, in three words.
        delivery: of a task whose worker dies.
        page: where it says so.
        settings: style `reliable`, each with the page that describes it.
        fenced: a late result of an attempt that has lost its task is refused.
    """

    guarantee: str
    delivery: str
    page: str
    settings: dict[str, str] = field(default_factory=dict)
    fenced: bool = False


@dataclass(frozen=True)
class Setup:
    """How to run, from the environment: CLIs and forked children see it too.

    Attributes:
        redis: address of the server that was started for this.
        style: one of the above.
        concurrency: tasks at the same time in one worker process; None: the library's default.
        uvloop: the event loop, in style `best`.
        queues: fetched from by one worker (where the library is measured with several).
        job: what it is: "async", "thread" (a plain function), "process"; see `Case`.
        record: file of the tally or of the ledger.
    """

    redis: str
    style: str
    concurrency: int | None
    uvloop: bool
    queues: int
    job: str
    record: str

    @classmethod
    def from_environment(cls) -> Setup:
        env = os.environ
        return cls(
            redis=env["BENCH_REDIS"],
            style=env["BENCH_STYLE"],
            concurrency=int(env["BENCH_CONCURRENCY"] or 0) or None,
            uvloop=env["BENCH_LOOP"] == "uvloop",
            queues=int(env["BENCH_QUEUES"]),
            job=env["BENCH_JOB"],
            record=env["BENCH_RECORD"],
        )

    @property
    def best(self) -> bool:
        return self.style == "best"

    @property
    def reliable(self) -> bool:
        return self.style == "reliable"

    def given(self, name: str) -> dict[str, Any]:
        """The concurrency as a setting of that name; none if it is left to the library."""
        return {name: self.concurrency} if self.concurrency else {}

    def option(self, name: str) -> list[str]:
        """The same as words of a command."""
        return [name, str(self.concurrency)] if self.concurrency else []


setup = Setup.from_environment()
tally = Tally(setup.record)
ledger = Ledger(setup.record)


def quiet() -> None:
    """Style `best` writes no log line per task; the others log as the library does."""
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


class CommandTold(Exception):
    """The words of a command that was asked for, and not started: see `told`."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        self.words = list(words)


def told(work: Callable[[], None]) -> list[str]:
    """Return the words of the command that a module's `work` would become."""
    os.environ[TELL] = "1"
    try:
        work()
    except CommandTold as command:
        return command.words
    raise RuntimeError("`work` started a worker instead of a command: it needs `start_words`")


def run_command(name: str, *words: str) -> NoReturn:
    """Become a command of the library's own."""
    path = str(Path(sys.executable).with_name(name))
    if TELL in os.environ:
        raise CommandTold([path, *words])
    os.execv(path, [path, *words])
