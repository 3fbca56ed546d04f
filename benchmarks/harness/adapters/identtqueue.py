"""idenTTqueue. Default and reliable: the typed `App` of its README, with its log, on asyncio's own
loop, as without the extra `fast`. Best: `Worker` and `Client`, the level below, and no log line per
task.
"""

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
from identtqueue import App, Client, Context, Job, State, SyncClient, Worker
from identtqueue.protocol.submission import Submission

QUEUE = "bench"

promise = Promise(
    "at least once; a result is recorded once; a dead letter after 5 lost workers",
    "../docs/internals.md",
)


def queue_names() -> list[str]:
    return [QUEUE, *(f"{QUEUE}{i}" for i in range(1, setup.queues))]


app = App(setup.redis, default_queue=QUEUE)


@app.task
async def noop(ctx: Context, value: int) -> int:
    tally.count()
    return value


@app.task
async def hold(ctx: Context, label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def plain_noop(ctx: Any, value: int) -> int:
    tally.count()
    return value


def the_noop() -> Job:
    if setup.job == "async":
        return Job(name="noop", function=noop.function)
    return Job(name="noop", function=plain_noop, run_in=setup.job)


def work() -> None:
    if not setup.best:
        logging.basicConfig(level=logging.INFO)  # as the command does
        run(app.worker(queue_names(), **setup.given("concurrency"))._run_with_signals)
        return
    quiet()
    jobs = {"noop": the_noop(), "hold": hold.function}
    worker = Worker(jobs, setup.redis, queue_names=queue_names(), **setup.given("concurrency"))
    run(worker._run_with_signals)


class TypedProducer:
    """Follow the README's example."""

    async def open(self) -> None:
        await app.connect()

    async def close(self) -> None:
        await app.close()

    async def enqueue(self, value: int) -> Any:
        return await noop.enqueue(value)

    async def enqueue_many(self, values: range) -> None:
        await app.enqueue_many([noop.call(value) for value in values])

    async def result(self, task: Any) -> int:
        return await task.result(30)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.enqueue(label, seconds)).task_id

    async def outcome(self, task_id: str) -> str | None:
        return _outcome(await app.client.get_status(task_id))


class LowLevelProducer:
    """The level below, for many queues too."""

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
        return _outcome(await self.client.get_status(task_id))


Producer = LowLevelProducer if setup.best else TypedProducer


def _outcome(state: State | None) -> str | None:
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
