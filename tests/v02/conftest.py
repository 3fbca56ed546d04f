"""Fixtures of the tests of the bridge: a hand-made 0.2, and bridges in the test's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from identtqueue.v02.bridge import Bridge
from testing.redis_server import RedisServer
from testing.serving import serve
from testing.waiting import LONG_SECONDS
from v02.old import OldClient, OldWorker

__all__ = ["serve"]

StartBridge = Callable[..., Awaitable[Bridge]]


@asynccontextmanager
async def bridging(bridge: Bridge) -> AsyncIterator[Bridge]:
    """Run a bridge within a `with` block, and end it at its end."""
    task = asyncio.create_task(bridge.serve())
    try:
        yield bridge
    finally:
        bridge.stop()
        async with asyncio.timeout(LONG_SECONDS):
            await task


@pytest.fixture
async def start_bridge(redis_server: RedisServer, queue: str) -> AsyncIterator[StartBridge]:
    """Provide `await start_bridge(to_old=True)`: a bridge for this test's queue."""
    async with AsyncExitStack() as stack:

        async def start(*queues: str, **settings: object) -> Bridge:
            bridge = Bridge(queues or [queue], redis_server.address, **settings)
            return await stack.enter_async_context(bridging(bridge))

        yield start


@pytest.fixture
async def old_client(redis_server: RedisServer) -> AsyncIterator[OldClient]:
    client = OldClient(redis_server.port)
    yield client
    await client.redis.aclose()


@pytest.fixture
async def old_worker(redis_server: RedisServer, queue: str) -> AsyncIterator[OldWorker]:
    worker = OldWorker(redis_server.port, queue)
    yield worker
    await worker.redis.aclose()
