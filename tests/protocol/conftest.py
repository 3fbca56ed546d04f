"""Fixtures of the protocol's tests: a Redis for them alone, so that a look at all keys is small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from protocol.bench import bench
from testing.proxy import Proxy
from testing.redis_server import RedisServer

__all__ = ["bench"]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Start the system's Redis. `tests/compat` runs the core of these tests on all versions."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    """Start a proxy between a client and the server."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy
