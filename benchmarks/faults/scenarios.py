"""The faults. Each scenario plays on a stage of its own, and gives what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.faults.stage import Stage
from benchmarks.faults.verdict import RUNNING, Record
from benchmarks.harness.ledger import END, POISON, START, times

OTHERS = tuple((f"waiting{number}", 0.2) for number in range(1, 4))
TASK_SECONDS = 8.0
"""Less than any default time-out (saq's is 10 s), and long beside a slow start of a producer."""

SETTLE_IN_SECONDS = 3.0
"""Some peers sweep when they start, and take a task for lost that is just being fetched."""

INTO_THE_TASK_SECONDS = 0.5
"""When the fault comes, from the start of the task that runs."""

REDIS_AWAY_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""Kubernetes' default for `terminationGracePeriodSeconds`."""

MOST_DELIVERIES = 12
AFTERMATH_SECONDS = 75.0
"""How long a task that has ended may come back: the peers look for lost ones after 60 s."""


def kill(stage: Stage) -> Record:
    """SIGKILL of the worker with all its processes; a fresh one starts at once."""
    _run_into_it(stage, TASK_SECONDS)
    fault = time.monotonic()
    stage.worker.kill()
    stage.start_worker()
    stage.watch()
    stage.wait(stage.settled, stage.patience)
    return stage.record(fault=fault)


def redis_busy(stage: Stage) -> Record:
    """SIGKILL of Redis, which comes back with its append-only file; the worker has no free slot."""
    _run_into_it(stage, TASK_SECONDS)
    return _redis_restarted(stage)


def redis_free(stage: Stage) -> Record:
    """The same while the worker waits for more to do; the others are enqueued afterwards."""
    _run_into_it(stage, TASK_SECONDS, others=())
    return _redis_restarted(stage, later=OTHERS)


def poison(stage: Stage) -> Record:
    """A task that kills the process it runs in; the worker is started again each time."""
    _at_work(stage, [(POISON, 0), *OTHERS[:1]])
    stage.watch()

    def over() -> bool:
        return stage.settled() or len(times(stage.lines(), START, POISON)) >= MOST_DELIVERIES

    stage.wait(over, stage.patience)
    return stage.record()


def term(stage: Stage) -> Record:
    """SIGTERM while a task runs that ends within the grace; then a fresh worker."""
    return _terminated(stage, TASK_SECONDS)


def long(stage: Stage) -> Record:
    """SIGTERM while a task runs that does not end within the grace; then a fresh worker."""
    return _terminated(stage, GRACE_SECONDS * 1.5)


def _redis_restarted(stage: Stage, later: Sequence[tuple[str, float]] = ()) -> Record:
    fault = time.monotonic()
    stage.server.kill()
    stage.wait(lambda: False, REDIS_AWAY_SECONDS)
    stage.server.start()
    back = stage.enqueue(later) if later else time.monotonic()
    stage.watch()
    _settle(stage)
    return stage.record(fault=fault, back=back)


def _terminated(stage: Stage, seconds: float) -> Record:
    _run_into_it(stage, seconds)
    fault = time.monotonic()
    stage.end_worker(GRACE_SECONDS)
    stage.start_worker()
    stage.watch()
    _settle(stage)
    return stage.record(fault=fault)


def _run_into_it(
    stage: Stage, seconds: float, others: Sequence[tuple[str, float]] = OTHERS
) -> None:
    """The worker runs a task, others wait, and now it is time."""
    _at_work(stage, [(RUNNING, seconds), *others])
    stage.begun(RUNNING)
    stage.wait(lambda: False, INTO_THE_TASK_SECONDS)
    if times(stage.lines(), END, RUNNING):
        raise RuntimeError("the machine is too busy: the task ended before the fault came")


def _at_work(stage: Stage, tasks: Sequence[tuple[str, float]]) -> None:
    """A worker that has been at work for a moment gets these."""
    batch = stage.prepare(tasks)
    stage.start_worker()
    stage.warm_up()
    stage.wait(lambda: False, SETTLE_IN_SECONDS)
    batch.release()


def _settle(stage: Stage) -> None:
    if stage.wait(stage.settled, stage.patience):
        stage.wait(lambda: False, AFTERMATH_SECONDS)


@dataclass(frozen=True)
class Scenario:
    """A fault, and how many tasks the worker may run at a time when it comes."""

    play: Callable[[Stage], Record]
    concurrency: int = 1


SCENARIOS = {
    "kill": Scenario(kill),
    "poison": Scenario(poison),
    "redis": Scenario(redis_busy),
    "redis_free": Scenario(redis_free, concurrency=4),
    "long": Scenario(long),
    "term": Scenario(term),
}
"""In the order in which they are started: those that may take longest first."""
