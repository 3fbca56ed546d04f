"""tarsk-redis (Rust core; Redis Streams).

Best: one child with as many slots as the concurrency, and a result that is looked for every ms in
the place of 50. Results are off unless a task has `result_ttl`. There are no batches.
Settings: https://rahmadafandi.github.io/tarsk/how-it-works
Guarantees: https://rahmadafandi.github.io/tarsk/
"""

from __future__ import annotations

from typing import Any

from tarsk import App, TaskFailed

from benchmarks.harness.adapters.base import (
    FAILED,
    LONGEST_TASK_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

PAGE = "https://rahmadafandi.github.io/tarsk/"
POLL_SECONDS = 0.001
RESULT_SECONDS = 3600

promise = Promise(
    "at least once",
    "again when its lease is over: its `timeout` (300 s) and `--lease-grace`",
    PAGE,
    {
        "retries=3": f"{PAGE}tasks",
        f"timeout={LONGEST_TASK_SECONDS}": f"{PAGE}tasks",
        f"--lease-grace {SILENCE_SECONDS}": f"{PAGE}operating",
    },
)

app = App(broker=setup.redis)
options: dict[str, Any] = {}
if setup.reliable:
    options = {"retries": 3, "timeout": LONGEST_TASK_SECONDS}


async def async_noop(value: int) -> int:
    tally.count()
    return value


def plain_noop(value: int) -> int:
    tally.count()
    return value


register = app.task(name="noop", result_ttl=RESULT_SECONDS)
noop = register(async_noop if setup.job == "async" else plain_noop)


@app.task(name="hold", result_ttl=RESULT_SECONDS, **options)
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def work() -> None:
    words = ["worker", "--app", "benchmarks.harness.adapters.tarsk:app", "--broker", setup.redis]
    words += ["--children", "1", *setup.option("--slots")]
    if setup.reliable:
        words += ["--lease-grace", str(SILENCE_SECONDS)]
    run_command("tarsk", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        pass

    def enqueue(self, value: Any) -> str:
        return noop.send(value)

    def result(self, task_id: str) -> int:
        return app.result(task_id).get(30, **({"poll": POLL_SECONDS} if setup.best else {}))

    def enqueue_hold(self, label: str, seconds: float) -> str:
        return hold.send(label, seconds)

    def outcome(self, task_id: str) -> str | None:
        try:
            app.result(task_id).get(0)
        except TimeoutError:
            return None
        except TaskFailed:
            return FAILED
        return SUCCEEDED
