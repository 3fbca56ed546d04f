"""Many tasks at once: batches that leave before the replies to earlier ones, in order."""

from __future__ import annotations

import asyncio
import gc

import pytest
import redis

from identtqueue import Client, Receipt, Submission
from identtqueue.errors import RedisError
from identtqueue.protocol.keys import queue_keys
from identtqueue.protocol.submission import BATCH_TASKS
from identtqueue.transport.connection import MOST_AHEAD
from identtqueue.transport.wire import SMALL_BYTES
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.waiting import eventually


def tasks(queue: str, batches: int, size: int = 1) -> list[Submission]:
    """Make so many full batches of tasks, each with so many bytes of arguments."""
    return [Submission(queue, "job", ("x" * size,)) for _ in range(batches * BATCH_TASKS)]


def pending(raw: redis.Redis, queue: str) -> list[str]:
    return [task_id.decode() for task_id in raw.lrange(queue_keys(queue).pending, 0, -1)]


async def stored(raw: redis.Redis, queue: str, batches: int) -> None:
    """Wait until Redis has so many batches."""
    number = batches * BATCH_TASKS
    await eventually(lambda: len(pending(raw, queue)) == number, f"{number} tasks are stored")


async def begin(
    proxy: Proxy, client: Client, raw: redis.Redis, items: list[Submission]
) -> asyncio.Task[list[Receipt]]:
    """Hold all replies, begin to submit tasks of one queue, and wait for the first batch there."""
    queue = items[0].queue_name
    await client.enqueue_job(queue, "first")  # loads the scripts
    raw.delete(queue_keys(queue).pending)
    proxy.hold_replies()
    submitting = asyncio.create_task(client.submit_many(items))
    await stored(raw, queue, 1)
    return submitting


async def test_batches_leave_before_the_replies_to_earlier_ones(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        submitting = await begin(proxy, client, raw, tasks(queue, 2 * MOST_AHEAD))
        proxy.release_replies()
        proxy.hold_replies()
        await stored(raw, queue, MOST_AHEAD)  # without a further reply
        assert not submitting.done()
        proxy.release_replies()
        receipts = await submitting
    assert pending(raw, queue) == [receipt.task_id for receipt in receipts]
    assert len(receipts) == 2 * MOST_AHEAD * BATCH_TASKS


async def test_small_batches_do_not_overtake_big_ones(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    big = SMALL_BYTES // BATCH_TASKS + 1
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        mixed = [*tasks(queue, 1), *tasks(queue, 1, big), *tasks(queue, 1)]
        submitting = await begin(proxy, client, raw, mixed)
        proxy.release_replies()
        receipts = await submitting
    assert pending(raw, queue) == [receipt.task_id for receipt in receipts]


async def test_batches_of_a_cut_connection_are_sent_again_once_and_in_order(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        submitting = await begin(proxy, client, raw, tasks(queue, MOST_AHEAD))
        proxy.release_replies()
        proxy.hold_replies()
        await stored(raw, queue, MOST_AHEAD)
        proxy.cut()
        proxy.release_replies()
        receipts = await submitting
    assert all(receipt.created for receipt in receipts)
    assert pending(raw, queue) == [receipt.task_id for receipt in receipts]


async def test_a_cancelled_caller_sends_no_further_batch(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as client:
        submitting = await begin(proxy, client, raw, tasks(queue, MOST_AHEAD))
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        proxy.release_replies()
        assert await client.queue_length(queue) == BATCH_TASKS
    assert len(pending(raw, queue)) == BATCH_TASKS


async def test_an_error_ends_the_batches_and_is_the_only_one(
    client: Client, raw: redis.Redis, queue: str
) -> None:
    """Batches that were on their way may be stored; those that were not made yet are not."""
    queues = [f"{queue}-{number}" for number in range(2 * MOST_AHEAD)]
    for refused in queues[1:3]:
        raw.set(queue_keys(refused).meta, "not a hash")
    unnoticed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unnoticed.append(what))
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await client.submit_many([Submission(name, "job") for name in queues])
    gc.collect()  # asyncio reports an error that nobody has seen when its future goes
    assert unnoticed == []
    assert [len(pending(raw, name)) for name in (queues[0], queues[-1])] == [1, 0]
