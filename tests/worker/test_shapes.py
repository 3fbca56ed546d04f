"""Shapes of jobs: if calling a job returns an awaitable, it is awaited before the job has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from identtqueue import Client, InvalidInput, Job, TaskFailed
from identtqueue.logs import attempt_fields
from testing import shapes
from testing.serving import Serve

SHAPES: dict[str, tuple[Callable[..., Any], str | None]] = {
    "async": (shapes.plain, None),
    "around an async one": (shapes.wrapped, None),
    "around an async one, in the loop": (shapes.wrapped, "loop"),
    "around an async one, needs the loop": (shapes.in_loop, "loop"),
    "around an async one, blocking": (shapes.made_plain, None),
    "gives an awaitable": (shapes.gives_awaitable, None),
    "lambda": (shapes.anonymous, None),
    "partial": (shapes.partial, None),
    "object": (shapes.an_object, None),
    "async, process": (shapes.plain, "process"),
    "around an async one, process": (shapes.decorated, "process"),
    "gives an awaitable, process": (shapes.gives_awaitable, "process"),
}


@pytest.mark.slow
async def test_every_shape_of_a_job_runs(client: Client, serve: Serve, queue: str) -> None:
    jobs = [Job(name=name, function=f, run_in=run_in) for name, (f, run_in) in SHAPES.items()]
    await serve(jobs)
    for name, (function, _) in SHAPES.items():
        task_id = await client.enqueue_job(queue, name, 7)
        attempt, in_main_thread, n = await client.wait_for_result(task_id, 60)
        assert (attempt, n) == (1, 7), name
        assert in_main_thread == (function is not shapes.made_plain), "awaited in the loop"


async def test_a_plain_function_that_never_blocks_runs_inline(
    client: Client, serve: Serve, queue: str
) -> None:
    def where(ctx):
        assert asyncio.current_task() is not None
        assert attempt_fields()["task_id"] == ctx.task_id
        return threading.current_thread() is threading.main_thread()

    def fails(_ctx):
        raise LookupError("dark")

    def returns_too_late(_ctx):  # no timeout can cut it off
        time.sleep(0.05)
        return "late"

    await serve(
        [
            Job(name="where", function=where, run_in="inline"),
            Job(name="fails", function=fails, run_in="inline"),
            Job(name="late", function=returns_too_late, run_in="inline", timeout_seconds=0.01),
        ]
    )
    assert await client.wait_for_result(await client.enqueue_job(queue, "where"), 30) is True
    assert await client.wait_for_result(await client.enqueue_job(queue, "late"), 30) == "late"
    with pytest.raises(TaskFailed, match="LookupError: dark"):
        await client.wait_for_result(await client.enqueue_job(queue, "fails"), 30)


def test_an_async_function_is_not_inline() -> None:
    for function in (shapes.plain, shapes.wrapped):
        with pytest.raises(InvalidInput, match="is for plain functions that never block"):
            Job(name="job", function=function, run_in="inline")


@pytest.mark.parametrize("run_in", [None, "loop", "process"])
async def test_what_is_awaited_may_fail_or_take_too_long(
    client: Client, serve: Serve, queue: str, run_in: Any
) -> None:
    await serve(
        [
            Job(name="fails", function=shapes.fails, run_in=run_in),
            Job(name="long", function=shapes.for_ever, run_in=run_in, timeout_seconds=0.5),
        ]
    )
    failed = await client.enqueue_job(queue, "fails", 7)
    with pytest.raises(TaskFailed, match="ValueError: no"):
        await client.wait_for_result(failed, 60)
    late = await client.enqueue_job(queue, "long", 7)
    with pytest.raises(TaskFailed, match=r"long ran longer than 0\.5 s"):
        await client.wait_for_result(late, 60)
