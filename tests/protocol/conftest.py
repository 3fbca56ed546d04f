"""A Redis for the protocol alone, so that whole-database looks stay small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from protocol.bench import Bench
from support.proxy import Proxy
from support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The system's Redis; `tests/compat` runs the core of this on the oldest one too."""
    server = RedisServer().start()
    yield server
    server.destroy()


@pytest.fixture
def bench(redis_server: RedisServer, queue: str) -> Iterator[Bench]:
    """A queue of the test's own."""
    bench = Bench(redis_server, queue)
    yield bench
    bench.close()


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    """Between a client and the server, to cut and to hold."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy
