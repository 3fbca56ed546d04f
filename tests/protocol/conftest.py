"""Fixtures of the protocol's tests: a Redis for them alone, so that a look at all keys is small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from protocol.bench import Bench
from testing.proxy import Proxy
from testing.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Start the system's Redis. `tests/compat` runs the core of these tests on all versions."""
    server = RedisServer().start()
    yield server
    server.destroy()


@pytest.fixture
def bench(redis_server: RedisServer, queue: str) -> Iterator[Bench]:
    """Make a queue for the test alone."""
    bench = Bench(redis_server, queue)
    yield bench
    bench.close()


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    """Start a proxy between a client and the server."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy
