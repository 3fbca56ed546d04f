"""The blocking client: the same answers without an event loop, in any number of threads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from identtqueue import (
    Client,
    InvalidInput,
    RedisSettings,
    RedisUnavailable,
    ResultTimeout,
    State,
    SyncClient,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskOptions,
    Worker,
)
from identtqueue.errors import NotSerializable, RedisAuthFailed
from identtqueue.protocol.submission import Submission
from testing import forking
from testing.packing import is_awaited
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import LONG_SECONDS, eventually


async def echo(_ctx, *args, **kwargs):
    return [list(args), kwargs]


async def fails(_ctx, text):
    raise ValueError(text)


async def big(_ctx, size):
    return "x" * size


JOBS = {"echo": echo, "fails": fails, "big": big}


async def test_the_whole_api(redis_server: RedisServer, serve: Serve, queue: str) -> None:
    def program() -> None:
        with SyncClient(redis_server.address) as client:
            task_id = client.enqueue_job(queue_name=queue, function_name="echo", path="p")
            assert client.wait_for_result(task_id, timeout_seconds=30) == [[], {"path": "p"}]
            assert client.get_result(task_id) == [[], {"path": "p"}]
            assert client.get_status(task_id) is State.SUCCEEDED
            assert client.get_task(task_id).attempt == 1
            options = TaskOptions(task_id="chosen")
            assert client.enqueue_job(queue, "echo", task_options=options) == f"{queue}:chosen"

            failed = client.enqueue_job(queue, "fails", "too dark")
            with pytest.raises(TaskFailed) as caught:
                client.wait_for_result(failed, 30)
            assert caught.value.remote_type == "ValueError"
            assert "raise ValueError(text)" in caught.value.remote_traceback

            huge = client.enqueue_job(queue, "big", 200_000)
            assert client.wait_for_result(huge, 30) == "x" * 200_000

            idle = client.enqueue_job(f"{queue}-idle", "echo")
            assert client.get_result(idle) is None
            with pytest.raises(ResultTimeout):
                client.wait_for_result(idle, 0.05)
            assert client.cancel(idle) is True
            assert client.cancel(idle) is False
            with pytest.raises(TaskCancelled):
                client.wait_for_result(idle, 30)
            for call in (client.wait_for_result, client.cancel):
                with pytest.raises(TaskNotFound):
                    call(f"{queue}:never")
            assert client.get_status(f"{queue}:never") is None
            assert client.get_result(f"{queue}:never") is None
            assert client.queue_length(f"{queue}-idle") == 0
            with SyncClient(redis_server.address) as other:
                assert other.wait(failed, 30).failure.message == "too dark"

            with pytest.raises(NotSerializable):
                client.enqueue_job(queue, "echo", object())
            with pytest.raises(InvalidInput):
                client.enqueue_job("Not A Name", "echo")
            receipts = client.submit_many(Submission(queue, "echo", (n,)) for n in range(30))
            assert [client.wait_for_result(r.task_id, 30)[0] for r in receipts] == [
                [n] for n in range(30)
            ]

    await serve(JOBS)
    await asyncio.to_thread(program)


async def test_threads_share_it(redis_server: RedisServer, serve: Serve, queue: str) -> None:
    await serve(JOBS)
    client = SyncClient(redis_server.address)
    start = threading.Barrier(8)

    def work(thread: int) -> list[int]:
        start.wait(60)
        ids = [client.enqueue_job(queue, "echo", thread, n) for n in range(10)]
        return [client.wait_for_result(task_id, 60)[0] for task_id in ids]

    def all_threads() -> list[list[int]]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, range(8)))

    answers = await asyncio.to_thread(all_threads)
    assert answers == [[[thread, n] for n in range(10)] for thread in range(8)]
    client.close()


async def test_many_at_once(redis_server: RedisServer, serve: Serve, queue: str) -> None:
    def program() -> None:
        with SyncClient(redis_server.address) as client:
            ids = [client.enqueue_job(queue, "echo", n) for n in range(50)]
            ids.append(client.enqueue_job(queue, "fails", "too dark"))
            results = client.wait_many(ids, 60)
            assert [result.task_id for result in results] == ids
            assert [result.unwrap()[0] for result in results[:-1]] == [[n] for n in range(50)]
            assert results[-1].state is State.FAILED, "a value, nothing is raised"
            assert {result.task_id for result in client.as_completed(ids, 60)} == set(ids)

            idle = client.enqueue_job(f"{queue}-idle", "echo")
            ended = client.as_completed([idle, ids[0]], 60)
            assert next(ended).task_id == ids[0], "whichever ends first"
            client.cancel(idle)
            assert next(ended).state is State.CANCELLED
            assert next(ended, None) is None

            late = client.enqueue_job(f"{queue}-idle", "echo")
            for many in (client.wait_many, lambda *args: list(client.as_completed(*args))):
                with pytest.raises(ResultTimeout):
                    many([ids[0], late], 0.1)
                with pytest.raises(TaskNotFound):
                    many([late, f"{queue}:never"], 30)

    await serve(JOBS)
    await asyncio.to_thread(program)


async def test_progress(redis_server: RedisServer, serve: Serve, queue: str) -> None:
    async def count(ctx, to):
        for n in range(to):
            await ctx.report_progress(n)

    def program() -> None:
        with SyncClient(redis_server.address) as client:
            task_id = client.enqueue_job(queue, "count", 7)
            assert list(client.watch(task_id, 60))[-1] == 6
            assert client.get_progress(task_id) == 6
            assert client.get_progress(f"{queue}:never") is None
            with pytest.raises(TaskNotFound):
                next(client.watch(f"{queue}:never", 30))

    await serve({"count": count})
    await asyncio.to_thread(program)


async def test_waits_of_many_threads_share_a_subscription(
    redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    gate = asyncio.Event()

    async def hold(_ctx, n):
        await gate.wait()
        return n

    client = SyncClient(redis_server.address)

    def work(n: int) -> int:
        return client.wait_for_result(client.enqueue_job(queue, "hold", n), 60)

    def subscriptions() -> int:
        return sum(c["name"] == "identtqueue-results" for c in raw.client_list())

    before = subscriptions()
    await serve({"hold": hold}, concurrency=40)
    with ThreadPoolExecutor(40) as pool:
        waits = [asyncio.wrap_future(pool.submit(work, n)) for n in range(40)]
        await eventually(lambda: _running(raw, queue) == 40, "all of them run")
        assert subscriptions() == before + 1
        gate.set()
        assert await asyncio.gather(*waits) == list(range(40))
    await asyncio.to_thread(client.close)
    await eventually(lambda: subscriptions() == before, "it is closed")


def _running(raw: redis.Redis, queue: str) -> int:
    return sum(raw.llen(key) for key in raw.scan_iter(f"idtq:{{{queue}}}:inflight:*"))


async def test_threads_share_round_trips(new_redis_server: Callable[..., RedisServer]) -> None:
    """While Redis is busy with the call of one thread, those of the others gather."""
    server = new_redis_server()
    with SyncClient(server.address) as client, server.client() as raw:
        client.enqueue_job("q", "echo")
        server.pause()
        with ThreadPoolExecutor(20) as pool:
            calls = [pool.submit(client.enqueue_job, "q", "echo", n) for n in range(20)]
            await eventually(lambda: client._here.redis.waiting == 19, "they gather")
            server.resume()
            before = raw.info("stats")["total_reads_processed"]
            ids = {call.result(60) for call in calls}
        assert len(ids) == 20
        assert raw.llen("idtq:{q}:pending") == 21
        reads = raw.info("stats")["total_reads_processed"] - before
        assert reads <= 6, "one of all that gathered, and those of this test"


@pytest.mark.slow
async def test_it_is_used_after_a_fork(redis_server: RedisServer, serve: Serve, queue: str) -> None:
    """A process of its own forks for real, while locks are held and waits are open."""
    client = Client(redis_server.address)

    async def finish(_ctx, task_id):
        await client.cancel(task_id)

    await serve({**JOBS, "finish": finish}, concurrency=50)
    said = await forking.run(Path(__file__).with_name("forking.py"), redis_server.address, queue)
    assert said == "children [0, 0, 0, 0] parent 20"
    await client.close()


async def test_closing_ends_open_waits(redis_server: RedisServer, queue: str) -> None:
    client = SyncClient(redis_server.address)
    task_id = client.enqueue_job(queue, "echo")
    waits = [asyncio.create_task(asyncio.to_thread(client.wait, task_id, 60)) for _ in range(3)]
    values = client.watch(task_id, 60)
    watch = asyncio.create_task(asyncio.to_thread(next, values))
    with redis_server.client() as raw:
        await eventually(lambda: raw.pubsub_channels("idtq:reply:*"), "they are subscribed")
    await asyncio.to_thread(client.close)
    for end in (*waits, watch):
        with pytest.raises(RedisUnavailable, match="the client was closed"):
            await end
    assert _waiting_threads() == 0
    client.close()  # does no harm
    assert client.cancel(task_id) is True, "the next call opens it again"
    with pytest.raises(TaskCancelled):
        await asyncio.to_thread(client.wait_for_result, task_id, 30)
    client.close()


async def test_a_client_that_is_dropped_is_closed(redis_server: RedisServer, queue: str) -> None:
    client = SyncClient(redis_server.address)
    task_id = client.enqueue_job(queue, "echo")
    with pytest.raises(ResultTimeout):
        client.wait(task_id, 0.01)
    assert _waiting_threads() == 1
    del client
    gc.collect()
    assert _waiting_threads() == 0


# asyncio does not close the loop that it has half made, and fails to when that is collected.
@pytest.mark.filterwarnings("ignore:unclosed event loop")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_file_descriptors_a_wait_raises_and_a_later_one_works(
    redis_server: RedisServer, queue: str
) -> None:
    with SyncClient(redis_server.address) as client:
        task_id = client.enqueue_job(queue, "echo")
        client.cancel(task_id)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        failed: list[str] = []

        def wait() -> None:
            try:
                client.wait(task_id)
            except RedisUnavailable as error:
                failed.append(str(error))

        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 512), limits[1]))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            for _ in range(2):
                thread = threading.Thread(target=wait, daemon=True)
                thread.start()
                thread.join(LONG_SECONDS)
                assert not thread.is_alive()
        finally:
            for number in taken:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        gc.collect()
        assert ["Too many open files" in text for text in failed] == [True, True]
        assert client.wait(task_id, LONG_SECONDS).state is State.CANCELLED


@pytest.mark.slow
@pytest.mark.parametrize("collected", [False, True], ids=["left", "collected"])
async def test_an_iteration_that_is_not_finished_leaves_nothing_behind(
    redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str, collected: bool
) -> None:
    """That holds even if the garbage collector finds it in the waiting thread."""

    async def report(ctx):
        await ctx.report_progress("begun")
        await asyncio.sleep(3600)

    client = SyncClient(redis_server.address)
    task_id = await asyncio.to_thread(client.enqueue_job, queue, "report")
    channel = f"idtq:{{{queue}}}:progress:{task_id}"

    def leave_half_way() -> None:
        values = client.watch(task_id)
        assert next(values) == "begun"
        assert raw.pubsub_numsub(channel)[0][1] == 1
        if collected:
            cycle: list[object] = [values]
            cycle.append(cycle)

    await serve({"report": report})
    gc.collect()
    gc.disable()
    try:
        await asyncio.to_thread(leave_half_way)
        if collected:
            loop = client._here.waits._loop
            loop.call_soon_threadsafe(gc.collect)
        await eventually(lambda: raw.pubsub_numsub(channel)[0][1] == 0, "it is unsubscribed")
    finally:
        gc.enable()
    client.cancel(task_id)
    result = await asyncio.to_thread(client.wait, task_id, LONG_SECONDS)
    assert result.state is State.CANCELLED
    client.close()


def _waiting_threads() -> int:
    return sum(thread.name == "identtqueue waits" for thread in threading.enumerate())


async def test_a_wait_can_be_interrupted(redis_server: RedisServer, queue: str) -> None:
    """After Ctrl-C in a wait, the client still works."""
    client = SyncClient(redis_server.address)
    task_id = client.enqueue_job(queue, "echo")

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            client.wait_for_result(task_id)
    finally:
        signal.signal(signal.SIGALRM, before)
    client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        client.wait_for_result(task_id, 30)
    client.close()


async def test_a_wait_gives_up_when_redis_stays_away(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server = new_redis_server()
    settings = RedisSettings(address=server.address, connect_timeout_seconds=0.5)
    with SyncClient(settings, retry_for_seconds=0.5) as client:
        task_id = client.enqueue_job("q", "echo")
        wait = asyncio.create_task(asyncio.to_thread(client.wait, task_id, 60))
        with server.client() as raw:
            await eventually(lambda: is_awaited(raw, task_id), "the wait is registered")
        server.kill()
        with pytest.raises(RedisUnavailable, match=r"could not be reached for 0\.5 s"):
            await wait


async def test_a_wait_survives_a_restart(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server(aof=True)
    with SyncClient(server.address) as client:
        task_id = client.enqueue_job("q", "echo", 1)
        wait = asyncio.create_task(asyncio.to_thread(client.wait_for_result, task_id, 60))
        with server.client() as raw:
            await eventually(lambda: raw.pubsub_channels("idtq:reply:*"), "it is subscribed")
        server.kill()
        server.start()
        async with serving(Worker(JOBS, server.address, "q")):
            assert await wait == [[1], {}]


def test_enqueue_is_retried_through_a_restart(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server = new_redis_server(aof=True)
    with SyncClient(server.address) as client, ThreadPoolExecutor(1) as pool:
        client.enqueue_job("q", "echo")
        server.kill()
        again = pool.submit(client.enqueue_job, "q", "echo")
        server.start()
        again.result(timeout=60)
        with server.client() as raw:
            assert raw.llen("idtq:{q}:pending") == 2


def test_a_wait_ends_in_time_while_redis_is_away(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    server = new_redis_server()
    with SyncClient(server.address, retry_for_seconds=60) as client:
        task_id = client.enqueue_job("q", "echo")
        server.kill()
        with pytest.raises(ResultTimeout):
            client.wait_for_result(task_id, timeout_seconds=0.3)


def test_nobody_there() -> None:
    client = SyncClient("redis://127.0.0.1:1", retry_for_seconds=0.1)
    with pytest.raises(RedisUnavailable):
        client.connect()
    with pytest.raises(RedisUnavailable):
        client.wait_for_result("q:1")
    client.close()


def test_wrong_password(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    with pytest.raises(RedisAuthFailed), SyncClient(server.address):
        pass


def test_an_interrupted_call_does_not_give_its_answer_to_the_next(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    """After Ctrl-C while a reply is in transit, the connection is not used again."""
    server = new_redis_server()
    client = SyncClient(server.address)
    client.connect()
    task_id = client.enqueue_job("q", "echo")

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        server.pause()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            client.enqueue_job("q", "echo")
    finally:
        signal.signal(signal.SIGALRM, before)
        server.resume()
    assert client.get_status(task_id) is State.PENDING
    client.close()
