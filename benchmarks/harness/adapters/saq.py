"""saq. Best: concurrency, and a result that is looked for every ms in the place of 500."""

from __future__ import annotations

from typing import Any

from saq import Queue, Status
from saq.worker import Worker

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    LONGEST_TASK_SECONDS,
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

POLL_SECONDS = 0.001
API = "https://saq-py.readthedocs.io/en/latest/autoapi/saq"

promise = Promise(
    "at most once",
    "a job past its `timeout` (10 s) is swept, every 60 s: aborted, unless it has `retries` left",
    f"{API}/job/index.html",
    {
        "retries=3": f"{API}/job/index.html",
        f"timeout={LONGEST_TASK_SECONDS}": f"{API}/job/index.html",
        f"timers sweep={SILENCE_SECONDS}": f"{API}/worker/index.html",
        f"shutdown_grace_period_s={GRACE_SECONDS}": f"{API}/worker/index.html",
    },
)

queue = Queue.from_url(setup.redis)


async def noop(ctx: Any, *, value: int) -> int:
    tally.count()
    return value


async def hold(ctx: Any, *, label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


settings: dict[str, Any] = {
    "queue": queue,
    "functions": [noop, hold],
    **setup.given("concurrency"),
}
job_options: dict[str, Any] = {}
if setup.reliable:
    settings["timers"] = {"sweep": SILENCE_SECONDS}
    settings["shutdown_grace_period_s"] = GRACE_SECONDS
    job_options = {"retries": 3, "timeout": LONGEST_TASK_SECONDS}


async def serve() -> None:
    await Worker(queue, [noop], **setup.given("concurrency")).start()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("saq", "benchmarks.harness.adapters.saq.settings")


class Producer:
    async def open(self) -> None:
        quiet()
        await queue.connect()

    async def close(self) -> None:
        await queue.disconnect()

    async def enqueue(self, value: int) -> Any:
        return await queue.enqueue("noop", value=value)

    async def round_trip(self, value: int) -> int:
        """With its other way, `job.refresh`, an answer that comes at once is missed."""
        options = {"poll_interval": POLL_SECONDS} if setup.best else {}
        return await queue.apply("noop", timeout=30, value=value, **options)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await queue.enqueue("hold", label=label, seconds=seconds, **job_options)).key

    async def outcome(self, task_id: str) -> str | None:
        job = await queue.job(task_id)
        ended = {Status.COMPLETE: SUCCEEDED, Status.FAILED: FAILED, Status.ABORTED: FAILED}
        return job and ended.get(job.status)
