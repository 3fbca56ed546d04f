"""New clients, old workers: the bridge takes tasks as a worker and has 0.2 run them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from identtqueue import Client, State, TaskFailed, TaskOptions
from identtqueue.v02 import forwarding
from identtqueue.v02.bridge import Bridge
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS, eventually
from v02.conftest import StartBridge, bridging
from v02.old import EXCEPTION, WORKER_TIMEOUT, OldWorker


@asynccontextmanager
async def working(worker: OldWorker) -> AsyncIterator[None]:
    """Have a worker of 0.2 answer everything within a `with` block."""
    serving = asyncio.create_task(worker.serve())
    try:
        yield
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_an_old_worker_runs_todays_tasks(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True)
    async with working(old_worker):
        ids = [await client.enqueue_job(queue, "read", n, path=f"p{n}") for n in range(30)]
        results = await client.wait_many(ids, LONG_SECONDS)
    assert [result.value for result in results] == [
        ["read", [n], {"path": f"p{n}"}] for n in range(30)
    ]
    assert (await client.get_task(ids[0])).function_name == "read"


async def test_an_old_worker_fails(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True)
    for kind, message, text in (
        (EXCEPTION, "too dark", "FailedInOldWorker: too dark"),
        (WORKER_TIMEOUT, None, "TimedOut: read ran longer than its worker"),
    ):
        task_id = await client.enqueue_job(queue, "read")
        request = await old_worker.take()
        await old_worker.end(request, message, kind)
        with pytest.raises(TaskFailed, match=text):
            await client.wait_for_result(task_id, LONG_SECONDS)
        left = f"{request['task_id']}-result"
        assert not await old_worker.redis.exists(left), "a replay would find it"


async def test_a_failure_is_retried_as_the_task_says(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True)
    options = TaskOptions(max_retries=1)
    task_id = await client.enqueue_job(queue, "read", task_options=options)
    first = await old_worker.take()
    await old_worker.end(first, "no", EXCEPTION)
    second = await old_worker.take()
    assert second["task_id"] != first["task_id"]
    await old_worker.end(second, "yes")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "yes"


async def test_a_replayed_task_is_pushed_anew(
    start_bridge: StartBridge,
    client: Client,
    old_worker: OldWorker,
    queue: str,
    redis_server: RedisServer,
) -> None:
    from identtqueue.admin import Admin

    await start_bridge(to_old=True)
    task_id = await client.enqueue_job(queue, "read")
    await old_worker.end(await old_worker.take(), "no", EXCEPTION)
    with pytest.raises(TaskFailed):
        await client.wait_for_result(task_id, LONG_SECONDS)
    async with Admin(redis_server.address) as admin:
        await admin.replay([task_id])
    await old_worker.end(await old_worker.take(), "yes")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "yes"


async def test_progress_is_reported(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True)
    task_id = await client.enqueue_job(queue, "read")
    request = await old_worker.take()
    await old_worker.begin(request, page=3)
    async for progress in client.watch(task_id, LONG_SECONDS):
        assert progress == {"page": 3}
        await old_worker.end(request, "done")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "done"


async def test_a_request_that_an_old_worker_took_and_lost_is_sent_again(
    start_bridge: StartBridge,
    client: Client,
    old_worker: OldWorker,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took the request and died: the request is in no list, and nobody has begun it."""
    monkeypatch.setattr(forwarding, "LIST_LOOK_SECONDS", 0.1)
    await start_bridge(to_old=True)
    task_id = await client.enqueue_job(queue, "read")
    lost = await old_worker.take()
    again = await old_worker.take()
    assert again["task_id"] != lost["task_id"]
    await old_worker.begin(again)
    await old_worker.end(lost, "late, but an answer")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "late, but an answer"


async def test_an_error_of_redis_is_no_failure_of_the_task(
    start_bridge: StartBridge,
    client: Client,
    old_worker: OldWorker,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await old_worker.redis.set(queue, "not a list")
    await start_bridge(to_old=True)
    task_id = await client.enqueue_job(queue, "read")
    await eventually(lambda: "trying again in 0.5 s: WRONGTYPE" in caplog.text, "it was refused")
    assert await client.get_status(task_id) is State.RUNNING
    await old_worker.redis.delete(queue)
    await old_worker.end(await old_worker.take(), "done")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "done"


async def test_a_request_that_was_begun_and_lost_is_sent_again(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True, answer_seconds=0.1, max_deliveries=2)
    task_id = await client.enqueue_job(queue, "read")
    for _ in range(2):
        await old_worker.begin(await old_worker.take())
    with pytest.raises(TaskFailed, match="taken the request 2 times, and none has answered"):
        await client.wait_for_result(task_id, LONG_SECONDS)
    assert await client.get_status(task_id) is State.FAILED


async def test_a_request_that_waits_is_not_lost(
    start_bridge: StartBridge,
    client: Client,
    old_worker: OldWorker,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long no old worker is there: the bridge looks whether it is still in the list."""
    monkeypatch.setattr(forwarding, "LIST_LOOK_SECONDS", 0.02)
    looks = 0

    async def counted(self: forwarding.Request, delivery: int) -> bool:
        nonlocal looks
        looks += 1
        return await is_waiting(self, delivery)

    is_waiting = forwarding.Request.is_waiting
    monkeypatch.setattr(forwarding.Request, "is_waiting", counted)
    await start_bridge(to_old=True, answer_seconds=0.01)
    task_id = await client.enqueue_job(queue, "read")
    await eventually(lambda: looks > 5, "it has looked often")
    assert await old_worker.redis.llen(queue) == 1
    await old_worker.end(await old_worker.take(), "at last")
    assert await client.wait_for_result(task_id, LONG_SECONDS) == "at last"


async def test_a_bridge_that_stops_takes_back_what_nobody_has_taken(
    redis_server: RedisServer, client: Client, old_worker: OldWorker, queue: str
) -> None:
    async with bridging(Bridge([queue], redis_server.address, to_old=True)):
        ids = [await client.enqueue_job(queue, "read", n) for n in range(2)]
        await eventually(lambda: _length(old_worker, queue, 2), "both were pushed")
        taken = await old_worker.take()
    assert await old_worker.redis.llen(queue) == 0
    assert await client.get_status(ids[1]) is State.PENDING
    await old_worker.end(taken, "meanwhile")
    async with bridging(Bridge([queue], redis_server.address, to_old=True)):
        assert await client.wait_for_result(ids[0], LONG_SECONDS) == "meanwhile"
        request = await old_worker.take()
        assert request["args"] == [1], "the first was not pushed a second time"
        await old_worker.end(request, "now")
        assert await client.wait_for_result(ids[1], LONG_SECONDS) == "now"


async def _length(worker: OldWorker, queue: str, length: int) -> bool:
    return await worker.redis.llen(queue) == length


async def test_a_cancelled_task_is_taken_back(
    start_bridge: StartBridge, client: Client, old_worker: OldWorker, queue: str
) -> None:
    await start_bridge(to_old=True)
    task_id = await client.enqueue_job(queue, "read")
    await eventually(lambda: _length(old_worker, queue, 1), "it was pushed")
    assert await client.cancel(task_id)
    await eventually(lambda: _length(old_worker, queue, 0), "it was taken back")
