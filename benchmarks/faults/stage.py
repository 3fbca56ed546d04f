"""One Redis, one worker at a time, and a ledger: what a scenario plays on.

The worker is kept as Kubernetes keeps a container: one that has ended is started again (at once,
without the kubelet's growing pause).
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.verdict import Answer, Exit, Record
from benchmarks.harness.agent import MARK
from benchmarks.harness.cases import Case
from benchmarks.harness.ledger import START, Line, read, times
from benchmarks.harness.processes import Group
from testing.redis_server import RedisServer

START_SECONDS = 180.0
"""The longest that a worker may take to its first job; many of them share few cores."""

LOOK_SECONDS = 0.05
stopped = threading.Event()
"""Set when the command is ended: all waits end then, and everything is cleaned up."""

RESTART_SECONDS = 1.0
"""Between two starts of a worker that ends by itself, at least."""


@dataclass
class Stage:
    """Use it as a context manager: everything ends with it.

    Attributes:
        case: library and style.
        patience: seconds that a task may take to run again, before it counts as lost.
    """

    case: Case
    patience: float
    ids: dict[str, str] = field(default_factory=dict)
    exits: list[Exit] = field(default_factory=list)

    def __enter__(self) -> Stage:
        self.folder = Path(tempfile.mkdtemp(prefix="identtqueue-faults-"))
        self._ledger = self.folder / "ledger"
        self._answers = self.folder / "answers"
        self._log = self.folder / "worker.log"
        self.server = RedisServer(aof=True)
        self._worker: Group | None = None
        self._watcher: Group | None = None
        self._producers: list[Group] = []
        self._started_at = 0.0
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for group in (self._watcher, self._worker, *self._producers):
            if group is not None:
                group.kill()
        self.server.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- producer ---

    def prepare(self, tasks: Sequence[tuple[str, float]]) -> Batch:
        """A producer that is connected, to enqueue tasks (label, seconds) in this order."""
        batch = Batch(self, tasks)
        self._producers.append(batch.producer)
        return batch

    def enqueue(self, tasks: Sequence[tuple[str, float]]) -> float:
        """Put tasks into the queue at once; gives when."""
        return self.prepare(tasks).release()

    def watch(self) -> None:
        """From now on, look every few seconds at what is recorded, and enqueue a small task."""
        words = [word for pair in self.ids.items() for word in pair]
        self._watcher = Group(
            self.case.words("watch", *words), self.environment, self._answers, self.folder
        )

    def answers(self) -> list[Answer]:
        """The records, each time that they were looked at."""
        return [Answer(*said) for said in _said(self._answers)]

    def _keep_watcher(self) -> None:
        if self._watcher is not None and self._watcher.exit_code is not None:
            _pause(RESTART_SECONDS)
            self.watch()

    # --- worker ---

    @property
    def environment(self) -> dict[str, str]:
        return self.case.environment(self.server.address, self._ledger)

    @property
    def worker(self) -> Group:
        assert self._worker is not None
        return self._worker

    def start_worker(self) -> None:
        """A fresh one, in the place of the one that has ended."""
        self._started_at = time.monotonic()
        self._worker = Group(self.case.words("work"), self.environment, self._log, self.folder)

    def keep_worker(self) -> None:
        """Note that it has ended by itself, end what it left behind, and start another."""
        code = self.worker.exit_code
        if code is None or time.monotonic() - self._started_at < RESTART_SECONDS:
            return
        self.exits.append(Exit(code, time.monotonic()))
        self.worker.kill()
        self.start_worker()

    def end_worker(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL for what is left after so many seconds, as the kubelet does."""
        self.worker.terminate()
        self.worker.wait(grace_seconds)
        self.worker.kill()
        assert self.worker.exit_code is not None
        self.exits.append(Exit(self.worker.exit_code, time.monotonic()))

    # --- waiting ---

    def lines(self) -> list[Line]:
        return read(self._ledger)

    def warm_up(self) -> None:
        """Let the worker run a task that nobody asks for afterwards."""
        label = "first"
        self.enqueue([(label, 0)])
        self.begun(label)
        del self.ids[label]

    def begun(self, label: str) -> None:
        """Return when the worker runs that task.

        Raises:
            RuntimeError: it does not.
        """
        end = time.monotonic() + START_SECONDS
        while not times(self.lines(), START, label):
            self.worker.check()
            if time.monotonic() > end:
                raise RuntimeError(f"{label} did not start in {START_SECONDS:.0f} s:\n{self.log}")
            _pause(LOOK_SECONDS)

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Keep the worker until then; whether it was in time."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self.keep_worker()
            self._keep_watcher()
            _pause(LOOK_SECONDS)
        return True

    def settled(self) -> bool:
        """Whether an end is recorded for every task."""
        found = self.answers()
        return bool(found) and all(found[-1].outcomes.values())

    @property
    def log(self) -> str:
        """The end of what the workers have said."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    def record(self, **moments: float) -> Record:
        """All that was seen.

        Raises:
            RuntimeError: nobody could look at what is recorded.
        """
        answers = self.answers()
        if not answers:
            raise RuntimeError(f"no answers: {self._answers.read_text(errors='replace')[-3000:]}")
        return Record(tuple(self.ids), self.lines(), answers, moments, tuple(self.exits))


class Batch:
    """Tasks that a producer is ready to enqueue."""

    def __init__(self, stage: Stage, tasks: Sequence[tuple[str, float]]) -> None:
        self._stage = stage
        words = stage.case.words("enqueue", *(word for pair in tasks for word in pair))
        self._output = stage.folder / f"producer-{secrets.token_hex(4)}"
        self.producer = Group(words, stage.environment, self._output, stage.folder, waits=True)

    def release(self) -> float:
        """Enqueue them; gives when the first was.

        Raises:
            RuntimeError: it failed.
        """
        self.producer.release()
        end = time.monotonic() + START_SECONDS
        while not (answers := _said(self._output)):
            if time.monotonic() > end:
                raise RuntimeError(f"not enqueued:\n{self._output.read_text(errors='replace')}")
            _pause(LOOK_SECONDS)
        self._stage.ids |= {label: task_id for label, (_, task_id) in answers[0].items()}
        return min(at for at, _ in answers[0].values())


def _said(output: Path) -> list[Any]:
    """All answers of an agent; see `benchmarks.harness.agent`."""
    if not output.exists():
        return []
    lines = output.read_text(errors="replace").splitlines(keepends=True)
    whole = [line for line in lines if line.startswith(MARK) and line.endswith("\n")]
    return [json.loads(line.removeprefix(MARK)) for line in whole]


def _pause(seconds: float) -> None:
    if stopped.wait(seconds):
        raise RuntimeError("stopped")
