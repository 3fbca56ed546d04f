"""`Retry`, raised by a job."""

from __future__ import annotations

import time

import pytest

from identtqueue import Client, InvalidInput, Retry, RetryPolicy, TaskFailed
from identtqueue.admin import Admin
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import eventually


async def test_after_seconds(client: Client, serve: Serve, queue: str) -> None:
    starts = []

    async def job(ctx):
        starts.append(time.monotonic())
        if ctx.failures == 0:
            raise Retry("the scanner warms up", after_seconds=0.2)
        if ctx.failures == 1:
            raise Retry(after_seconds=0)
        return ctx.attempt

    slow = RetryPolicy(max_retries=2, first_delay_seconds=3600, max_delay_seconds=3600)
    await serve({"job": job}, retry=slow)
    task_id = await client.enqueue_job(queue, "job")
    assert await client.wait_for_result(task_id, 30) == 3
    assert starts[1] - starts[0] >= 0.19


async def test_it_overrides_the_retry_policy(client: Client, serve: Serve, queue: str) -> None:
    async def job(ctx):
        if ctx.failures == 0:
            raise Retry(after_seconds=0)
        return ctx.attempt

    policy = RetryPolicy(max_retries=1, retry_on=(OSError,), give_up_on=(Exception,))
    await serve({"job": job}, retry=policy)
    assert await client.wait_for_result(await client.enqueue_job(queue, "job"), 30) == 2


async def test_raised_in_a_thread(client: Client, serve: Serve, queue: str) -> None:
    def job(ctx):
        if ctx.failures == 0:
            raise Retry(after_seconds=0)
        return ctx.attempt

    await serve({"job": job}, max_retries=1)
    assert await client.wait_for_result(await client.enqueue_job(queue, "job"), 30) == 2


async def test_it_counts_as_a_failure(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx):
        raise Retry("never enough", after_seconds=0)

    await serve({"job": job}, max_retries=2)
    task_id = await client.enqueue_job(queue, "job")
    with pytest.raises(TaskFailed, match=r"identtqueue\.errors\.Retry: never enough"):
        await client.wait_for_result(task_id, 30)
    assert (await client.get_task(task_id)).attempt == 3


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300, "60"])
async def test_bad_seconds_are_the_jobs_failure(
    client: Client, serve: Serve, queue: str, seconds: float
) -> None:
    with pytest.raises(InvalidInput, match="after_seconds"):
        Retry(after_seconds=seconds)

    async def job(_ctx):
        raise Retry(after_seconds=seconds)

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    with pytest.raises(TaskFailed, match="InvalidInput"):
        await client.wait_for_result(task_id, 30)


async def test_a_subclass_with_an_init_of_its_own(client: Client, serve: Serve, queue: str) -> None:
    class Later(Retry):
        def __init__(self) -> None: ...

    async def job(ctx):
        if ctx.failures == 0:
            raise Later
        return ctx.attempt

    await serve({"job": job}, retry=RetryPolicy(max_retries=1, first_delay_seconds=0.01))
    assert await client.wait_for_result(await client.enqueue_job(queue, "job"), 30) == 2


async def test_a_failure_that_can_not_be_judged_ends_the_attempt(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(type):
        def __instancecheck__(cls, _instance):
            raise TypeError("no idea")

    class NeverKnown(Exception, metaclass=Broken): ...

    class Soon(Retry):
        after_seconds = "soon"

        def __init__(self) -> None: ...

    async def fails(_ctx):
        raise ValueError("the page is empty")

    async def waits(_ctx):
        raise Soon

    worker = await serve(
        {"fails": fails, "waits": waits},
        retry=RetryPolicy(max_retries=5, retry_on=(NeverKnown,)),
        concurrency=1,
    )
    task_id = await client.enqueue_job(queue, "fails")
    with pytest.raises(TaskFailed, match="ValueError: the page is empty"):
        await client.wait_for_result(task_id, 30)
    assert "no idea" in caplog.text
    assert f"{task_id} attempt 1: its retry policy or its error raised" in caplog.text
    with pytest.raises(TaskFailed, match="Soon"):
        await client.wait_for_result(await client.enqueue_job(queue, "waits"), 30)
    assert "after_seconds='soon'" in caplog.text
    assert worker.gauges.running == 0


async def test_while_it_waits_it_is_scheduled_and_says_why(
    client: Client, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    async def job(_ctx):
        raise ValueError("no route")

    slow = RetryPolicy(max_retries=1, first_delay_seconds=3600, max_delay_seconds=3600)
    await serve({"job": job}, retry=slow)
    task_id = await client.enqueue_job(queue, "job")

    async def waits() -> bool:
        return (await client.get_task(task_id)).failures == 1

    await eventually(waits, "it has failed once")
    info = await client.get_task(task_id)
    assert (info.state, info.failure.message) == ("scheduled", "no route")
    async with Admin(redis_server.address) as admin:
        depth = (await admin.depths([queue]))[queue]
        assert (depth.scheduled, depth.dead) == (1, 0)
        assert 1_700_000 < depth.next_due_in_ms <= 3_600_000
    assert await client.cancel(task_id) is True
