"""streaq. Best: concurrency; it prefetches as much by itself."""

from __future__ import annotations

from typing import Any

from streaq import Worker

from adapters.base import quiet, run, run_command, setup, tally

options: dict[str, Any] = {"concurrency": setup.concurrency} if setup.best else {}
worker = Worker(redis_url=setup.redis, queue_name="bench", **options)


@worker.task
async def noop(value: int) -> int:
    tally.count()
    return value


def work() -> None:
    if setup.best:
        quiet()
        run(worker.run_async)
    else:
        run_command("streaq", "run", "adapters.streaq:worker")


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
