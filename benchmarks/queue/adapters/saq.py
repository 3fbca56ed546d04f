"""saq. Best: concurrency, and a result that is looked for every ms in the place of 500."""

from __future__ import annotations

from typing import Any

from saq import Queue
from saq.worker import Worker

from adapters.base import quiet, run, run_command, setup, tally

POLL_SECONDS = 0.001

queue = Queue.from_url(setup.redis)


async def noop(ctx: Any, *, value: int) -> int:
    tally.count()
    return value


settings = {"queue": queue, "functions": [noop]}


async def serve() -> None:
    await Worker(queue, [noop], concurrency=setup.concurrency).start()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("saq", "adapters.saq.settings")


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
