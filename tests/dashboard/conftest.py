"""Fixtures of the dashboard's tests: a real Redis, a real worker, a real uvicorn, a real Chromium.

The browser and the workers live as long as a file of tests, and so does their event loop: none of
their threads runs beside the tests of other files. Tests and fixtures that use them are marked with
`loop_scope="module"`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from identtqueue import Client
from identtqueue.admin import Admin
from testing import browser as browsers
from testing.business import Business, playing
from testing.dashboard_server import DashboardServer
from testing.dashboard_users import OPERATOR
from testing.redis_server import RedisServer
from testing.shown_cluster import ShownCluster

Visit = Callable[..., AbstractAsyncContextManager[browsers.Visitor]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """Run the browser."""
    async with browsers.chromium() as browser:
        yield browser


@dataclass
class Stage:
    """A dashboard, and clients of its Redis in the loop of the tests.

    Attributes:
        server: serves the dashboard.
        redis: its Redis.
        client: enqueues tasks.
        admin: asks Redis, beside the dashboard.
    """

    server: DashboardServer
    redis: RedisServer
    client: Client
    admin: Admin

    @property
    def base(self) -> str:
        """Address of the dashboard."""
        return self.server.base


@pytest.fixture(scope="module")
def stage_redis() -> Iterator[RedisServer]:
    """Start a Redis for the dashboard: its pages show all queues that there are."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture(scope="module")
def dashboard_server(
    stage_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DashboardServer]:
    """Serve the dashboard to all tests."""
    folder = tmp_path_factory.mktemp("dashboard")
    server = DashboardServer(stage_redis.address, folder, task_queues=ShownCluster())
    try:
        yield server.start()
    finally:
        server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    dashboard_server: DashboardServer, stage_redis: RedisServer
) -> AsyncIterator[Stage]:
    """Connect to the Redis of the dashboard."""
    async with Client(stage_redis.address) as client, Admin(stage_redis.address) as admin:
        yield Stage(dashboard_server, stage_redis, client, admin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def business(stage: Stage) -> AsyncIterator[Business]:
    """Play a small business: tasks in each place, and a worker that has run some of them."""
    async with playing(stage.redis.address, stage.admin) as played:
        yield played


@pytest.fixture
def visit(chromium: Browser, stage: Stage) -> Visit:
    """Provide `async with visit(scheme="dark") as visitor`, which checks at its end that nothing
    has happened that must not.
    """

    @asynccontextmanager
    async def visiting(**words: Any) -> AsyncIterator[browsers.Visitor]:
        words.setdefault("login", OPERATOR)
        async with browsers.visiting(chromium, stage.base, **words) as visitor:
            yield visitor
            await visitor.check()

    return visiting
