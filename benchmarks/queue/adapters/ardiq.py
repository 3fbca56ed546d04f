"""ardiq (Rust core). Best: concurrency; it prefetches twice that by itself."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from ardiq import Ardiq

from adapters.base import quiet, run, run_command, setup, tally

options: dict[str, Any] = {"concurrency": setup.concurrency} if setup.best else {}
app = Ardiq(redis_url=setup.redis, queue_name="bench", **options)


@app.task()
async def noop(value: int) -> int:
    tally.count()
    return value


async def serve() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.stop)
    await app.run()


def work() -> None:
    if setup.best:
        quiet()
        run(serve)
    else:
        run_command("ardiq", "run", "adapters.ardiq:app")


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
