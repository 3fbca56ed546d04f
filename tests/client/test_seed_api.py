"""The seed's API, word for word."""

from __future__ import annotations

import asyncio
import sys
import textwrap

import pytest

from identtqueue import Client, State, TaskFailed, TaskNotFound, Worker
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import Serve, serving

# ruff: noqa: E501 - word for word
CALLER = """
client = Client(redis_address="redis://redis")
await client.connect()
task_id = await client.enqueue_job(queue_name="mrz", function_name="rnd_magic", path="s3://bucket/document.jpg")
result = await client.wait_for_result(task_id)      # optional timeout: raises ResultTimeout, the task goes on
result = await client.get_result(task_id)           # or None
status = await client.get_status(task_id)
"""

WORKER = """
async def rnd_magic(ctx, *args, **kwargs): ...
Worker(jobs={"rnd_magic": rnd_magic}, redis_address="redis://redis", queue_name="mrz").run()
"""


def placed(text: str, address: str, queue: str) -> str:
    """Point the example at the test's Redis and queue, and change nothing else."""
    assert '"redis://redis"' in text
    assert '"mrz"' in text or "mrz" not in text
    return text.replace('"redis://redis"', repr(address)).replace('"mrz"', repr(queue))


@pytest.mark.slow
async def test_the_documented_example_runs(redis_server: RedisServer, queue: str) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from identtqueue import Worker\n" + placed(WORKER, redis_server.address, queue),
        env=environment(redis_server.address),
    )
    scope: dict[str, object] = {"Client": Client}
    body = textwrap.indent(placed(CALLER, redis_server.address, queue), "    ")
    exec(f"async def example():\n{body}    return client, result, status", scope)
    client, result, status = await scope["example"]()
    await client.close()
    worker.terminate()

    assert (result, status) == (None, State.SUCCEEDED)
    assert status == "succeeded"
    assert await worker.wait() == 0


async def test_args_and_kwargs_arrive(client: Client, serve: Serve, queue: str) -> None:
    async def rnd_magic(_ctx, *args, **kwargs):
        return [args, kwargs]

    await serve({"rnd_magic": rnd_magic})
    task_id = await client.enqueue_job(queue, "rnd_magic", 1, "zwei", None, path="p", n=[1.5, {}])
    assert await client.wait_for_result(task_id, 30) == [
        [1, "zwei", None],
        {"path": "p", "n": [1.5, {}]},
    ]
    assert task_id.startswith(f"{queue}:")


async def test_before_and_after(client: Client, serve: Serve, queue: str) -> None:
    async def double(_ctx, n):
        return 2 * n

    task_id = await client.enqueue_job(queue, "double", 21)
    assert await client.get_status(task_id) is State.PENDING
    assert await client.get_result(task_id) is None
    assert await client.queue_length(queue) == 1
    await serve({"double": double})
    assert await client.wait_for_result(task_id, 30) == 42
    assert await client.get_result(task_id) == 42
    assert await client.get_status(task_id) is State.SUCCEEDED
    assert await client.queue_length(queue) == 0

    info = await client.get_task(task_id)
    assert (info.function_name, info.attempt, info.failures, info.losses) == ("double", 1, 0, 0)
    assert info.enqueued_at_ms <= info.started_at_ms <= info.finished_at_ms


async def test_unknown_id(client: Client, queue: str) -> None:
    task_id = f"{queue}:never"
    assert await client.get_status(task_id) is None
    assert await client.get_result(task_id) is None
    assert await client.get_task(task_id) is None
    with pytest.raises(TaskNotFound, match="never enqueued, or its result has expired"):
        await client.wait_for_result(task_id, 30)
    with pytest.raises(TaskNotFound):
        await client.cancel(task_id)


async def test_a_failure_says_what_happened(client: Client, serve: Serve, queue: str) -> None:
    class TooDark(Exception):
        pass

    async def read(_ctx, path):
        raise TooDark(f"{path} is too dark")

    await serve({"read": read})
    task_id = await client.enqueue_job(queue, "read", "page-7")
    with pytest.raises(TaskFailed) as caught:
        await client.wait_for_result(task_id, 30)
    error = caught.value
    assert error.task_id == task_id
    assert error.remote_type.endswith("TooDark")
    assert error.remote_message == "page-7 is too dark"
    assert 'raise TooDark(f"{path} is too dark")' in error.remote_traceback
    assert "execute.py" not in error.remote_traceback, "the library's own frames are noise"
    assert "page-7 is too dark" in str(error)
    with pytest.raises(TaskFailed, match="too dark"):
        await client.get_result(task_id)
    assert await client.get_status(task_id) is State.FAILED


async def test_the_worker_runs_where_a_loop_runs(redis_server: RedisServer, queue: str) -> None:
    async def hello(_ctx):
        return "hello"

    worker = Worker(jobs={"hello": hello}, redis_address=redis_server.address, queue_name=queue)
    async with serving(worker), Client(redis_server.address) as client:
        task_id = await client.enqueue_job(queue_name=queue, function_name="hello")
        assert await client.wait_for_result(task_id, 30) == "hello"
