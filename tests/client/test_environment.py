"""A plain address gets the login from the environment, as in a pod, by one rule for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from identtqueue import App, Client, RedisSettings, SyncClient, Worker
from identtqueue.admin import Admin
from identtqueue.errors import RedisAuthFailed
from testing.redis_server import RedisServer
from testing.serving import serving


@pytest.fixture
def address(new_redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch) -> str:
    """Start a Redis whose password is in the environment; return its address."""
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "sesame")
    monkeypatch.setenv("IDENTTQUEUE_REDIS_PASSWORD", "sesame")
    return server.address


async def test_every_way_in_uses_the_login_from_the_environment(address: str, queue: str) -> None:
    app = App(address, default_queue=queue)

    @app.task
    async def double(_ctx: object, number: int) -> int:
        return 2 * number

    def sync() -> str:
        with SyncClient(address) as client:
            return client.enqueue_job(queue, "double", 2)

    async with Client(address) as client, app, Admin(address) as admin:
        tasks = [await client.enqueue_job(queue, "double", 1), await asyncio.to_thread(sync)]
        tasks.append((await double.enqueue(3)).task_id)
        assert (await admin.depths([queue]))[queue].queued == 3
        for worker in (Worker({"double": double.function}, address, queue), app.worker()):
            async with serving(worker):
                task = await client.enqueue_job(queue, "double", 4)
                assert await client.wait_for_result(task, 30) == 8
        assert [await client.wait_for_result(task, 30) for task in tasks] == [2, 4, 6]


async def test_settings_are_complete_in_themselves(address: str) -> None:
    """The password of one Redis is not sent to another that is given without one."""
    for make in (Client, App, Admin):
        with pytest.raises(RedisAuthFailed):
            await make(RedisSettings(address=address)).connect()
