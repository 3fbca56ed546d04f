"""expires_seconds without any worker: the waiting client sees to it."""

from __future__ import annotations

import asyncio

import pytest

from identtqueue import Client, State, SyncClient, TaskExpired, TaskOptions
from testing.redis_server import RedisServer

SOON = TaskOptions(expires_seconds=0.3)
TOLD_WITHIN_MS = 300 + 1_000


async def test_a_wait_is_told_of_the_expiry(client: Client, queue: str) -> None:
    task_ids = [await client.enqueue_job(queue, "job", task_options=SOON) for _ in range(3)]
    delayed = TaskOptions(expires_seconds=0.3, delay_seconds=3_600)
    task_ids.append(await client.enqueue_job(queue, "job", task_options=delayed))
    for result in await client.wait_many(task_ids, timeout_seconds=60):
        with pytest.raises(TaskExpired):
            result.unwrap()
        info = await client.get_task(result.task_id)
        assert info is not None
        assert info.finished_at_ms is not None
        assert 300 <= info.finished_at_ms - info.enqueued_at_ms <= TOLD_WITHIN_MS
    assert await client.queue_length(queue) == 0


async def test_a_wait_that_is_given_up_asks_no_more(client: Client, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job", task_options=SOON)
    wait = asyncio.ensure_future(client.wait_for_result(task_id))
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    with pytest.raises(TaskExpired):
        await client.wait_for_result(task_id, 60)
    assert await client.get_status(task_id) is State.CANCELLED


def test_a_thread_is_told_too(redis_server: RedisServer, queue: str) -> None:
    with SyncClient(redis_server.address) as client:
        task_id = client.enqueue_job(queue, "job", task_options=SOON)
        with pytest.raises(TaskExpired):
            client.wait_for_result(task_id, 60)
