"""huey. Best: as many threads as the concurrency, results announced rather than polled for."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey
from huey.exceptions import TaskException
from huey.signals import SIGNAL_INTERRUPTED

from benchmarks.harness.adapters.base import (
    FAILED,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

DEPLOYMENT = "https://huey.readthedocs.io/en/latest/deployment.html"

promise = Promise(
    "at most once",
    "at most once: a task interrupted by SIGKILL is lost",
    f"{DEPLOYMENT}#shutdown-signals",
    {
        "--graceful-signal TERM": f"{DEPLOYMENT}#shutdown-signals",
        "a handler of SIGNAL_INTERRUPTED that enqueues again": f"{DEPLOYMENT}#shutdown-signals",
    },
)

options: dict[str, Any] = {"notify_result": True} if setup.best else {}
huey = RedisHuey("bench", url=setup.redis, **options)


@huey.task()
def noop(value: int) -> int:
    tally.count()
    return value


@huey.task()
def hold(label: str, seconds: float) -> str:
    return ledger.hold_blocking(label, seconds)


if setup.reliable:

    @huey.signal(SIGNAL_INTERRUPTED)
    def enqueue_again(signal: str, task: Any, *_: Any) -> None:
        huey.enqueue(task)


def work() -> None:
    words = setup.option("--workers")
    if setup.best:
        words += ["--no-periodic", "--quiet"]
    if setup.reliable:
        words += ["--graceful-signal", "TERM"]
    run_command("huey_consumer", "benchmarks.harness.adapters.huey.huey", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        huey.storage.conn.close()

    def enqueue(self, value: int) -> Any:
        return noop(value)

    def result(self, task: Any) -> int:
        return task.get(blocking=True, timeout=30)

    def enqueue_hold(self, label: str, seconds: float) -> str:
        return hold(label, seconds).id

    def outcome(self, task_id: str) -> str | None:
        try:
            found = huey.result(task_id, preserve=True)
        except TaskException:
            return FAILED
        return None if found is None else SUCCEEDED
