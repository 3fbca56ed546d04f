"""A task that follows from another: the documentation's example, run as it stands there."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import redis

from identtqueue import Client, Context, State
from support.redis_server import RedisServer
from support.serving import serving

LIBRARY = Path(__file__).parents[2] / "docs/library.md"


def example(address: str, queue: str) -> dict[str, object]:
    """The example's names, with this test's Redis and queues in the place of its own."""
    blocks = re.findall(r"^```python\n(.*?)^```", LIBRARY.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if "follow_up_id" in block]
    for shown, meant in (
        ('"redis://redis"', repr(address)),
        ('"mrz"', repr(queue)),
        ('"checks"', repr(f"{queue}-checks")),
    ):
        assert shown in code
        code = code.replace(shown, meant)
    names: dict[str, object] = {}
    exec(compile(code, str(LIBRARY), "exec"), names)
    return names


def context(task_id: str, attempt: int) -> Context:
    return Context(
        task_id=task_id,
        queue=task_id.partition(":")[0],
        function_name="read_mrz",
        attempt=attempt,
        failures=0,
        enqueued_at_ms=0,
        deadline=None,
        state={},
        logger=logging.getLogger(),
    )


async def test_the_documented_example(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    names = example(redis_server.address, queue)
    app, read_mrz = names["app"], names["read_mrz"]
    async with serving(app.worker()):
        await app.connect()
        task = await read_mrz.options(task_id="42").enqueue("a.jpg")
        assert await task.result(30) == "the line in a.jpg"
        assert await client.wait_for_result(f"{queue}-checks:42-check", 30) is True


async def test_however_often_the_first_runs_there_is_one_follow_up(
    redis_server: RedisServer, client: Client, raw: redis.Redis, queue: str
) -> None:
    """A worker that was lost behind the enqueue, and a ghost that comes back after the end."""
    names = example(redis_server.address, queue)
    app, read_mrz = names["app"], names["read_mrz"]
    checks = f"{queue}-checks"
    async with app:
        for attempt in (1, 2, 3):
            await read_mrz(context(f"{queue}:4:2", attempt), "a.jpg")
        assert raw.lrange(f"idtq:{{{checks}}}:pending", 0, -1) == [f"{checks}:4/2-check".encode()]
        async with serving(app.worker(queues=[checks])):
            assert await client.wait_for_result(f"{checks}:4/2-check", 30) is True
        await app.connect()  # the worker's shut-down has closed it
        await read_mrz(context(f"{queue}:4:2", 1), "a.jpg")
    assert await client.queue_length(checks) == 0
    assert await client.get_status(f"{checks}:4/2-check") is State.SUCCEEDED
