"""Cancelling a task in each of its states."""

from __future__ import annotations

import asyncio
import threading

import pytest
import redis

from identtqueue import Client, State, TaskCancelled, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.protocol.calls import one_task
from identtqueue.protocol.scripts import script
from testing.accounts import left_over
from testing.invariants import check_invariants
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


async def fine(_ctx):
    return "fine"


async def cancelled(client: Client, task_id: str) -> None:
    assert await client.cancel(task_id) is True
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 30)
    assert await client.get_status(task_id) is State.CANCELLED
    assert await client.cancel(task_id) is False
    with pytest.raises(TaskCancelled):
        await client.get_result(task_id)


async def test_pending_and_scheduled(client: Client, raw: redis.Redis, queue: str) -> None:
    await cancelled(client, await client.enqueue_job(queue, "fine"))
    options = TaskOptions(delay_seconds=3600)
    await cancelled(client, await client.enqueue_job(queue, "fine", task_options=options))
    check_invariants(raw, queue)
    assert left_over(raw, queue) in ([], [f"idtq:{{{queue}}}:wake"])


async def test_running(client: Client, raw: redis.Redis, serve: Serve, queue: str) -> None:
    started, ended = asyncio.Event(), []

    async def job(_ctx):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    await serve({"job": job, "fine": fine}, concurrency=1, max_retries=5)
    task_id = await client.enqueue_job(queue, "job")
    await started.wait()
    await cancelled(client, task_id)
    assert ended == [1]
    other = await client.enqueue_job(queue, "fine")
    assert await client.wait_for_result(other, 30) == "fine", "the slot is free again"
    check_invariants(raw, queue)


async def test_running_in_a_thread(client: Client, serve: Serve, queue: str) -> None:
    """The thread can't be interrupted. What it returns is dropped."""
    started, release = threading.Event(), threading.Event()

    def job(_ctx):
        started.set()
        release.wait(60)
        return "too late"

    worker = await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    assert await asyncio.to_thread(started.wait, 60)
    await cancelled(client, task_id)
    assert worker.gauges.abandoned_threads == 1
    release.set()


async def test_a_job_that_returns_although_it_is_cancelled(
    client: Client, serve: Serve, queue: str
) -> None:
    """A job that returns a result although it was cancelled succeeds."""
    started = asyncio.Event()

    async def job(_ctx):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await started.wait()
    assert await client.cancel(task_id) is True
    assert await client.wait_for_result(task_id, 30) == "done anyway"
    assert await client.cancel(task_id) is False


async def test_two_requests_at_once(client: Client, serve: Serve, queue: str) -> None:
    started = asyncio.Event()

    async def job(_ctx):
        started.set()
        await asyncio.Event().wait()

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await started.wait()
    assert await asyncio.gather(client.cancel(task_id), client.cancel(task_id)) == [True, True]
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 30)


async def test_a_request_before_the_reply_to_the_claim(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    """The request to cancel arrives before the reply to the claim."""

    async def job(_ctx):
        await asyncio.Event().wait()

    async with (
        Proxy(redis_server.port) as proxy,
        Admin(redis_server.address) as admin,
        serving(Worker({"job": job, "fine": fine}, proxy.address, queue)) as worker,
    ):
        await client.wait_for_result(await client.enqueue_job(queue, "fine"), 30)
        (row,) = await admin.workers(queue)
        proxy.hold_its_replies(script("claim").sha.encode())
        task_id = await client.enqueue_job(queue, "job")
        await eventually(lambda: _is_running(client, task_id), "it is claimed")
        assert await client.cancel(task_id) is True
        await admin.drain(queue, [row.worker_id])  # a message behind the other one
        await eventually(lambda: worker.gauges.draining, "both messages have arrived")
        assert worker.gauges.running == 0
        proxy.release_replies()
        with pytest.raises(TaskCancelled):
            await client.wait_for_result(task_id, 30)


async def test_a_request_while_the_control_channel_reconnects(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    started = asyncio.Event()

    async def job(_ctx):
        started.set()
        await asyncio.Event().wait()

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await started.wait()
    call = one_task.cancel(task_id)
    cancel = script("cancel")
    raw.script_load(cancel.source)
    (control,) = [c["id"] for c in raw.client_list() if c["name"] == "identtqueue-control"]
    with raw.pipeline(transaction=True) as pipe:
        pipe.execute_command("CLIENT", "KILL", "ID", control)
        pipe.evalsha(cancel.sha, cancel.key_count, *call.keys, *call.args)
        assert pipe.execute() == [1, b"asked"]
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 30)


async def _is_running(client: Client, task_id: str) -> bool:
    return await client.get_status(task_id) is State.RUNNING
