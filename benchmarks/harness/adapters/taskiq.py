"""taskiq with taskiq-redis: streams, the broker that acknowledges.

Best: concurrency, no parsing of parameters, and a result that is looked for every 10 ms in the
place of 200.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    LONGEST_TASK_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run,
    run_command,
    setup,
    tally,
)

CHECK_SECONDS = 0.01
PAGE = "https://github.com/taskiq-python/taskiq-redis"

promise = Promise(
    "at least once",
    "at least once; claimed again by the next new message after 600 s",
    PAGE,
    {
        f"idle_timeout={LONGEST_TASK_SECONDS * 1000}": PAGE,
        "unacknowledged_lock_timeout=15": PAGE,
        f"--wait-tasks-timeout {GRACE_SECONDS}": "https://taskiq-python.github.io/guide/cli.html",
    },
)

results = RedisAsyncResultBackend(
    redis_url=setup.redis, result_ex_time=3600, prefix_str="taskiq-result"
)
options: dict[str, Any] = {}
if setup.reliable:
    options = {"idle_timeout": LONGEST_TASK_SECONDS * 1000, "unacknowledged_lock_timeout": 15}
broker = RedisStreamBroker(url=setup.redis, **options).with_result_backend(results)


@broker.task
async def noop(value: int) -> int:
    tally.count()
    return value


@broker.task
async def hold(label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


async def serve() -> None:
    receiver = asyncio.ensure_future(
        run_receiver_task(
            broker,
            max_async_tasks=setup.concurrency,
            max_prefetch=setup.concurrency,
            validate_params=False,
            run_startup=True,
        )
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, receiver.cancel)
    await asyncio.gather(receiver, return_exceptions=True)


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
        return
    words = ["worker", "--workers", "1", *setup.option("--max-async-tasks")]
    if setup.reliable:
        words += ["--wait-tasks-timeout", str(GRACE_SECONDS)]
    run_command("taskiq", *words, "benchmarks.harness.adapters.taskiq:broker")


class Producer:
    async def open(self) -> None:
        quiet()
        await broker.startup()

    async def close(self) -> None:
        await broker.shutdown()

    async def enqueue(self, value: int) -> Any:
        return await noop.kiq(value)

    async def result(self, task: Any) -> int:
        options = {"check_interval": CHECK_SECONDS} if setup.best else {}
        return (await task.wait_result(timeout=30, **options)).return_value

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.kiq(label, seconds)).task_id

    async def outcome(self, task_id: str) -> str | None:
        if not await results.is_result_ready(task_id):
            return None
        return FAILED if (await results.get_result(task_id)).is_err else SUCCEEDED
