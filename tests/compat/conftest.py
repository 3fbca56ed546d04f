"""Fixtures that run each test on each supported version of the server: see `testing.servers`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from protocol.bench import bench
from testing import servers
from testing.redis_server import RedisServer

__all__ = ["bench"]

CHOSEN = os.environ.get(servers.VARIABLE)


@pytest.fixture(scope="session", params=[CHOSEN] if CHOSEN else servers.NAMES)
def server_name(request: pytest.FixtureRequest) -> str:
    """Choose one of `servers.NAMES`."""
    return str(request.param)


@pytest.fixture(scope="session")
def executable(server_name: str) -> str:
    return servers.executable(server_name)


@pytest.fixture(scope="session")
def redis_server(executable: str) -> Iterator[RedisServer]:
    with RedisServer(executable=executable).running() as server:
        yield server


@pytest.fixture
def new_redis_server(
    new_redis_server: Callable[..., RedisServer], executable: str
) -> Callable[..., RedisServer]:
    """Provide a function that starts a test's own servers of the same version."""
    return partial(new_redis_server, executable=executable)
