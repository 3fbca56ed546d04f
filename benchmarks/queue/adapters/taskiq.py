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

from adapters.base import quiet, run, run_command, setup, tally

CHECK_SECONDS = 0.01

results = RedisAsyncResultBackend(
    redis_url=setup.redis, result_ex_time=3600, prefix_str="taskiq-result"
)
broker = RedisStreamBroker(url=setup.redis).with_result_backend(results)


@broker.task
async def noop(value: int) -> int:
    tally.count()
    return value


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
    else:
        run_command("taskiq", "worker", "--workers", "1", "adapters.taskiq:broker")


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
