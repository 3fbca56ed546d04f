"""toro-queue. Its documentation starts a worker from Python; there is no command.

Best: the concurrency, hiredis, and `pending().flush()`, which sends what it has collected in one
write. It keeps the newest 1,000 results unless it is told otherwise: here it keeps them all.
Settings: https://github.com/ilovepixelart/toro/blob/main/docs/processing.md
Guarantees: https://github.com/ilovepixelart/toro/blob/main/docs/reliability.md
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from toro import Queue, Worker

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run,
    setup,
    tally,
)

PAGE = "https://github.com/ilovepixelart/toro/blob/main/docs/reliability.md"

promise = Promise(
    "at least once",
    "again when its lock (30 s) is over, and a sweep (every 30 s) has seen that twice",
    PAGE,
    {
        f"lock_duration={SILENCE_SECONDS * 1000}": PAGE,
        f"stalled_interval={SILENCE_SECONDS * 1000}": PAGE,
        f"grace_period={GRACE_SECONDS}": PAGE,
    },
    fenced=True,
)


async def noop(job: Any) -> int:
    tally.count()
    return job.data


def plain_noop(job: Any) -> int:
    tally.count()
    return job.data


async def either(job: Any) -> Any:
    """The two jobs of the table of faults: toro has one function for all jobs of a queue."""
    if job.name == "hold":
        return await ledger.hold(*job.data)
    return await noop(job)


def processor() -> Any:
    if setup.best:
        return noop if setup.job == "async" else plain_noop
    return either


async def serve() -> None:
    options: dict[str, Any] = setup.given("concurrency")
    if setup.reliable:
        options["lock_duration"] = options["stalled_interval"] = SILENCE_SECONDS * 1000
        options["grace_period"] = float(GRACE_SECONDS)
    worker = Worker("bench", processor(), url=setup.redis, **options)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    running = asyncio.create_task(worker.run())
    ending = asyncio.create_task(stopping.wait())
    await asyncio.wait([running, ending], return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    await worker.stop()
    await running


def work() -> None:
    quiet()
    run(serve)


def start_words() -> list[str]:
    return [sys.executable, "-m", "benchmarks.harness.adapters.toro"]


class Producer:
    async def open(self) -> None:
        quiet()
        keep = {"remove_on_complete": False, "remove_on_fail": False}
        self.queue = Queue("bench", url=setup.redis, default_job_options=keep)

    async def close(self) -> None:
        await self.queue.close()

    async def enqueue(self, value: Any) -> Any:
        return await self.queue.add("noop", value)

    async def enqueue_many(self, values: range) -> None:
        pending = self.queue.pending()
        for value in values:
            pending.add("noop", value)
        await pending.flush()

    async def result(self, job: Any) -> int:
        return await job.result(timeout=30)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await self.queue.add("hold", [label, seconds])).id

    async def outcome(self, task_id: str) -> str | None:
        job = await self.queue.get_job(task_id)
        ended = {"completed": SUCCEEDED, "failed": FAILED, "cancelled": FAILED}
        return job and ended.get(job.state)


if __name__ == "__main__":
    work()
