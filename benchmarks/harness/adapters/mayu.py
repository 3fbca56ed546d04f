"""mayu (Rust core). It needs Python 3.13.

Best: `--mode thread` with as many threads as the concurrency, in one process; plain functions,
since an async one is handed to a loop in another thread. On a Python with a GIL its first example,
`--threads 32`, is refused unless thread mode is asked for; without a number of threads it starts
one process per CPU, with one task each. There are no batches.
Settings and guarantees: https://github.com/Siddid-Soni/mayu#reliability and #modes
"""

from __future__ import annotations

from typing import Any

from mayu import App, TaskFailed
from mayu.handle import TaskHandle

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

PAGE = "https://github.com/Siddid-Soni/mayu#reliability"
RESULT_SECONDS = 3600

promise = Promise(
    "at least once",
    "taken over by another worker after `--visibility-timeout` (30 s)",
    PAGE,
    {
        f"--visibility-timeout {SILENCE_SECONDS}": PAGE,
        f"--shutdown-grace {GRACE_SECONDS}": PAGE,
    },
)

app = App(broker=setup.redis, result_ttl=RESULT_SECONDS)


async def async_noop(value: int) -> int:
    tally.count()
    return value


def plain_noop(value: int) -> int:
    tally.count()
    return value


noop = app.task(name="noop")(async_noop if setup.job == "async" else plain_noop)


@app.task(name="hold")
def hold(label: str, seconds: float) -> str:
    return ledger.hold_blocking(label, seconds)


def work() -> None:
    words = ["worker", "benchmarks.harness.adapters.mayu:app"]
    if setup.concurrency:
        words += ["--mode", "thread", *setup.option("--threads")]
    if setup.best:
        words += ["--log-level", "WARNING"]
    if setup.reliable:
        words += ["--visibility-timeout", str(SILENCE_SECONDS)]
        words += ["--shutdown-grace", str(GRACE_SECONDS)]
    run_command("mayu", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        pass

    def enqueue(self, value: Any) -> Any:
        return noop.send(value)

    def result(self, task: Any) -> int:
        return task.result(30)

    def enqueue_hold(self, label: str, seconds: float) -> str:
        return hold.send(label, seconds).id

    def outcome(self, task_id: str) -> str | None:
        try:
            TaskHandle(app, task_id).result(0.01)
        except TimeoutError:
            return None
        except TaskFailed:
            return FAILED
        return SUCCEEDED
