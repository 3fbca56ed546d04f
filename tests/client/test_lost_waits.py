"""A wait ends even if the message of the task's end is lost, because it also looks at times.

The message may be lost by a failover, an eviction, a deletion, a flush or a cut connection. Each is
tested here. Only the time between two looks is shortened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis

from identtqueue import Client, ResultTimeout, SyncClient, TaskNotFound
from identtqueue.client import results as results_module
from identtqueue.protocol import codec
from identtqueue.protocol.calls import claiming, leasing, reporting
from identtqueue.task import Result
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings
from testing import packing
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import LONG_SECONDS, eventually

NewServer = Callable[..., RedisServer]


async def echo(_ctx, value=None):
    return value


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients look at open waits much more often."""
    monkeypatch.setattr(results_module, "LOOK_AGAIN_SECONDS", (0.2, 0.3))


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients look at open waits only when there is a reason."""
    monkeypatch.setattr(results_module, "LOOK_AGAIN_SECONDS", (3600.0, 3600.0))


@pytest.fixture
async def waiting(client: Client, queue: str) -> str:
    """Enqueue a task; return its id."""
    return await client.enqueue_job(queue, "echo", 7)


async def registered(raw: redis.Redis, task_id: str) -> None:
    await eventually(lambda: packing.is_awaited(raw, task_id), "the wait is registered")


def kill_main_connection(raw: redis.Redis) -> None:
    """Close the connection of the only client for its calls, which is a reason to look."""
    (main,) = [row["id"] for row in raw.client_list() if row["name"] == "identtqueue-client"]
    raw.client_kill_filter(_id=main)


def test_the_looks_are_within_a_minute() -> None:
    first, last = results_module.LOOK_AGAIN_SECONDS
    assert 30 <= first < last < 60 - results_module.LOOK_ONCE_SECONDS


async def test_the_end_of_a_big_result_is_announced_while_the_wait_is_asking(
    redis_server: RedisServer, client: Client, raw: redis.Redis, queue: str, never: None
) -> None:
    """The answer "it is running" and the announcement of its end arrive on two connections.

    Both are there before the event loop reads one, so either may be read first.
    """
    await client.get_result(await client.enqueue_job(queue, "other"))  # both connections are open
    worker = blocking_redis(
        RedisSettings(address=redis_server.address), client_name="tests", retry_for_seconds=10
    )
    worker.run(leasing.register(queue, "w", 60_000, {}))
    for _ in range(20):
        task_id = await client.enqueue_job(queue, "big")
        attempts = worker.run(claiming.claim(queue, "w", 10)).attempts
        waiting = asyncio.create_task(client.wait(task_id))
        while not packing.is_awaited(raw, task_id):  # noqa: ASYNC110 - as few turns as possible
            await asyncio.sleep(0)
        done = [(a.task_id, a.number, codec.encode_value(b"x" * 100_000)) for a in attempts]
        worker.run(reporting.finish(queue, "w", done))
        async with asyncio.timeout(LONG_SECONDS):
            assert (await waiting).value == b"x" * 100_000
    worker.close()


@pytest.mark.parametrize("how", ["wait", "wait_many", "as_completed", "watch"])
async def test_a_task_that_is_gone(
    client: Client, raw: redis.Redis, waiting: str, soon: None, how: str
) -> None:
    """It was evicted, deleted or flushed, which nobody publishes."""
    task_id = waiting

    async def wait() -> None:
        if how == "wait":
            await client.wait(task_id)
        elif how == "wait_many":
            await client.wait_many([task_id])
        elif how == "as_completed":
            async for _ in client.as_completed([task_id]):
                pass
        else:
            async for _ in client.watch(task_id):
                pass

    open_wait = asyncio.ensure_future(wait())
    await registered(raw, task_id)
    packing.remove(raw, task_id)
    with pytest.raises(TaskNotFound):
        await asyncio.wait_for(open_wait, LONG_SECONDS)


async def test_a_registration_that_was_lost(
    client: Client, raw: redis.Redis, waiting: str, serve: Serve, soon: None
) -> None:
    """After a failover to a lagging replica, say, the end is not published, but still noticed."""
    task_id = waiting
    open_wait = asyncio.ensure_future(client.wait(task_id))
    await registered(raw, task_id)
    raw.hdel(packing.unpack(raw, task_id), "waiters")
    await registered(raw, task_id)  # again
    await serve({"echo": echo})
    assert (await asyncio.wait_for(open_wait, LONG_SECONDS)).value == 7


async def test_a_wait_that_joins_one_that_hangs_asks_for_itself(
    client: Client, raw: redis.Redis, waiting: str, never: None
) -> None:
    task_id = waiting
    hangs = asyncio.ensure_future(client.wait(task_id))
    await registered(raw, task_id)
    packing.remove(raw, task_id)
    for _ in range(2):
        with pytest.raises(TaskNotFound):
            await asyncio.wait_for(client.wait(task_id), LONG_SECONDS)
    with pytest.raises(TaskNotFound):
        await hangs


async def test_a_connection_that_changes_is_a_reason_to_look(
    new_redis_server: NewServer, never: None
) -> None:
    """Only the main connection changes, as when another node than the subscription's fails over."""
    server = new_redis_server()
    async with Client(server.address) as client:
        task_id = await client.enqueue_job("q", "echo")
        open_wait = asyncio.ensure_future(client.wait(task_id))
        with server.client() as raw:
            await registered(raw, task_id)
            packing.remove(raw, task_id)
            kill_main_connection(raw)
        with pytest.raises(TaskNotFound):
            await asyncio.wait_for(open_wait, LONG_SECONDS)


async def test_a_flush_of_all(new_redis_server: NewServer, soon: None) -> None:
    server = new_redis_server()
    async with Client(server.address) as client:
        ids = [await client.enqueue_job("q", "echo", n) for n in range(3)]
        waits = [asyncio.ensure_future(client.wait(task_id)) for task_id in ids]
        with server.client() as raw:
            await registered(raw, ids[-1])
            raw.flushall()
        for wait in waits:
            with pytest.raises(TaskNotFound):
                await asyncio.wait_for(wait, LONG_SECONDS)


@pytest.mark.slow
async def test_many_waits_are_asked_for_in_few_batches(
    new_redis_server: NewServer, queue: str, never: None
) -> None:
    server = new_redis_server()
    async with Client(server.address) as client:
        ids = [await client.enqueue_job(queue, "echo", n) for n in range(700)]
        waits = [asyncio.ensure_future(client.wait(task_id)) for task_id in ids]
        with server.client() as raw:
            for task_id in (ids[0], ids[-1]):
                await registered(raw, task_id)
            packing.remove(raw, *ids[::2])
            kill_main_connection(raw)
        answers = await asyncio.gather(*waits[::2], return_exceptions=True)
        assert {type(answer) for answer in answers} == {TaskNotFound}
        assert not any(wait.done() for wait in waits[1::2]), "their tasks are still there"
        for wait in waits:
            wait.cancel()


# --- a look, and what is kept ---


async def test_without_time_a_wait_looks_once(
    client: Client, serve: Serve, queue: str, redis_server: RedisServer
) -> None:
    await serve({"echo": echo})
    done = await client.enqueue_job(queue, "echo", 7)
    await client.wait(done)
    idle = await client.enqueue_job(f"{queue}-idle", "echo")
    for seconds in (0, -1.5):
        assert (await client.wait(done, seconds)).value == 7
        assert await client.wait_for_result(done, seconds) == 7
        assert [r.value for r in await client.wait_many([done, done], seconds)] == [7, 7]
        assert [r.value async for r in client.as_completed([done], seconds)] == [7]
        assert [v async for v in client.watch(done, seconds)] == []
        with pytest.raises(ResultTimeout):
            await client.wait(idle, seconds)
        with pytest.raises(ResultTimeout):
            [v async for v in client.watch(idle, seconds)]
        with pytest.raises(TaskNotFound):
            await client.wait(f"{queue}:never", seconds)

    def program() -> None:
        with SyncClient(redis_server.address) as blocking:
            assert blocking.wait_for_result(done, 0) == 7
            assert blocking.wait_many([done], 0)[0].value == 7
            assert next(blocking.as_completed([done], 0)).value == 7
            with pytest.raises(ResultTimeout):
                blocking.wait(idle, 0)

    await asyncio.to_thread(program)


@pytest.mark.slow
async def test_a_missing_task_does_not_affect_the_others(
    client: Client, serve: Serve, queue: str, redis_server: RedisServer
) -> None:
    await serve({"echo": echo})
    done = [await client.enqueue_job(queue, "echo", n) for n in range(3)]
    idle = await client.enqueue_job(f"{queue}-idle", "echo")
    missing = f"{queue}:never"
    ids = [done[0], missing, done[1], idle, done[2]]

    def check(found: list[Result | ResultTimeout | TaskNotFound]) -> None:
        assert [type(one) for one in found] == [Result, TaskNotFound, Result, ResultTimeout, Result]
        assert [one.task_id for one in found] == ids
        assert [one.value for one in found if isinstance(one, Result)] == [0, 1, 2]

    await client.wait_many(done)
    for seconds in (1, 0):
        check(await client.wait_many(ids, seconds, return_exceptions=True))
        by_id = {
            one.task_id: one
            async for one in client.as_completed(ids, seconds, return_exceptions=True)
        }
        check([by_id[task_id] for task_id in ids])

    ended = client.as_completed(ids, 0)
    seen = [(await anext(ended)).value for _ in range(3)]
    assert sorted(seen) == [0, 1, 2], "what is there comes before the error"
    with pytest.raises((TaskNotFound, ResultTimeout)):
        await anext(ended)

    def program() -> None:
        with SyncClient(redis_server.address) as blocking:
            check(blocking.wait_many(ids, 1, return_exceptions=True))
            assert len(list(blocking.as_completed(ids, 1, return_exceptions=True))) == 5

    await asyncio.to_thread(program)
