"""Memory of a task in Redis: the figures in docs/redis.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from identtqueue import App
from testing.redis_server import RedisServer
from testing.serving import serving

TASKS = 10_000
BATCH = 500


def used(raw: redis.Redis) -> int:
    return int(raw.info("memory")["used_memory"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "pending", "result"),
    [(1_000, 1_000 + 360, 2_000 + 1_150), (85, 215, 1_130), (20, 145, 450)],
    ids=["large", "more than 64 bytes", "small"],
)
async def test_memory_of_a_task(
    new_redis_server: Callable[..., RedisServer], size: int, pending: int, result: int
) -> None:
    server = new_redis_server()
    app = App(server.address)

    @app.task
    async def read(_ctx: object, text: str) -> str:
        return text

    with server.client() as raw:
        async with app:
            await (await read.enqueue("first")).cancel()  # scripts are loaded
            before = used(raw)
            tasks = []
            for _ in range(TASKS // BATCH):
                tasks += await app.enqueue_many(read.call("x" * size) for _ in range(BATCH))
            assert (used(raw) - before) / TASKS == pytest.approx(pending, rel=0.25)
            async with serving(app.worker(concurrency=100)):
                for task in tasks:
                    await task.result(timeout_seconds=60)
        assert (used(raw) - before) / TASKS == pytest.approx(result, rel=0.25)
