"""streaq. Best: concurrency; it prefetches as much by itself."""

from __future__ import annotations

from typing import Any

from streaq import TaskStatus, Worker

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

PAGE = "https://streaq.readthedocs.io/en/latest/api/worker.html"

promise = Promise(
    "at least once",
    "at least once; tasks of a dead worker are enqueued again after 60 s",
    PAGE,
    {f"idle_timeout={SILENCE_SECONDS}": PAGE, f"grace_period={GRACE_SECONDS}": PAGE},
)

options: dict[str, Any] = setup.given("concurrency")
if setup.reliable:
    options |= {"idle_timeout": SILENCE_SECONDS, "grace_period": GRACE_SECONDS}
worker = Worker(redis_url=setup.redis, queue_name="bench", **options)


@worker.task
async def noop(value: int) -> int:
    tally.count()
    return value


@worker.task
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def work() -> None:
    if setup.best:
        quiet()
        run(worker.run_async)
    else:
        run_command("streaq", "run", "benchmarks.harness.adapters.streaq:worker")


class Producer:
    async def open(self) -> None:
        quiet()
        await worker.__aenter__()

    async def close(self) -> None:
        await worker.__aexit__(None, None, None)

    async def enqueue(self, value: int) -> Any:
        return await noop.enqueue(value)

    async def enqueue_many(self, values: range) -> None:
        await worker.enqueue_many([noop.enqueue(value) for value in values])

    async def result(self, task: Any) -> int:
        return (await task.result(30)).result

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.enqueue(label, seconds)).id

    async def outcome(self, task_id: str) -> str | None:
        if await worker.status_by_id(task_id) is not TaskStatus.DONE:
            return None
        return SUCCEEDED if (await worker.result_by_id(task_id, 10)).success else FAILED
