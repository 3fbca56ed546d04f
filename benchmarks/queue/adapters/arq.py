"""arq. Best: `max_jobs`, and a `poll_delay` of 10 ms in the place of half a second."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from adapters.base import quiet, run, run_command, setup, tally

POLL_SECONDS = 0.01


async def noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


class WorkerSettings:
    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(setup.redis)


async def serve() -> None:
    worker = Worker(
        functions=[noop],
        redis_settings=RedisSettings.from_dsn(setup.redis),
        max_jobs=setup.concurrency,
        poll_delay=POLL_SECONDS,
        log_results=False,
    )
    await worker.async_run()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("arq", "adapters.arq.WorkerSettings")


class Producer:
    async def open(self) -> None:
        quiet()
        self.redis = await create_pool(RedisSettings.from_dsn(setup.redis))

    async def close(self) -> None:
        await self.redis.aclose()

    async def enqueue(self, value: int) -> Any:
        return await self.redis.enqueue_job("noop", value)

    async def result(self, job: Any) -> int:
        return await job.result(30, **({"poll_delay": POLL_SECONDS} if setup.best else {}))
