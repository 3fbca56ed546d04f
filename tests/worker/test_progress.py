"""Progress, from the job that reports it to the client that watches."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis

from identtqueue import (
    App,
    Client,
    Context,
    ResultTimeout,
    Retry,
    State,
    TaskFailed,
    TaskNotFound,
    Worker,
)
from identtqueue.protocol.calls import claiming, leasing, recovering, reporting
from identtqueue.protocol.keys import queue_keys
from identtqueue.transport.connection import AsyncRedis
from identtqueue.worker.progress import INTERVAL_SECONDS
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


class Steps:
    """Job that reports the values that the test gives it, one by one, and ends at None."""

    def __init__(self) -> None:
        self._values: asyncio.Queue[Any] = asyncio.Queue()

    def report(self, value: Any) -> None:
        self._values.put_nowait(value)

    async def __call__(self, ctx: Context) -> str:
        while (value := await self._values.get()) is not None:
            await ctx.report_progress(value)
        return "done"


async def until(client: Client, task_id: str, value: Any) -> None:
    """Wait until a client reads this value."""

    async def read() -> bool:
        return await client.get_progress(task_id) == value

    await eventually(read, f"the progress is {value!r}")


async def collect(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


# --- reading ---


async def test_a_job_reports_and_a_client_reads(client: Client, serve: Serve, queue: str) -> None:
    steps = Steps()
    await serve({"job": steps})
    task_id = await client.enqueue_job(queue, "job")
    assert await client.get_progress(task_id) is None
    for value in (0.25, "page 2 of 4", {"pages": [3, 4]}, 0, False):
        steps.report(value)
        await until(client, task_id, value)
        info = await client.get_task(task_id)
        assert (info.state, info.progress) == (State.RUNNING, value)
    steps.report(None)
    assert await client.wait_for_result(task_id, 30) == "done"
    assert await client.get_progress(task_id) is False, "it is kept with the result"
    assert await client.get_progress(f"{queue}:never") is None


async def test_a_job_in_a_thread_calls_it_plainly(client: Client, serve: Serve, queue: str) -> None:
    seen = threading.Event()

    def job(ctx):
        ctx.report_progress("half")
        assert seen.wait(60)
        ctx.report_progress("almost")

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await until(client, task_id, "half")
    seen.set()
    await client.wait_for_result(task_id, 30)
    assert await client.get_progress(task_id) == "almost", "the last one leaves before the result"


async def test_the_last_value_is_never_lost(client: Client, serve: Serve, queue: str) -> None:
    """However soon it follows another value, and however many jobs end at once."""

    async def job(ctx, n):
        for i in range(5):
            await ctx.report_progress([n, i])

    await serve({"job": job}, concurrency=20)
    ids = [await client.enqueue_job(queue, "job", n) for n in range(200)]
    await client.wait_many(ids, 60)
    assert [await client.get_progress(task_id) for task_id in ids] == [[n, 4] for n in range(200)]


async def test_the_first_value_on_a_fresh_server_is_not_lost(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    """The server has no script yet, so the call is sent again, after calls that it could run."""

    async def job(ctx, n):
        for i in range(3):
            await ctx.report_progress([n, i])

    for n in range(3):
        server = new_redis_server()
        async with Client(server.address) as client:
            async with serving(Worker({"job": job}, server.address, "q")):
                task_id = await client.enqueue_job("q", "job", n)
                await client.wait_for_result(task_id, 30)
            assert await client.get_progress(task_id) == [n, 2]
        server.stop()


async def test_a_busy_job_is_heard_too(client: Client, serve: Serve, queue: str) -> None:
    """A job that awaits nothing else: awaiting the report gives the event loop a turn."""
    stop: list[bool] = []

    async def job(ctx):
        count = 0
        while not stop:
            count += 1
            await ctx.report_progress(count)
        return count

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await eventually(lambda: client.get_progress(task_id), "it is heard")
    stop.append(True)
    assert await client.wait_for_result(task_id, 30) == await client.get_progress(task_id)


async def test_many_reports_are_few_writes(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    server = new_redis_server()
    loop = asyncio.get_running_loop()

    def job(ctx):
        begun = loop.time()
        for n in range(100_000):
            ctx.report_progress(n)
        return loop.time() - begun

    async with Client(server.address) as client:
        async with serving(Worker({"job": job}, server.address, queue)):
            task_id = await client.enqueue_job(queue, "job")
            seconds = await client.wait_for_result(task_id, 60)
        assert await client.get_progress(task_id) == 99_999
    with server.client() as raw:
        published = raw.info("commandstats")["cmdstat_publish"]["calls"]
    # The first value, the last, one per interval, the result, and the doorbell of the empty queue.
    assert published <= seconds / INTERVAL_SECONDS + 2 + 2


async def test_invalid_progress_raises_in_the_job(client: Client, serve: Serve, queue: str) -> None:
    async def job(ctx, what):
        await ctx.report_progress({"large": "x" * 20_000, "odd": object()}[what])

    await serve({"job": job})
    for what, kind in (("large", "PayloadTooLarge"), ("odd", "NotSerializable")):
        with pytest.raises(TaskFailed, match="the progress") as caught:
            await client.wait_for_result(await client.enqueue_job(queue, "job", what), 30)
        assert caught.value.remote_type.endswith(kind)


async def test_a_repeated_task_starts_over(client: Client, serve: Serve, queue: str) -> None:
    go = asyncio.Event()

    async def job(ctx):
        if ctx.failures == 0:
            await ctx.report_progress("first")
            raise Retry(after_seconds=0)
        await go.wait()
        await ctx.report_progress("second")

    await serve({"job": job}, max_retries=1)
    task_id = await client.enqueue_job(queue, "job")
    values = asyncio.create_task(collect(client.watch(task_id, 60)))

    async def runs_again() -> bool:
        info = await client.get_task(task_id)
        return info.state is State.RUNNING and info.attempt == 2

    await eventually(runs_again, "the second attempt runs")
    assert await client.get_progress(task_id) is None
    go.set()
    assert (await values)[-1] == "second"


async def test_progress_of_a_context_without_worker_is_dropped() -> None:
    """So jobs can be tested as plain functions."""
    ctx = Context(
        task_id="q:1",
        queue="q",
        function_name="job",
        attempt=1,
        failures=0,
        enqueued_at_ms=0,
        deadline=None,
        state={},
        logger=logging.getLogger(),
    )
    ctx.report_progress(1)
    await ctx.report_progress(2)


# --- watching ---


async def test_watching(client: Client, raw: redis.Redis, serve: Serve, queue: str) -> None:
    steps = Steps()
    await serve({"job": steps})
    task_id = await client.enqueue_job(queue, "job")
    steps.report("before anybody watched")
    await until(client, task_id, "before anybody watched")
    seen = []
    async for value in client.watch(task_id, 60):
        seen.append(value)
        steps.report({1: "one", 2: "two", 3: None}[len(seen)])
    assert seen == ["before anybody watched", "one", "two"]
    assert await client.wait_for_result(task_id, 30) == "done"
    channel = queue_keys(queue).progress_channel(task_id)
    await eventually(lambda: not raw.pubsub_numsub(channel)[0][1], "nobody listens any more")


async def test_one_of_several_watchers_leaves(client: Client, serve: Serve, queue: str) -> None:
    steps = Steps()
    await serve({"job": steps})
    task_id = await client.enqueue_job(queue, "job")
    watches = [client.watch(task_id, 60) for _ in range(3)]
    steps.report("one")
    assert [await anext(watch) for watch in watches] == ["one"] * 3
    await watches[0].aclose()
    steps.report("two")
    assert [await anext(watch) for watch in watches[1:]] == ["two"] * 2
    steps.report(None)
    assert [await collect(watch) for watch in watches[1:]] == [[], []]


async def test_a_late_watcher_sees_the_last_value(client: Client, serve: Serve, queue: str) -> None:
    async def job(ctx):
        await ctx.report_progress("the end")

    await serve({"job": job})
    task_id = await client.enqueue_job(queue, "job")
    await client.wait_for_result(task_id, 30)
    assert await collect(client.watch(task_id, 30)) == ["the end"]


async def test_watches_end(client: Client, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job")
    with pytest.raises(ResultTimeout):
        await collect(client.watch(task_id, 0.1))
    with pytest.raises(TaskNotFound):
        await collect(client.watch(f"{queue}:never", 30))
    watch = asyncio.create_task(collect(client.watch(task_id, 30)))
    assert await client.cancel(task_id)
    assert await watch == []


async def test_a_watch_that_is_cancelled_leaves_nothing_behind(
    client: Client, raw: redis.Redis, queue: str
) -> None:
    task_id = await client.enqueue_job(queue, "job")
    with pytest.raises(ResultTimeout):
        await collect(client.watch(task_id, 0.1))  # starts the client's own background tasks
    before = asyncio.all_tasks()
    watch = asyncio.create_task(collect(client.watch(task_id, 60)))
    channel = queue_keys(queue).progress_channel(task_id)
    await eventually(lambda: raw.pubsub_numsub(channel)[0][1] == 1, "it has begun")
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await eventually(
        lambda: asyncio.all_tasks() <= before, lambda: f"{asyncio.all_tasks() - before}"
    )


async def test_watching_through_a_lost_connection(
    redis_server: RedisServer, client: Client, serve: Serve, queue: str
) -> None:
    """Progress that was reported during the outage is read afterwards."""
    steps = Steps()
    await serve({"job": steps})
    async with Proxy(redis_server.port) as proxy, Client(proxy.address) as watching:
        task_id = await client.enqueue_job(queue, "job")
        watch = watching.watch(task_id, 60)
        steps.report("one")
        assert await anext(watch) == "one"
        proxy.refuse()
        steps.report("two")
        await until(client, task_id, "two")
        proxy.accept()
        assert await anext(watch) == "two"
        steps.report("three")
        assert await anext(watch) == "three"
        steps.report(None)
        assert await collect(watch) == []


async def test_a_typed_task(redis_server: RedisServer, queue: str) -> None:
    app = App(redis_server.address, default_queue=queue)

    @app.task
    async def count(ctx: Context, to: int) -> int:
        for n in range(to):
            await ctx.report_progress(n)
        return to

    async with app, serving(app.worker()):
        task = await count.enqueue(7)
        assert (await collect(task.progress(60)))[-1] == 6
        assert await task.result(30) == 7


# --- trouble ---


async def test_a_job_goes_on_while_redis_is_away(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    server = new_redis_server(aof=True)
    away, back = asyncio.Event(), asyncio.Event()
    reported: list[int] = []

    async def job(ctx):
        await ctx.report_progress("before")
        await away.wait()
        for n in range(1_000):
            await ctx.report_progress(n)
            reported.append(n)
        await back.wait()
        return "done"

    worker = Worker({"job": job}, server.address, queue)
    async with Client(server.address) as client, serving(worker):
        task_id = await client.enqueue_job(queue, "job")
        await until(client, task_id, "before")
        server.kill()
        away.set()
        await eventually(lambda: len(reported) == 1_000, "the job goes on")
        server.start()
        await until(client, task_id, 999)
        back.set()
        assert await client.wait_for_result(task_id, 60) == "done"


async def test_a_full_redis_costs_the_progress_and_not_the_task(
    new_redis_server: Callable[..., RedisServer], queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = new_redis_server()
    steps = Steps()
    async with (
        Client(server.address) as client,
        serving(Worker({"job": steps}, server.address, queue)),
    ):
        task_id = await client.enqueue_job(queue, "job")
        steps.report("before")
        await until(client, task_id, "before")
        with server.client() as raw:

            def failed() -> int:
                return raw.info("commandstats")["cmdstat_evalsha"]["failed_calls"]

            before = failed()
            raw.config_set("maxmemory", 1)
            for times in (1, 2):
                steps.report(times)
                await eventually(lambda times=times: failed() - before >= times, "it was refused")
            assert await client.get_progress(task_id) == "before"
            raw.config_set("maxmemory", 0)
        steps.report("after")
        await until(client, task_id, "after")
        steps.report(None)
        assert await client.wait_for_result(task_id, 30) == "done"
    said = [r.message for r in caplog.records if "progress is dropped" in r.message]
    assert len(said) == 1, "once, until it works again"
    assert "Redis is full" in said[0]


async def test_progress_of_a_lost_attempt_is_dropped(
    client: Client,
    redis_server: RedisServer,
    calls: AsyncRedis,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another worker has the task now, but the old job does not know that yet."""
    steps = Steps()
    async with serving(Worker({"job": steps}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, "job")
        steps.report("mine")
        await until(client, task_id, "mine")
        owner = (await client.get_task(task_id)).owner
        await calls.run(recovering.recover(queue, owner, waive_lease=True, max_deliveries=5))
        await calls.run(leasing.register(queue, "thief", 60_000, {}))
        await calls.run(claiming.claim(queue, "thief", 1))
        steps.report("still mine")
        steps.report(None)
        await eventually(lambda: "the report was refused" in caplog.text, "it is told")
        assert await client.get_progress(task_id) is None
        await calls.run(reporting.finish(queue, "thief", [(task_id, 2, b"\xc0")]))
        await calls.run(leasing.leave(queue, "thief"))
