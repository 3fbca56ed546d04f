"""Tasks that no worker can run become dead letters with a reason, and the worker carries on.

Tasks that another worker may be able to run are in `test_rolling`.
"""

from __future__ import annotations

import msgspec
import pytest
import redis

from identtqueue import Client, State, TaskFailed
from identtqueue.admin import Admin
from testing.invariants import check_invariants
from testing.redis_server import RedisServer
from testing.serving import Serve


async def fine(_ctx):
    return "fine"


async def goes_on(client: Client, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "fine")
    assert await client.wait_for_result(task_id, 30) == "fine"


async def test_an_unknown_job(
    client: Client, raw: redis.Redis, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    await serve({"fine": fine, "other": fine}, max_retries=5, unrunnable_seconds=0)
    task_id = await client.enqueue_job(queue, "fnie")
    with pytest.raises(TaskFailed) as caught:
        await client.wait_for_result(task_id, 30)
    assert caught.value.remote_type == "identtqueue.errors.UnknownJob"
    assert "this worker has no job named 'fnie'; it has: fine, other" in caught.value.remote_message
    assert caught.value.remote_traceback == ""
    await goes_on(client, queue)
    async with Admin(redis_server.address) as admin:
        (letter,) = [info async for info in admin.dead_letters(queue)]
        assert (letter.task_id, letter.attempt, letter.state) == (task_id, 1, State.FAILED)
        assert letter.failure.message == caught.value.remote_message
    check_invariants(raw, queue)


UNDECODABLE = {
    "no msgpack": b"\xc1\xc1\xc1",
    "empty": b"",
    "cut off": msgspec.msgpack.encode([1, "fine", [], {}])[:-1],
    "other shape": msgspec.msgpack.encode({"function": "fine"}),
    "other types": msgspec.msgpack.encode([1, 5, "x", []]),
    "other version": msgspec.msgpack.encode([2, "fine", [], {}]),
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x04fine\x94.",
}


@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE.keys())
async def test_an_undecodable_payload(
    client: Client, raw: redis.Redis, serve: Serve, queue: str, payload: bytes
) -> None:
    """It was not written by the library, but by hand, by another program or by a broken disk."""
    task_id = f"{queue}:by-hand"
    raw.hset(
        f"idtq:{{{queue}}}:task:{task_id}",
        mapping={"state": "pending", "payload": payload, "function": "fine", "enqueued_at": "1"},
    )
    raw.rpush(f"idtq:{{{queue}}}:pending", task_id)
    await serve({"fine": fine}, max_retries=5, unrunnable_seconds=0)
    await goes_on(client, queue)
    with pytest.raises(TaskFailed) as caught:
        await client.wait_for_result(task_id, 30)
    assert caught.value.remote_type == "identtqueue.errors.PayloadUndecodable"
    assert "payload" in caught.value.remote_message
    assert (await client.get_task(task_id)).attempt == 1
    check_invariants(raw, queue)


async def test_a_hash_that_lacks_fields(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """A task's hash with hardly any fields does not harm other tasks of the same claim."""
    before = await client.enqueue_job(queue, "fine")
    task_id = f"{queue}:bare"
    raw.hset(f"idtq:{{{queue}}}:task:{task_id}", "state", "pending")
    raw.rpush(f"idtq:{{{queue}}}:pending", task_id)
    after = await client.enqueue_job(queue, "fine")
    await serve({"fine": fine})
    assert [r.value for r in await client.wait_many([before, after], 30)] == ["fine", "fine"]
    with pytest.raises(TaskFailed, match="PayloadUndecodable"):
        await client.wait_for_result(task_id, 30)


async def test_an_id_without_a_hash(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    """An id without a hash is dropped: there is nothing to run, and no client was told of it."""
    before = await client.enqueue_job(queue, "fine")
    raw.rpush(f"idtq:{{{queue}}}:pending", f"{queue}:ghost", "no task id at all")
    after = await client.enqueue_job(queue, "fine")
    await serve({"fine": fine})
    assert [r.value for r in await client.wait_many([before, after], 30)] == ["fine", "fine"]
    assert raw.llen(f"idtq:{{{queue}}}:pending") == 0


async def test_a_dead_letter_is_replayed_once_it_can_run(
    client: Client, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    worker = await serve({"fine": fine}, unrunnable_seconds=0)
    task_id = await client.enqueue_job(queue, "late")
    with pytest.raises(TaskFailed):
        await client.wait_for_result(task_id, 30)
    worker.stop()

    async def late(_ctx):
        return "at last"

    await serve({"late": late})
    async with Admin(redis_server.address) as admin:
        assert await admin.replay([task_id, f"{queue}:never"]) == [task_id]
        assert await client.wait_for_result(task_id, 30) == "at last"
        assert await admin.replay([task_id]) == []
        assert (await admin.depths([queue]))[queue].dead == 0
    info = await client.get_task(task_id)
    assert (info.attempt, info.failures) == (2, 0)
