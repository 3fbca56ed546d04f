"""Fixtures of the tests of administration: a queue on a real Redis, and an `Admin` beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from identtqueue.admin import Admin
from protocol.bench import bench
from testing.redis_server import RedisServer
from testing.serving import serve

__all__ = ["bench", "serve"]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Start a server for these tests alone, so that a look at all keys is small."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture
async def admin(redis_server: RedisServer) -> AsyncIterator[Admin]:
    """Make a connected administration client of a known name."""
    async with Admin(redis_server.address, actor="ada") as connected:
        yield connected
