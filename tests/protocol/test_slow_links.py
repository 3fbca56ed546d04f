"""Slow is not dead: a time-out guards against silence, and small calls do not wait for big ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import redis

from identtqueue.errors import RedisUnavailable
from identtqueue.protocol.call import Call
from identtqueue.transport import wire
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.settings import RedisSettings
from testing.proxy import Proxy
from testing.waiting import LONG_SECONDS, eventually

MEGABYTE = 1_000_000
SILENCE_SECONDS = 1.0
"""Of each test's connection: far less than what its calls take."""

RunAll = Callable[[Sequence[Call[Any]]], Awaitable[list[Any]]]


def store(key: str, size: int = MEGABYTE) -> Call[bool]:
    """A big request with a small reply."""
    return Call("SET", (key,), (b"x" * size,), parse=bool, is_script=False)


def load(key: str, reply_bytes: int = 0) -> Call[int]:
    """A small request with a big reply; gives its length."""
    return Call("GET", (key,), (), parse=len, is_script=False, reply_bytes=reply_bytes)


def count(key: str) -> Call[int]:
    """Small both ways."""
    return Call("INCR", (key,), (), parse=int, is_script=False)


@pytest.fixture
def keys(queue: str, raw: redis.Redis) -> Any:
    """Names of the test's own keys."""
    made: list[str] = []

    def make(number: int) -> list[str]:
        names = [f"{queue}:slow:{len(made) + i}" for i in range(number)]
        made.extend(names)
        return names

    yield make
    raw.delete(*made, "unused")


@pytest.fixture(params=["asyncio", "blocking"])
async def run_all(request: pytest.FixtureRequest, proxy: Proxy) -> Any:
    """Runs calls together, by either transport."""
    settings = RedisSettings(address=proxy.address, response_timeout_seconds=SILENCE_SECONDS)
    if request.param == "asyncio":
        redis = async_redis(settings, client_name="tests", retry_for_seconds=LONG_SECONDS)
        yield redis.run_all
        await redis.close()
    else:
        blocking = blocking_redis(settings, client_name="tests", retry_for_seconds=LONG_SECONDS)
        yield lambda calls: asyncio.to_thread(blocking.run_all, calls)
        await asyncio.to_thread(blocking.close)


@pytest.mark.slow
async def test_big_calls_take_their_time_and_arrive_at_once(
    proxy: Proxy, run_all: RunAll, keys: Any, raw: redis.Redis
) -> None:
    """Many times the time-out in all, and no byte is sent twice."""
    await run_all([count(*keys(1))])
    before = raw.info("stats")["total_net_input_bytes"]
    proxy.throttle(2 * MEGABYTE)
    assert await run_all([store(key) for key in keys(4)]) == [True] * 4
    assert raw.info("stats")["total_net_input_bytes"] - before < 4.5 * MEGABYTE
    assert proxy.accepted == 1


@pytest.mark.slow
async def test_one_call_that_takes_longer_than_the_time_out(
    proxy: Proxy, run_all: RunAll, keys: Any
) -> None:
    await run_all([count(*keys(1))])
    proxy.throttle(MEGABYTE)
    (key,) = keys(1)
    assert await run_all([store(key, 2 * MEGABYTE)]) == [True]
    assert proxy.accepted == 1


@pytest.mark.slow
async def test_big_replies_take_their_time(
    proxy: Proxy, run_all: RunAll, keys: Any, raw: redis.Redis
) -> None:
    names = keys(4)
    for name in names:
        raw.set(name, b"x" * MEGABYTE)
    await run_all([count(*keys(1))])
    proxy.throttle(2 * MEGABYTE)
    assert await run_all([load(name) for name in names]) == [MEGABYTE] * 4
    assert proxy.accepted == 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 8 * MEGABYTE], ids=["small", "big"])
async def test_silence_in_the_middle_is_noticed(
    proxy: Proxy, keys: Any, raw: redis.Redis, size: int
) -> None:
    """Before the first byte, or when a big call has arrived in part."""
    settings = RedisSettings(address=proxy.address, response_timeout_seconds=SILENCE_SECONDS)
    redis = async_redis(settings, client_name="tests", retry_for_seconds=0)
    await redis.run(count(*keys(1)))
    proxy.throttle(2 * MEGABYTE)
    (key,) = keys(1)
    call = asyncio.ensure_future(redis.run(store(key, size)))
    proxy.swallow()
    with pytest.raises(RedisUnavailable, match=r"no sign of life from Redis for 1 s"):
        await asyncio.wait_for(call, LONG_SECONDS)
    assert not raw.exists(key)
    proxy.stop_swallowing()
    proxy.throttle(0)
    assert await redis.run(store(key, size))
    await redis.close()


# --- small and big ---


@pytest.mark.slow
async def test_a_small_call_waits_for_one_batch_not_for_all_big_ones(
    proxy: Proxy, keys: Any
) -> None:
    redis = async_redis(
        RedisSettings(address=proxy.address), client_name="tests", retry_for_seconds=LONG_SECONDS
    )
    await redis.connect()
    proxy.throttle(20 * MEGABYTE)
    ended: list[str] = []
    big = [asyncio.ensure_future(redis.run(store(key))) for key in keys(40)]
    for call in big:
        call.add_done_callback(lambda _: ended.append("big"))
    await eventually(lambda: ended, "the first has arrived")
    await redis.run(count(*keys(1)))
    assert len(ended) <= 4, "those on their way, and no others"
    await asyncio.gather(*big)
    await redis.close()


@pytest.mark.slow
async def test_a_small_call_waits_for_one_big_reply_not_for_all(
    proxy: Proxy, keys: Any, raw: redis.Redis
) -> None:
    redis = async_redis(
        RedisSettings(address=proxy.address), client_name="tests", retry_for_seconds=LONG_SECONDS
    )
    (stored,) = keys(1)
    raw.set(stored, b"x" * MEGABYTE)
    await redis.connect()
    proxy.throttle(20 * MEGABYTE)
    ended: list[str] = []
    big = [asyncio.ensure_future(redis.run(load(stored, MEGABYTE))) for _ in range(40)]
    for call in big:
        call.add_done_callback(lambda _: ended.append("big"))
    await eventually(lambda: ended, "the first has come")
    await redis.run(count(*keys(1)))
    assert len(ended) <= 4
    await asyncio.gather(*big)
    await redis.close()


async def test_big_calls_move_on_under_a_flood_of_small_ones(proxy: Proxy, keys: Any) -> None:
    redis = async_redis(
        RedisSettings(address=proxy.address), client_name="tests", retry_for_seconds=LONG_SECONDS
    )
    names = keys(8)
    stop = asyncio.Event()
    (counter,) = keys(1)

    async def flood() -> None:
        while not stop.is_set():
            await redis.run_all([count(counter)] * (2 * wire.BATCH_CALLS))

    floods = [asyncio.ensure_future(flood()) for _ in range(2)]
    assert await asyncio.wait_for(redis.run_all([store(name) for name in names]), LONG_SECONDS)
    stop.set()
    await asyncio.gather(*floods)
    await redis.close()


@pytest.mark.slow
async def test_a_small_call_of_a_thread_waits_for_one_batch(proxy: Proxy, keys: Any) -> None:
    redis = blocking_redis(
        RedisSettings(address=proxy.address), client_name="tests", retry_for_seconds=LONG_SECONDS
    )
    names, (counter,) = keys(30), keys(1)
    await asyncio.to_thread(redis.run, count(counter))
    proxy.throttle(20 * MEGABYTE)
    ended: list[str] = []

    def send_big(name: str) -> None:
        redis.run(store(name))
        ended.append(name)

    threads = [threading.Thread(target=send_big, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    await eventually(lambda: ended, "the first has arrived")
    await asyncio.to_thread(redis.run, count(counter))
    assert len(ended) <= 6
    await eventually(lambda: len(ended) == len(names), "all have arrived")
    redis.close()
