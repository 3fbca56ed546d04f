"""Two releases of the jobs on one queue: a task that one worker cannot run is left to the other.

These tests go through all reasons why a worker cannot run a task. `tests/faults/test_rolling.py`
does the same with real processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import redis

from identtqueue import Client, InvalidInput, Job, State, TaskFailed, Worker
from identtqueue.admin import Admin
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.calls import claiming, enqueueing, leasing, reporting
from identtqueue.protocol.keys import queue_keys
from identtqueue.protocol.submission import Submission, new_task
from identtqueue.task import Failure
from identtqueue.transport.connection import AsyncRedis
from identtqueue.worker import fetch
from identtqueue.worker.job_hash import signature_hash
from identtqueue.worker.shelves import UNKNOWN_JOB
from testing import process_jobs
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


async def other(_ctx: Any) -> str:
    return "other"


async def typed_v1(_ctx: Any, page: int) -> int:
    return page


async def typed_v2(_ctx: Any, page: int, dpi: int) -> int:
    return page * dpi


async def text(_ctx: Any, page: str) -> str:
    return page


@dataclass
class Page:
    number: int


PageV1 = Page


@dataclass
class Page:
    number: int
    dpi: int


async def page_v1(_ctx: Any, page: PageV1) -> int:
    return page.number


async def page_v2(_ctx: Any, page: Page) -> int:
    return page.number * page.dpi


def plain_v1(_ctx: Any, page: int) -> int:
    return page


def plain_v2(_ctx: Any, page: int, dpi: int) -> int:
    return page * dpi


def job(function: Callable[..., Any], **types: Any) -> list[Job]:
    return [Job(name="job", function=function, types=types)]


RELEASES: dict[str, tuple[list[Job], list[Job], tuple[Any, ...], Any]] = {
    "an unknown job": ([Job(name="other", function=other)], job(text, page=str), ("a",), "a"),
    "one more argument": (
        job(typed_v1, page=int),
        job(typed_v2, page=int, dpi=int),
        (2, 3),
        6,
    ),
    "another type": (job(typed_v1, page=int), job(text, page=str), ("a",), "a"),
    "a field more, under the same name": (
        job(page_v2, page=Page),
        job(page_v1, page=PageV1),
        ({"number": 2},),
        2,
    ),
    "no declared types": (job(plain_v1), job(plain_v2), (2, 3), 6),
    "no declared types, in the loop": (job(typed_v1), job(typed_v2), (2, 3), 6),
}


@pytest.mark.parametrize(("old", "new", "args", "value"), RELEASES.values(), ids=RELEASES.keys())
async def test_what_the_old_worker_cannot_run_goes_to_the_new_one(
    client: Client,
    serve: Serve,
    redis_server: RedisServer,
    queue: str,
    old: list[Job],
    new: list[Job],
    args: tuple[Any, ...],
    value: Any,
) -> None:
    await serve(old, max_retries=0)
    ids = [await client.enqueue_job(queue, "job", *args) for _ in range(20)]
    async with Admin(redis_server.address) as admin:

        async def declined() -> bool:
            return (await admin.depths([queue]))[queue].counters.get("declined") == 20

        await eventually(declined, "the old worker declines them all")
        depth = (await admin.depths([queue]))[queue]
        assert (depth.queued, depth.held, depth.dead) == (20, 20, 0), "more old ones are of no use"
        assert await client.get_status(ids[0]) is State.PENDING
        info = await admin.task(ids[0])
        assert info.failure is not None, "why it waits"
        await serve(new)
        assert [result.value for result in await client.wait_many(ids, 30)] == [value] * 20
        assert (await admin.task(ids[0])).failures == 0


@pytest.mark.slow
async def test_tasks_that_are_declined_later_do_not_wait_for_the_next_block(
    client: Client, calls: AsyncRedis, serve: Serve, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new worker knows the shelf, has emptied it and sleeps. Nobody rings for a shelf."""
    monkeypatch.setattr(fetch, "BLOCK_SECONDS", 3600.0)
    await calls.run(leasing.register(queue, "old", 60_000, {}))
    tasks = [new_task(Submission(queue, "job", ("a",)), 1024) for _ in range(3)]
    await calls.run(enqueueing.enqueue(queue, tasks))
    claimed = await calls.run(claiming.claim(queue, "old", len(tasks)))
    await serve(job(text, page=str))
    for attempt in claimed.attempts:
        why = Failure("UnknownJob", "no such job")
        where = (queue, "old", attempt.task_id, attempt.number)
        assert await calls.run(reporting.decline(*where, UNKNOWN_JOB, why)) is Ack.OK
        assert await client.wait_for_result(attempt.task_id, 30) == "a"


@pytest.mark.slow
async def test_a_process_job_with_other_arguments(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    """The process finds that the arguments do not fit, and the worker declines the task."""
    worker = process_jobs.app.worker([queue], redis_address=redis_server.address)
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "typed", {"name": "a"})
        async with Admin(redis_server.address) as admin:

            async def shown() -> bool:
                failure = (await admin.task(task_id)).failure
                return failure is not None and failure.type.endswith("BadArguments")

            await eventually(shown, "it is declined")
            assert (await admin.depths([queue]))[queue].dead == 0


async def test_a_newer_envelope(
    client: Client, raw: redis.Redis, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    """The producer was upgraded before the workers."""
    task_id, keys = f"{queue}:newer", queue_keys(queue)
    payload = msgspec.msgpack.encode([2, "other", [], {}, None, None, "more"])
    fields = {"state": "pending", "payload": payload, "function": "other", "enqueued_at": "1"}
    raw.hset(keys.task(task_id), mapping=fields)
    raw.rpush(keys.pending, task_id)
    await serve({"other": other})
    await eventually(lambda: raw.hgetall(keys.shelves), "it is declined")
    assert raw.hgetall(keys.shelves) == {b"envelope-1:other": b"1"}
    assert await client.get_status(task_id) is State.PENDING


async def test_a_declined_task_is_not_claimed_again_and_logged_once(
    client: Client,
    serve: Serve,
    redis_server: RedisServer,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    await serve({"other": other})
    for _ in range(50):
        await client.enqueue_job(queue, "job")
    async with Admin(redis_server.address) as admin:

        async def declined() -> bool:
            return (await admin.depths([queue]))[queue].counters.get("declined") == 50

        await eventually(declined, "all are declined")
        assert await client.wait_for_result(await client.enqueue_job(queue, "other"), 30) == "other"
        assert (await admin.depths([queue]))[queue].counters["claimed"] == 51
    said = [record for record in caplog.records if "are left to workers" in record.getMessage()]
    assert len(said) == 1
    assert "no job named 'job'" in said[0].getMessage()


async def test_a_type_error_of_the_job_itself_is_a_failure(
    client: Client, serve: Serve, queue: str
) -> None:
    async def broken(_ctx: Any, page: int) -> int:
        return page + "1"  # type: ignore[operator]

    await serve({"broken": broken})
    with pytest.raises(TaskFailed) as caught:
        await client.wait_for_result(await client.enqueue_job(queue, "broken", 1), 30)
    assert caught.value.remote_type == "TypeError"


def test_signatures_tell_releases_apart() -> None:
    """They differ even if only a field of a type differs, and are the same in all processes."""
    hashes = [
        signature_hash(typed_v1, {"page": int}),
        signature_hash(typed_v2, {"page": int, "dpi": int}),
        signature_hash(text, {"page": str}),
        signature_hash(page_v1, {"page": PageV1}),
        signature_hash(page_v2, {"page": Page}),
        signature_hash(plain_v1, {}),
        signature_hash(plain_v2, {}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert signature_hash(typed_v1, {"page": int}) == hashes[0]


@pytest.mark.parametrize("seconds", [-1, "soon", float("nan")])
def test_invalid_unrunnable_seconds(redis_server: RedisServer, queue: str, seconds: Any) -> None:
    with pytest.raises(InvalidInput, match="unrunnable_seconds"):
        Worker({"other": other}, redis_server.address, queue, unrunnable_seconds=seconds)
