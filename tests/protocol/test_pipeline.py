"""The asyncio transport: batches, losses, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.answers import Enqueued, Receipt
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import claiming, enqueueing, inspecting, one_task
from identtqueue.protocol.scripts import script
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.wire import BATCH_CALLS
from protocol.bench import Bench
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.waiting import eventually

NewServer = Callable[..., RedisServer]

LONG = 60.0


def new_redis(address: str, *, retry_for: float = LONG, **settings: float) -> AsyncRedis:
    return async_redis(
        RedisSettings(address=address, **settings),
        client_name="tests",
        retry_for_seconds=retry_for,
    )


def broken(bench: Bench) -> Call[object]:
    """Make a call that Redis answers with an error."""
    bench.raw.set(bench.keys.paused + ":text", "no list")
    return Call("LLEN", (), (bench.keys.paused + ":text",), parse=int, is_script=False)


@pytest.fixture(autouse=True)
def loaded(redis_server: RedisServer) -> None:
    """Load the scripts, so that a held reply is never the one that the script is missing."""
    with redis_server.client() as raw:
        for name in ("claim", "enqueue"):
            raw.script_load(script(name).source)


# --- batches ---


async def test_replies_come_in_order(calls: AsyncRedis, queue: str) -> None:
    await calls.run(
        enqueueing.enqueue(queue, [NewTask(f"{queue}:{i}", b"", f"f{i}") for i in range(50)])
    )
    infos = await calls.run_all([one_task.task_info(f"{queue}:{i}") for i in range(50)])
    assert [info.function_name for info in infos if info] == [f"f{i}" for i in range(50)]


async def test_more_calls_than_fit_into_a_batch(calls: AsyncRedis, queue: str) -> None:
    number = 2 * BATCH_CALLS + 7
    receipts = await calls.run_all(
        [enqueueing.enqueue(queue, [NewTask(f"{queue}:{i}", b"", "job")]) for i in range(number)]
    )
    assert [receipt.task_id for (receipt,) in receipts] == [f"{queue}:{i}" for i in range(number)]
    assert (await calls.run(inspecting.depth(queue))).queued == number


async def test_any_number_of_coroutines_share_a_connection(
    redis_server: RedisServer, queue: str
) -> None:
    redis = new_redis(redis_server.address)
    with redis_server.client() as raw:
        before = raw.info("stats")["total_connections_received"]
        depths = await asyncio.gather(*(redis.run(inspecting.depth(queue)) for _ in range(500)))
        after = raw.info("stats")["total_connections_received"]
    await redis.close()
    assert len(depths) == 500
    assert after - before == 1


async def test_no_calls_are_no_trouble(calls: AsyncRedis) -> None:
    assert await calls.run_all([]) == []


async def test_an_error_in_the_middle_of_a_batch_is_its_own_callers(
    calls: AsyncRedis, bench: Bench
) -> None:
    good, bad = inspecting.depth(bench.queue), broken(bench)
    replies = await asyncio.gather(
        *(calls.run(call) for call in (good, bad, good)), return_exceptions=True
    )
    assert isinstance(replies[1], RedisError)
    assert not isinstance(replies[1], RedisUnavailable)
    assert replies[0] == replies[2]
    with pytest.raises(RedisError, match="wrong kind of value"):
        await calls.run_all([good, bad, good])
    assert (await calls.run(good)).queued == 0


async def test_a_call_that_can_not_be_sent_does_not_end_the_traffic(
    calls: AsyncRedis, queue: str
) -> None:
    good = inspecting.depth(queue)
    bad = Call("ECHO", (), (None,), parse=lambda reply: reply, is_script=False)  # type: ignore[arg-type]
    replies = await asyncio.gather(calls.run(bad), return_exceptions=True)
    assert isinstance(replies[0], Exception)
    assert (await calls.run(good)).queued == 0


# --- losses ---


async def test_calls_outlast_a_restart(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server(aof=True)
    redis = new_redis(server.address)
    task = NewTask(f"{queue}:1", b"", "job")
    assert (await redis.run(enqueueing.enqueue(queue, [task])))[0].status is Enqueued.OK
    server.kill()
    again = enqueueing.enqueue(queue, [task])
    second = enqueueing.enqueue(queue, [NewTask(f"{queue}:2", b"", "job")])
    waiting = asyncio.ensure_future(redis.run_all([second, again]))
    await asyncio.sleep(0)
    server.start()
    (new,), (old,) = await waiting
    assert (new.status, old.status) == (Enqueued.OK, Enqueued.EXISTS)
    await redis.close()


async def test_a_repeated_enqueue_is_one_task_when_the_reply_was_lost(
    proxy: Proxy, bench: Bench
) -> None:
    redis = new_redis(proxy.address)
    await redis.connect()
    proxy.hold_replies()
    waiting = asyncio.ensure_future(redis.run(enqueueing.enqueue(bench.queue, [bench.task("a")])))
    await eventually(lambda: bench.pending() == ["a"], "the task arrives")
    proxy.cut()
    proxy.release_replies()
    (receipt,) = await waiting
    assert receipt.status is Enqueued.OK, "its first answer"
    assert bench.dump()["stats"] == {"enqueued": 1}
    await redis.close()


async def test_a_claim_is_not_repeated(proxy: Proxy, bench: Bench) -> None:
    """A repeated claim might claim twice. Its caller asks which tasks it owns instead."""
    bench.register("w")
    bench.enqueue("a", "b")
    redis = new_redis(proxy.address)
    await redis.connect()
    proxy.hold_replies()
    waiting = asyncio.ensure_future(redis.run(claiming.claim(bench.queue, "w", 1)))
    await eventually(lambda: bench.pending() == ["b"], "the claim arrives")
    proxy.cut()
    proxy.release_replies()
    with pytest.raises(RedisUnavailable):
        await waiting
    assert await redis.run(claiming.in_flight(bench.queue, "w")) == [bench.id("a")]
    await redis.close()


async def test_calls_wait_no_longer_than_asked(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    redis = new_redis(server.address, retry_for=0.2)
    await redis.connect()
    server.kill()
    with pytest.raises(RedisUnavailable):
        await redis.run(inspecting.depth(queue))
    server.start()
    assert (await redis.run(inspecting.depth(queue))).queued == 0
    await redis.close()


@pytest.mark.slow
async def test_refused_calls_after_a_login_are_tried_less_and_less_often(
    new_redis_server: NewServer, queue: str
) -> None:
    """The logins of a fleet must not keep a Redis in trouble busy."""
    server = new_redis_server(options=("--min-replicas-to-write", "1"))
    redis = new_redis(server.address, retry_for=2)
    task = NewTask(f"{queue}:1", b"", "job")
    with server.client() as raw:
        before = raw.info("stats")["total_connections_received"]
        with pytest.raises(RedisUnavailable, match="NOREPLICAS"):
            await redis.run(enqueueing.enqueue(queue, [task]))
        logins = raw.info("stats")["total_connections_received"] - before
        assert 2 <= logins <= 8, "at most 7 pauses that double fit into 2 s"
        raw.config_set("min-replicas-to-write", 0)
    assert (await redis.run(enqueueing.enqueue(queue, [task])))[0].created
    await redis.close()


async def test_a_half_open_connection_is_given_up(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    redis = new_redis(server.address, retry_for=0, response_timeout_seconds=0.2)
    await redis.connect()
    server.pause()
    with pytest.raises(RedisUnavailable):
        await redis.run(inspecting.depth(queue))
    server.resume()
    await redis.close()


async def test_a_call_behind_a_lost_one_fails_with_it(
    redis_server: RedisServer, queue: str
) -> None:
    """If a call may not be tried again, it fails at once instead of after a timeout of its own."""
    async with Proxy(redis_server.port) as proxy:
        redis = new_redis(
            proxy.address, retry_for=0, response_timeout_seconds=1, connect_timeout_seconds=LONG
        )
        await redis.connect()
        proxy.hold_replies()
        sent = asyncio.ensure_future(redis.run(inspecting.depth(queue)))
        await eventually(lambda: proxy.holding, "its batch has left without the others")
        behind = asyncio.ensure_future(redis.run(inspecting.depth(queue)))
        patient = asyncio.ensure_future(redis.run(inspecting.depth(queue), retry_for_seconds=LONG))
        for call in (sent, behind):
            with pytest.raises(RedisUnavailable):
                await asyncio.wait_for(call, LONG / 2)
        proxy.release()
        assert (await patient).queued == 0
        await redis.close()


async def test_a_server_that_hangs_at_the_login_is_given_up(
    new_redis_server: NewServer, queue: str
) -> None:
    server = new_redis_server()
    server.pause()
    redis = new_redis(server.address, retry_for=0, connect_timeout_seconds=0.2)
    with pytest.raises(RedisUnavailable):
        await redis.run(inspecting.depth(queue))
    server.resume()
    await redis.close()


# --- cancellation ---


async def test_a_caller_that_goes_away_does_not_disturb_the_others(
    proxy: Proxy, bench: Bench
) -> None:
    redis = new_redis(proxy.address)
    await redis.connect()
    proxy.hold_replies()
    gone = asyncio.ensure_future(redis.run(enqueueing.enqueue(bench.queue, [bench.task("gone")])))
    await eventually(lambda: bench.pending() == ["gone"], "the call is on its way")
    stays = asyncio.ensure_future(redis.run(enqueueing.enqueue(bench.queue, [bench.task("stays")])))
    never_sent = asyncio.ensure_future(
        redis.run(enqueueing.enqueue(bench.queue, [bench.task("never")]))
    )
    await asyncio.sleep(0)
    gone.cancel()
    never_sent.cancel()
    await asyncio.gather(gone, never_sent, return_exceptions=True)
    proxy.release_replies()
    (receipt,) = await stays
    assert receipt == Receipt(bench.id("stays"), Enqueued.OK)
    assert bench.pending() == ["gone", "stays"]
    await redis.close()


async def test_closing_fails_what_is_on_its_way(proxy: Proxy, bench: Bench) -> None:
    redis = new_redis(proxy.address)
    await redis.connect()
    proxy.hold_replies()
    sent = asyncio.ensure_future(redis.run(enqueueing.enqueue(bench.queue, [bench.task("a")])))
    await eventually(lambda: bench.pending() == ["a"], "the call is on its way")
    waits = asyncio.ensure_future(redis.run(inspecting.depth(bench.queue)))
    await asyncio.sleep(0)
    await redis.close()
    for call in (sent, waits):
        with pytest.raises(RedisUnavailable, match="closed"):
            await call
    with pytest.raises(RedisUnavailable, match="closed"):
        await redis.run(inspecting.depth(bench.queue))


async def test_closing_during_an_outage(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    redis = new_redis(server.address)
    await redis.connect()
    server.kill()
    waits = asyncio.ensure_future(redis.run(inspecting.depth(queue)))
    await asyncio.sleep(0)
    await redis.close()
    with pytest.raises(RedisUnavailable, match="closed"):
        await waits


async def test_closing_what_was_never_open(redis_server: RedisServer) -> None:
    redis = new_redis(redis_server.address)
    await redis.close()
    await redis.close()
