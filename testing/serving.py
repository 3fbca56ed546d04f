"""Workers in the event loop of the test, for tests that need no process of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from identtqueue import Job, Worker
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS

Serve = Callable[..., Awaitable[Worker]]


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[Worker]:
    """Run a worker within a `with` block, and stop it in order at the end."""
    task = asyncio.create_task(worker.serve())
    try:
        yield worker
    finally:
        worker.stop()
        async with asyncio.timeout(LONG_SECONDS):
            await task


@pytest.fixture
async def serve(redis_server: RedisServer, queue: str) -> AsyncIterator[Serve]:
    """Provide `await serve({"name": job}, concurrency=2)`: a worker on this test's queue."""
    async with AsyncExitStack() as stack:

        async def start(
            jobs: Mapping[str, Callable[..., Any]] | Iterable[Job], **settings: Any
        ) -> Worker:
            settings.setdefault("redis_address", redis_server.address)
            if "queue_names" not in settings:
                settings["queue_name"] = queue
            return await stack.enter_async_context(serving(Worker(jobs, **settings)))

        yield start
