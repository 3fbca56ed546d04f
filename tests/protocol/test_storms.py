"""A reconnecting fleet does not keep Redis busy: it retries ever less often, and logs in once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from identtqueue.protocol.calls import inspecting
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.settings import RedisSettings
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.strangers import Stranger
from testing.waiting import LONG_SECONDS, eventually

NewServer = Callable[..., RedisServer]

CLIENTS = 20
THREADS = 10
KEYS = 1_000


@pytest.mark.slow
async def test_a_connection_to_a_loading_redis_is_kept(
    new_redis_server: NewServer,
) -> None:
    # Redis answers every 2 MB while it loads.
    slow = ("--key-load-delay", "2000", "--rdbcompression", "no")
    server = new_redis_server(options=slow)
    with server.client() as raw:
        pipe = raw.pipeline(transaction=False)
        for number in range(KEYS):
            pipe.set(f"key:{number}", "x" * 40_000)
        pipe.execute()
        raw.save()
    server.kill()
    starting = asyncio.ensure_future(asyncio.to_thread(server.start))
    async with Proxy(server.port) as proxy:
        await eventually(lambda: is_loading(server), "it loads its data")
        settings = RedisSettings(address=proxy.address)
        clients = [
            async_redis(settings, client_name="tests", retry_for_seconds=LONG_SECONDS)
            for _ in range(CLIENTS)
        ]
        shared = blocking_redis(settings, client_name="tests", retry_for_seconds=LONG_SECONDS)
        call = inspecting.depth("q")
        with ThreadPoolExecutor(THREADS) as pool:
            threads = [pool.submit(shared.run, call) for _ in range(THREADS)]
            depths = await asyncio.gather(*(client.run(call) for client in clients))
            depths += [await asyncio.wrap_future(thread) for thread in threads]
        await starting
        assert [depth.queued for depth in depths] == [0] * (CLIENTS + THREADS)
        assert proxy.accepted == CLIENTS + 1
        with server.client() as raw:
            asked = raw.info("commandstats")["cmdstat_evalsha"]
        assert asked["rejected_calls"] >= CLIENTS, "all have met the loading"
        for client in clients:
            await client.close()
        shared.close()


def is_loading(server: RedisServer) -> bool:
    try:
        with server.client() as raw:
            return bool(raw.info("persistence")["loading"])
    except redis.RedisError:  # it does not listen yet
        return False


@pytest.mark.slow
async def test_threads_that_share_a_client_reconnect_together() -> None:
    """While every connection is closed at once, ten threads try hardly more often than one."""
    nobody = await Stranger().start(hangs_up=True)
    settings = RedisSettings(address=f"redis://127.0.0.1:{nobody.port}")
    shared = blocking_redis(settings, client_name="tests", retry_for_seconds=2)
    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(shared.run, inspecting.depth("q")) for _ in range(THREADS)]
        errors = await asyncio.gather(
            *(asyncio.wrap_future(thread) for thread in threads), return_exceptions=True
        )
    assert {type(error).__name__ for error in errors} == {"RedisUnavailable"}
    await nobody.close()
    assert 0 < len(nobody.opened_at) <= 25
