"""arq. Best: `max_jobs`, and a `poll_delay` of 10 ms in the place of half a second."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from arq.worker import Worker

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

POLL_SECONDS = 0.01
PAGE = "https://arq-docs.helpmanual.io/#arq.worker.Worker"

promise = Promise(
    "at least once",
    "at least once; again when `job_timeout` + 10 s are over (310 s)",
    "https://arq-docs.helpmanual.io/#usage",
    {
        f"job_timeout={LONGEST_TASK_SECONDS}": PAGE,
        f"job_completion_wait={GRACE_SECONDS}": PAGE,
    },
)


async def noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


async def hold(ctx: Any, label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


class WorkerSettings:
    functions = (noop, hold)
    redis_settings = RedisSettings.from_dsn(setup.redis)
    if setup.concurrency:
        max_jobs = setup.concurrency
    if setup.reliable:
        job_timeout = LONGEST_TASK_SECONDS
        job_completion_wait = GRACE_SECONDS


async def serve() -> None:
    worker = Worker(
        functions=[noop],
        redis_settings=RedisSettings.from_dsn(setup.redis),
        poll_delay=POLL_SECONDS,
        log_results=False,
        **setup.given("max_jobs"),
    )
    await worker.async_run()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("arq", "benchmarks.harness.adapters.arq.WorkerSettings")


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

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await self.redis.enqueue_job("hold", label, seconds)).job_id

    async def outcome(self, task_id: str) -> str | None:
        found = await Job(task_id, self.redis).result_info()
        return found and (SUCCEEDED if found.success else FAILED)
