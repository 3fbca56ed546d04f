"""Waiting for results: without polling, and on one connection for all waits."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

import msgspec
import pytest
import redis

from identtqueue import (
    Client,
    RedisSettings,
    ResultTimeout,
    RetryPolicy,
    State,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskOptions,
)
from identtqueue.errors import PayloadUndecodable, RedisUnavailable
from identtqueue.protocol.calls import claiming, leasing, reporting
from identtqueue.protocol.submission import Submission
from identtqueue.transport.connect import blocking_redis
from testing.packing import field, is_awaited
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import eventually


async def echo(_ctx, value=None):
    return value


async def test_a_wait_that_times_out_leaves_the_task_alone(
    client: Client, serve: Serve, queue: str
) -> None:
    task_id = await client.enqueue_job(queue, "echo", "late")
    with pytest.raises(ResultTimeout, match=r"no result of task .* after 0\.05 s; it goes on"):
        await client.wait_for_result(task_id, timeout_seconds=0.05)
    with pytest.raises(TimeoutError):
        await client.wait_for_result(task_id, 0.05)
    assert await client.get_status(task_id) is State.PENDING
    await serve({"echo": echo})
    assert await client.wait_for_result(task_id, 30) == "late"


async def test_a_cancelled_wait_leaves_the_others_alone(
    client: Client, serve: Serve, queue: str
) -> None:
    task_id = await client.enqueue_job(queue, "echo", 1)
    waits = [asyncio.create_task(client.wait_for_result(task_id, 30)) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    await serve({"echo": echo})
    assert await asyncio.gather(*waits[1:]) == [1, 1]
    assert waits[0].cancelled()


async def test_many_waits_share_one_connection(redis_server: RedisServer, queue: str) -> None:
    """200 waits over several queues share one connection, which does not poll."""
    async with Client(redis_server.address) as client:
        queues = [f"{queue}-{n}" for n in range(4)]
        ids = [await client.enqueue_job(queues[n % 4], "echo", n) for n in range(200)]
        waits = [asyncio.create_task(client.wait_for_result(task_id, 60)) for task_id in ids]
        with redis_server.client() as raw:
            await eventually(lambda: _registered(raw, ids), "all waits are registered")
            channel = (field(raw, ids[0], "waiters") or b"").decode()
            assert raw.pubsub_numsub(channel) == [(channel.encode(), 1)]
            names = [c["name"] for c in raw.client_list()]
            assert names.count("identtqueue-results") == 1
            assert names.count("identtqueue-client") == 1
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _registered(raw: redis.Redis, ids: list[str]) -> bool:
    return all(is_awaited(raw, task_id) for task_id in ids)


async def test_two_clients_wait_for_the_same_task(
    redis_server: RedisServer, serve: Serve, queue: str
) -> None:
    async with Client(redis_server.address) as one, Client(redis_server.address) as two:
        task_id = await one.enqueue_job(queue, "echo", "both")
        waits = [asyncio.create_task(c.wait_for_result(task_id, 30)) for c in (one, two)]
        with redis_server.client() as raw:
            await eventually(
                lambda: len((field(raw, task_id, "waiters") or b"").split()) == 2,
                "both are registered",
            )
        await serve({"echo": echo})
        assert await asyncio.gather(*waits) == ["both", "both"]


@pytest.mark.parametrize("size", [65_535, 65_536, 300_000])
async def test_big_results(client: Client, serve: Serve, queue: str, size: int) -> None:
    """A result of more than 64 KiB is only announced, and then fetched."""

    async def big(_ctx, size):
        return "x" * size

    task_id = await client.enqueue_job(queue, "big", size)
    wait = asyncio.create_task(client.wait_for_result(task_id, 30))
    await serve({"big": big})
    assert await wait == "x" * size


async def test_wait_many_keeps_the_order_and_raises_nothing(
    client: Client, serve: Serve, queue: str
) -> None:
    async def odd_fails(_ctx, n):
        if n % 2:
            raise ValueError(n)
        return n

    await serve({"odd_fails": odd_fails})
    ids = [await client.enqueue_job(queue, "odd_fails", n) for n in range(50)]
    results = await client.wait_many(ids, 30)
    assert [r.task_id for r in results] == ids
    assert [r.value for r in results if r.state is State.SUCCEEDED] == list(range(0, 50, 2))
    assert [r.failure.message for r in results if r.state is State.FAILED] == [
        str(n) for n in range(1, 50, 2)
    ]
    with pytest.raises(TaskNotFound):
        await client.wait_many([*ids, f"{queue}:never"], 30)
    unstarted = await client.enqueue_job(f"{queue}-idle", "odd_fails", 0)
    with pytest.raises(ResultTimeout):
        await client.wait_many([*ids, unstarted], 0.05)


async def test_as_completed_gives_the_first_first(client: Client, serve: Serve, queue: str) -> None:
    gates = [asyncio.Event() for _ in range(4)]

    async def gated(_ctx, n):
        await gates[n].wait()
        return n

    await serve({"gated": gated})
    ids = [await client.enqueue_job(queue, "gated", n) for n in range(4)]
    order = [2, 0, 3, 1]
    seen: list[int] = []
    gates[order[0]].set()
    async for result in client.as_completed(ids, 30):
        seen.append(result.value)
        if len(seen) < 4:
            gates[order[len(seen)]].set()
    assert seen == order


async def test_as_completed_may_be_left_early(client: Client, serve: Serve, queue: str) -> None:
    await serve({"echo": echo})
    ids = [await client.enqueue_job(queue, "echo", n) for n in range(3)]
    idle = await client.enqueue_job(f"{queue}-idle", "echo")
    completed = client.as_completed([*ids, idle], 30)
    async for result in completed:
        assert result.value in (0, 1, 2)
        break
    await completed.aclose()


async def test_cancelled(client: Client, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "echo")
    wait = asyncio.create_task(client.wait_for_result(task_id, 30))
    await eventually(lambda: _waited_for(client, task_id), "the wait is registered")
    assert await client.cancel(task_id) is True
    with pytest.raises(TaskCancelled, match="was cancelled"):
        await wait
    assert await client.get_status(task_id) is State.CANCELLED
    assert await client.cancel(task_id) is False


async def _waited_for(client: Client, task_id: str) -> bool:
    # A second wait that finds the first one's channel registered joins it.
    with pytest.raises(ResultTimeout):
        await client.wait_for_result(task_id, 0.2)
    return True


@pytest.mark.slow
async def test_submit_many_over_queues_in_order(client: Client, serve: Serve, queue: str) -> None:
    other = f"{queue}-b"
    await serve({"echo": echo}, queue_names=[queue, other])
    receipts = await client.submit_many(
        Submission((queue, other)[n % 2], "echo", (n,)) for n in range(2500)
    )
    assert [r.task_id.partition(":")[0] for r in receipts] == [queue, other] * 1250
    results = await client.wait_many([r.task_id for r in receipts], 60)
    assert [r.value for r in results] == list(range(2500))


async def test_close_ends_open_waits(redis_server: RedisServer, queue: str) -> None:
    client = Client(redis_server.address)
    await client.connect()
    task_id = await client.enqueue_job(queue, "echo")
    wait = asyncio.create_task(client.wait_for_result(task_id, 30))
    with redis_server.client() as raw:
        await eventually(lambda: _registered(raw, [task_id]), "the wait is registered")
    await client.close()
    with pytest.raises(RedisUnavailable, match="closed"):
        await wait
    with pytest.raises(RedisUnavailable, match="closed"):
        await client.enqueue_job(queue, "echo")
    await client.close()


@dataclass(frozen=True)
class Corner:
    x: int


async def test_a_result_that_cannot_be_read_does_not_silence_the_others(
    client: Client, redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """A worker in another language may return a map that has a map as a key."""
    broken = await client.enqueue_job(queue, "corners")
    fine = await client.enqueue_job(queue, "echo", 7)
    waits = [asyncio.create_task(client.wait_for_result(t, 30)) for t in (broken, fine)]
    await eventually(lambda: _registered(raw, [broken, fine]), "the waits are registered")
    settings = RedisSettings(address=redis_server.address)
    worker = blocking_redis(settings, client_name="another", retry_for_seconds=0)
    worker.run(leasing.register(queue, "another", 60_000, {}))
    (attempt,) = worker.run(claiming.claim(queue, "another", 1)).attempts
    result = msgspec.msgpack.encode({Corner(1): 2})
    worker.run(reporting.finish(queue, "another", [(broken, attempt.number, result)]))
    worker.close()
    await serve({"echo": echo})
    assert await waits[1] == 7
    with pytest.raises(PayloadUndecodable, match=r"result can't be read: .*hashable"):
        await waits[0]
    with pytest.raises(PayloadUndecodable):
        await client.get_result(broken)


async def test_the_workers_retries_are_waited_for(client: Client, serve: Serve, queue: str) -> None:
    async def third_time(ctx):
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    policy = RetryPolicy(max_retries=2, first_delay_seconds=0.01)
    await serve({"third_time": third_time}, retry=policy)
    task_id = await client.enqueue_job(queue, "third_time")
    assert await client.wait_for_result(task_id, 30) == 3
    options = TaskOptions(max_retries=1, task_id=secrets.token_hex(4))
    task_id = await client.enqueue_job(queue, "third_time", task_options=options)
    with pytest.raises(TaskFailed, match="not yet"):
        await client.wait_for_result(task_id, 30)
