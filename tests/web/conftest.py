"""A dashboard for each test, on the Redis that all tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.dashboard import BasicAuth, create_dashboard
from identtqueue.dashboard.application import Dashboard
from testing.dashboard_users import OPERATOR, users_file
from testing.http import connected
from testing.redis_server import RedisServer
from web.serving import INTERVAL_SECONDS, served


@pytest.fixture
async def admin(redis_server: RedisServer) -> AsyncIterator[Admin]:
    async with Admin(redis_server.address) as made:
        yield made


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    async with Client(redis_server.address) as made:
        yield made


@pytest.fixture
async def dashboard(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Dashboard]:
    """Make a dashboard with two users; no page is kept for longer than the tests want to wait."""
    made = create_dashboard(
        redis_server.address,
        auth=BasicAuth(users_file(tmp_path)),
        title="tests",
        interval_seconds=INTERVAL_SECONDS,
    )
    yield made
    await made.close()


@pytest.fixture
async def base(dashboard: Dashboard) -> AsyncIterator[str]:
    """Serve it, and return its address."""
    async with served(dashboard) as address:
        yield address


@pytest.fixture
async def otto(base: str) -> AsyncIterator[httpx.AsyncClient]:
    """Connect as the operator."""
    async with connected(base, auth=OPERATOR) as made:
        yield made
