"""ardiq (Rust core). Best: concurrency; it prefetches twice that by itself."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from ardiq import Ardiq

from benchmarks.harness.adapters.base import (
    FAILED,
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

promise = Promise(
    "at least once",
    "at least once; tasks of a dead worker are reclaimed after 60 s",
    "https://github.com/17tayyy/ardiq",
    {f"idle_timeout_ms={SILENCE_SECONDS * 1000}": "https://github.com/17tayyy/ardiq"},
)

options: dict[str, Any] = setup.given("concurrency")
if setup.reliable:
    options["idle_timeout_ms"] = SILENCE_SECONDS * 1000
app = Ardiq(redis_url=setup.redis, queue_name="bench", **options)


@app.task()
async def noop(value: int) -> int:
    tally.count()
    return value


@app.task()
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


async def serve() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.stop)
    await app.run()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("ardiq", "run", "benchmarks.harness.adapters.ardiq:app")


class Producer:
    async def open(self) -> None:
        quiet()

    async def close(self) -> None:
        pass

    async def enqueue(self, value: int) -> Any:
        return await noop.enqueue(value)

    async def enqueue_many(self, values: range) -> None:
        await app.enqueue_many([noop.prepare(value) for value in values])

    async def result(self, job: Any) -> int:
        return (await job.result(timeout=30)).value

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.enqueue(label, seconds)).id

    async def outcome(self, task_id: str) -> str | None:
        found = await app.result(task_id)
        return found and (SUCCEEDED if found.success else FAILED)
