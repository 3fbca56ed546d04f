"""idenTTqueue. Best: concurrency. Default: as without the extra `fast`, on asyncio's own loop."""

from __future__ import annotations

import logging
from typing import Any

from benchmarks.harness.adapters.base import (
    FAILED,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run,
    setup,
    tally,
)
from identtqueue import Client, Job, State, SyncClient, Worker
from identtqueue.protocol.submission import Submission

QUEUE = "bench"

promise = Promise(
    "at least once; a result is recorded once; a dead letter after 5 lost workers",
    "../docs/internals.md",
)


async def noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


def plain_noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


async def hold(ctx: Any, label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def queue_names() -> list[str]:
    return [QUEUE, *(f"{QUEUE}{i}" for i in range(1, setup.queues))]


def the_noop() -> Job:
    if setup.job == "async":
        return Job(name="noop", function=noop)
    return Job(name="noop", function=plain_noop, run_in=setup.job)


def work() -> None:
    worker = Worker(
        {"noop": the_noop(), "hold": hold},
        setup.redis,
        queue_names=queue_names(),
        **setup.given("concurrency"),
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

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return await self.client.enqueue_job(QUEUE, "hold", label, seconds)

    async def outcome(self, task_id: str) -> str | None:
        state = await self.client.get_status(task_id)
        if state is None or not state.ended:
            return None
        return SUCCEEDED if state is State.SUCCEEDED else FAILED


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
