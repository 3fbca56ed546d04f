"""idenTTqueue. Best: concurrency. Default: as without the extra `fast`, on asyncio's own loop."""

from __future__ import annotations

import logging
from typing import Any

from adapters.base import quiet, run, setup, tally
from identtqueue import Client, SyncClient, Worker
from identtqueue.protocol.submission import Submission

QUEUE = "bench"


async def noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


def noop_in_thread(ctx: Any, value: int) -> int:
    tally.count()
    return value


def queue_names() -> list[str]:
    return [QUEUE, *(f"{QUEUE}{i}" for i in range(1, setup.queues))]


def work() -> None:
    options: dict[str, Any] = {"concurrency": setup.concurrency} if setup.best else {}
    worker = Worker(
        {"noop": noop_in_thread if setup.threads else noop},
        setup.redis,
        queue_names=queue_names(),
        **options,
    )
    if setup.best:
        quiet()
    else:
        logging.basicConfig(level=logging.INFO)  # as `Worker.run` does
    run(worker._run_with_signals)


class Producer:
    async def open(self) -> None:
        quiet()
        self.client = Client(setup.redis)
        await self.client.connect()
        self.queues = queue_names()

    async def close(self) -> None:
        await self.client.close()

    async def enqueue(self, value: int) -> str:
        return await self.client.enqueue_job(QUEUE, "noop", value)

    async def enqueue_many(self, values: range) -> None:
        queues = self.queues
        await self.client.submit_many(
            Submission(queues[value % len(queues)], "noop", (value,)) for value in values
        )

    async def result(self, task_id: str) -> int:
        return await self.client.wait_for_result(task_id, 30)


class BlockingProducer:
    """The same with the blocking client."""

    def open(self) -> None:
        logging.disable(logging.INFO)
        self.client = SyncClient(setup.redis)
        self.client.connect()

    def close(self) -> None:
        self.client.close()

    def enqueue(self, value: int) -> str:
        return self.client.enqueue_job(QUEUE, "noop", value)

    def result(self, task_id: str) -> int:
        return self.client.wait_for_result(task_id, 30)
