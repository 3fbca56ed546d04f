"""Jobs enqueue other jobs in the worker's Redis, in whichever place they run."""

from __future__ import annotations

import importlib
import logging

import pytest

from identtqueue import App
from testing.redis_server import RedisServer
from testing.serving import serving


@pytest.fixture
def app(queue: str, monkeypatch: pytest.MonkeyPatch) -> App:
    """Provide the app of `processing`, whose jobs have the queue of this test."""
    monkeypatch.setenv("PROCESSING_QUEUE", queue)
    return importlib.reload(importlib.import_module("client.processing")).app


@pytest.mark.slow
async def test_wherever_a_job_runs(
    app: App, redis_server: RedisServer, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A process's connection belongs to the process, so no attempt leaves it running."""
    caplog.set_level(logging.WARNING)
    async with (
        App(redis_server.address) as caller,
        serving(app.worker(redis_address=redis_server.address, concurrency=4)),
    ):

        async def run(name: str) -> object:
            task_id = await caller.client.enqueue_job(queue, name)
            return await caller.client.wait_for_result(task_id, 60)

        for _ in range(2):  # the second one finds the connection of the first
            assert await run("in_a_process") == [
                "async, open with a pool that is closed",
                "included: async",
            ]
        assert await run("blocking_in_a_process") == [
            "sync, open with a pool that is closed",
            "included: sync",
        ]
        (text,) = await run("in_a_thread")
        assert text == "identtqueue, closed with a pool that is closed"
        assert await run("to_another_redis") == "NotConnected"
    assert [r.getMessage() for r in caplog.records if "left running" in r.getMessage()] == []
