"""The blocking client: the same answers without a loop, from any number of threads."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from identtqueue import (
    InvalidInput,
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
from support.redis_server import RedisServer
from support.serving import Serve, serving


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
        start.wait()
        ids = [client.enqueue_job(queue, "echo", thread, n) for n in range(10)]
        return [client.wait_for_result(task_id, 60)[0] for task_id in ids]

    def all_threads() -> list[list[int]]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, range(8)))

    answers = await asyncio.to_thread(all_threads)
    assert answers == [[[thread, n] for n in range(10)] for thread in range(8)]
    client.close()


async def test_a_wait_survives_a_restart(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server(aof=True)
    with SyncClient(server.address) as client:
        task_id = client.enqueue_job("q", "echo", 1)
        wait = asyncio.create_task(asyncio.to_thread(client.wait_for_result, task_id, 60))
        with server.client() as raw:
            await asyncio.to_thread(_until_subscribed, raw)
        server.kill()
        server.start()
        async with serving(Worker(JOBS, server.address, "q")):
            assert await wait == [[1], {}]


def _until_subscribed(raw: redis.Redis) -> None:
    while not raw.pubsub_channels("idtq:reply:*"):
        pass


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


def test_wrong_password(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    with pytest.raises(RedisAuthFailed), SyncClient(server.address):
        pass


def test_an_interrupted_call_does_not_give_its_answer_to_the_next(
    new_redis_server: Callable[..., RedisServer],
) -> None:
    """Ctrl-C while a reply is on its way: the connection is not used again."""
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
