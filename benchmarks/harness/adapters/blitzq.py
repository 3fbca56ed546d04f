"""blitzq. It needs Python 3.12.

Best: `mode="reliable"`, its default (the other one stores no more and is at most once), the
concurrency, `enqueue_many`, hiredis.
Settings: https://github.com/ainest-labs/BlitzQ/blob/main/docs/performance_tuning.md
Guarantees: https://github.com/ainest-labs/BlitzQ/blob/main/docs/delivery_guarantees.md
"""

from __future__ import annotations

from typing import Any

from blitzq import Queue
from blitzq.state import TaskState
from blitzq.worker import Worker

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run,
    run_command,
    setup,
    tally,
)

PAGE = "https://github.com/ainest-labs/BlitzQ/blob/main/docs/delivery_guarantees.md"

promise = Promise(
    "at least once",
    "again after `visibility_timeout` (60 s)",
    PAGE,
    {
        f"visibility_timeout={SILENCE_SECONDS}": PAGE,
        f"--shutdown-timeout {GRACE_SECONDS}": PAGE,
    },
)

options: dict[str, Any] = {"visibility_timeout": SILENCE_SECONDS} if setup.reliable else {}
queue = Queue(name="bench", redis_url=setup.redis, **options)


async def async_noop(value: int) -> int:
    tally.count()
    return value


def plain_noop(value: int) -> int:
    tally.count()
    return value


noop = queue.task(name="noop")(async_noop if setup.job == "async" else plain_noop)


@queue.task(name="hold")
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


async def serve() -> None:
    threads = {} if setup.job == "async" else setup.given("threads")
    await Worker(queue, **setup.given("concurrency"), **threads).run()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
        return
    words = ["worker", "benchmarks.harness.adapters.blitzq:queue", *setup.option("--concurrency")]
    if setup.reliable:
        words += ["--shutdown-timeout", str(GRACE_SECONDS)]
    run_command("blitzq", *words)


class Producer:
    async def open(self) -> None:
        quiet()
        await queue.connect()

    async def close(self) -> None:
        await queue.close()

    async def enqueue(self, value: Any) -> Any:
        return await noop.enqueue(value)

    async def enqueue_many(self, values: range) -> None:
        await noop.enqueue_many([(value,) for value in values])

    async def result(self, task: Any) -> int:
        return await task.result(30)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.enqueue(label, seconds)).id

    async def outcome(self, task_id: str) -> str | None:
        state = await queue.status(task_id)
        if state is None or not state.is_final:
            return None
        return SUCCEEDED if state is TaskState.SUCCEEDED else FAILED
