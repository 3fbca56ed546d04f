"""pydocket (`docket`). Jobs are coroutine functions; there are no plain ones.

Best: the concurrency, the `minimum_check_interval` of its page about production, `add_many`,
hiredis. State and results are kept for 15 minutes, its default.
Settings and guarantees: https://docket.lol/en/latest/production/
"""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from typing import Any

from docket import Docket, Worker
from docket.execution import ExecutionState

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

PAGE = "https://docket.lol/en/latest/production/"
CHECK_SECONDS = 0.1

promise = Promise(
    "at least once",
    "again after `redelivery_timeout` (300 s) and up to a third more",
    f"{PAGE}#signal-handling",
    {f"redelivery_timeout={SILENCE_SECONDS}": f"{PAGE}#core-settings"},
)


async def noop(value: int) -> int:
    tally.count()
    return value


async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


tasks = [noop, hold]


async def serve() -> None:
    async with Docket(name="bench", url=setup.redis) as docket:
        for task in tasks:
            docket.register(task)
        worker = Worker(
            docket,
            minimum_check_interval=timedelta(seconds=CHECK_SECONDS),
            **setup.given("concurrency"),
        )
        async with worker:
            running = asyncio.create_task(worker.run_forever())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            await asyncio.gather(running, return_exceptions=True)


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
        return
    words = ["worker", "--docket", "bench", "--url", setup.redis, *setup.option("--concurrency")]
    words += ["--tasks", "benchmarks.harness.adapters.pydocket:tasks"]
    if setup.reliable:
        words += ["--redelivery-timeout", f"{SILENCE_SECONDS}s"]
    run_command("docket", *words)


class Producer:
    async def open(self) -> None:
        quiet()
        self.docket = await Docket(name="bench", url=setup.redis).__aenter__()

    async def close(self) -> None:
        await self.docket.__aexit__(None, None, None)

    async def enqueue(self, value: Any) -> Any:
        return await self.docket.add(noop)(value)

    async def enqueue_many(self, values: range) -> None:
        await self.docket.add_many([self.docket.call(noop)(value) for value in values])

    async def result(self, execution: Any) -> int:
        return await execution.get_result(timeout=timedelta(seconds=30))

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await self.docket.add(hold)(label, seconds)).key

    async def outcome(self, task_id: str) -> str | None:
        execution = await self.docket.get_execution(task_id)
        if execution is None:
            return None
        await execution.sync()
        ended = {
            ExecutionState.COMPLETED: SUCCEEDED,
            ExecutionState.FAILED: FAILED,
            ExecutionState.CANCELLED: FAILED,
        }
        return ended.get(execution.state)
