"""Tasks that are enqueued one at a time in the same moment share a call, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis

from identtqueue import Client, RedisUnavailable, Submission
from identtqueue.errors import PayloadTooLarge
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.submission import BATCH_TASKS
from testing.redis_server import RedisServer


def _scripts_run(raw: redis.Redis) -> int:
    found = raw.info("commandstats").get("cmdstat_evalsha", {"calls": 0})
    return int(found["calls"])


async def test_many_callers_share_a_call_and_each_gets_its_own_receipt(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    server = new_redis_server()
    with server.client() as raw:
        async with Client(server.address) as client:
            await client.enqueue_job(queue, "first")  # loads the scripts
            before = _scripts_run(raw)
            receipts = await asyncio.gather(
                *(client.submit(Submission(queue, "job", (n,))) for n in range(BATCH_TASKS))
            )
            assert _scripts_run(raw) - before <= 2
        assert all(receipt.created for receipt in receipts)
        ids = [receipt.task_id for receipt in receipts]
        assert len(set(ids)) == BATCH_TASKS
        pending = raw.lrange(f"idtq:{{{queue}}}:pending", 1, -1)
        assert [task_id.decode() for task_id in pending] == ids, "in the order of the callers"


async def test_each_task_keeps_its_own_arguments_and_queue(client: Client, queue: str) -> None:
    receipts = await asyncio.gather(
        *(client.submit(Submission(f"{queue}-{n % 3}", f"job-{n}", (n,))) for n in range(30))
    )
    for n, receipt in enumerate(receipts):
        task = await client.get_arguments(receipt.task_id)
        assert task is not None
        assert (task.function_name, task.args) == (f"job-{n}", (n,))
        assert receipt.task_id.startswith(f"{queue}-{n % 3}:")


async def test_a_payload_that_is_too_large_fails_alone(
    redis_server: RedisServer, queue: str
) -> None:
    async with Client(redis_server.address, max_payload_bytes=1000) as client:
        small, large = await asyncio.gather(
            client.submit(Submission(queue, "job", ("x",))),
            client.submit(Submission(queue, "job", ("x" * 2000,))),
            return_exceptions=True,
        )
    assert isinstance(small, Receipt)
    assert isinstance(large, PayloadTooLarge)


async def test_a_large_task_and_one_with_options_are_sent_as_well(
    client: Client, queue: str
) -> None:
    await asyncio.gather(
        client.enqueue_job(queue, "small"),
        client.enqueue_job(queue, "large", "x" * 100_000),
        *(client.enqueue_job(queue, "middle", "x" * 20_000) for _ in range(5)),
    )
    assert await client.queue_length(queue) == 7


async def test_a_caller_that_is_cancelled_first_enqueues_nothing(
    client: Client, queue: str
) -> None:
    kept, gone = (
        asyncio.ensure_future(client.enqueue_job(queue, name)) for name in ("kept", "gone")
    )
    await asyncio.sleep(0)  # both have joined the call, which leaves in a later turn
    gone.cancel()
    task_id = await kept
    assert await client.get_status(task_id)
    assert await client.queue_length(queue) == 1
    assert gone.cancelled()


async def test_without_callers_a_call_is_not_sent(client: Client, queue: str) -> None:
    calls = [asyncio.ensure_future(client.enqueue_job(queue, "job")) for _ in range(3)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert await client.queue_length(queue) == 0


async def test_after_an_outage_each_task_is_enqueued_once(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    server = new_redis_server()
    async with Client(server.address) as client:
        await client.connect()
        with server.client() as raw:
            raw.client_kill_filter(_type="normal", skipme=True)
        ids = await asyncio.gather(*(client.enqueue_job(queue, "job") for _ in range(50)))
        assert len(set(ids)) == 50
        assert await client.queue_length(queue) == 50


@pytest.mark.parametrize("seconds", [0.0, 0.1])
async def test_all_callers_get_the_error_of_their_call(
    new_redis_server: Callable[..., RedisServer], queue: str, seconds: float
) -> None:
    server = new_redis_server()
    async with Client(server.address, retry_for_seconds=seconds) as client:
        server.stop()
        found = await asyncio.gather(
            *(client.enqueue_job(queue, "job") for _ in range(3)), return_exceptions=True
        )
    assert [type(error) for error in found] == [RedisUnavailable] * 3


async def test_closing_the_client_fails_what_has_not_left(
    redis_server: RedisServer, queue: str
) -> None:
    client = Client(redis_server.address)
    await client.connect()
    call = asyncio.ensure_future(client.enqueue_job(queue, "job"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(RedisUnavailable):
        await call
