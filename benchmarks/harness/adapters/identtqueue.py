"""idenTTqueue: the typed `App` of its README in all styles.

Default and reliable: with its log, as the command `identtqueue worker` sets it up. On asyncio it
runs as without the extra `fast`, on uvloop as with it. Best: the same without a log line per task
(`--log-level WARNING`), and with a result that is awaited in the same way.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from benchmarks.harness.adapters.base import (
    FAILED,
    SUCCEEDED,
    Promise,
    ledger,
    run,
    setup,
    tally,
)
from identtqueue import App, Context, State, logs

QUEUE = "bench"
LIMIT = 4
"""Tasks of the job `limited` that may run at the same time."""

promise = Promise(
    "at least once",
    "again after `lease_seconds` (15 s), or at once if its connection is closed; a result is "
    "recorded once; a dead letter after 5 lost workers",
    "../docs/concepts/delivery.md",
    fenced=True,
)


def queue_names() -> list[str]:
    return [QUEUE, *(f"{QUEUE}{i}" for i in range(1, setup.queues))]


app = App(setup.redis, default_queue=QUEUE)


async def async_noop(ctx: Context, value: int) -> int:
    tally.count()
    return value


def plain_noop(ctx: Context, value: int) -> int:
    tally.count()
    return value


def declared(queue: str) -> Any:
    """The job `noop` of a queue, of the kind that is measured."""
    names: dict[str, Any] = {"name": "noop" if queue == QUEUE else f"noop-{queue}", "queue": queue}
    if setup.job == "async":
        return app.task(**names)(async_noop)
    if setup.job == "limited":
        return app.task(**names, max_running=LIMIT)(async_noop)
    names["run_in"] = setup.job
    return app.task(**names)(plain_noop)


jobs = [declared(queue) for queue in queue_names()]
noop = jobs[0]


@app.task
async def keep(ctx: Context, text: str) -> str:
    return text


@app.task
async def hold(ctx: Context, label: str, seconds: float) -> str:
    return await ledger.hold(label, seconds)


def level() -> int:
    return logging.WARNING if setup.best else logging.INFO


def work() -> None:
    logs.set_up(level(), "text")  # as the command does
    run(app.worker(queue_names(), **setup.given("concurrency"))._run_with_signals)


def start_words() -> list[str]:
    target = "benchmarks.harness.adapters.identtqueue:app"
    words = [sys.executable, "-m", "identtqueue", "worker", target, "--queue", QUEUE]
    return [*words, *setup.option("--concurrency")]


class Producer:
    """Follow the README's example."""

    async def open(self) -> None:
        await app.connect()

    async def close(self) -> None:
        await app.close()

    async def enqueue(self, value: int) -> Any:
        return await noop.enqueue(value)

    async def enqueue_many(self, values: range) -> None:
        await app.enqueue_many([jobs[value % len(jobs)].call(value) for value in values])

    async def enqueue_text(self, text: str) -> Any:
        return await keep.enqueue(text)

    async def enqueue_later(self, value: int, delay_seconds: float) -> Any:
        return await noop.options(delay_seconds=delay_seconds).enqueue(value)

    async def enqueue_ids(self, values: range) -> list[str]:
        handles = await app.enqueue_many([noop.call(value) for value in values])
        return [handle.task_id for handle in handles]

    async def cancel(self, task_id: str) -> None:
        assert await noop.handle(task_id).cancel()

    async def result(self, task: Any) -> int:
        return await task.result(30)

    async def enqueue_hold(self, label: str, seconds: float) -> str:
        return (await hold.enqueue(label, seconds)).task_id

    async def outcome(self, task_id: str) -> str | None:
        return _outcome(await app.client.get_status(task_id))


def _outcome(state: State | None) -> str | None:
    if state is None or not state.ended:
        return None
    return SUCCEEDED if state is State.SUCCEEDED else FAILED


class BlockingProducer:
    """The same from code without an event loop."""

    def open(self) -> None:
        pass

    def close(self) -> None:
        app.sync_client.close()

    def enqueue(self, value: int) -> Any:
        return noop.enqueue_sync(value)

    def result(self, task: Any) -> int:
        return task.result(30)
