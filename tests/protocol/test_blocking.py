"""The blocking transport: threads, losses, interruptions."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from identtqueue.errors import RedisError, RedisUnavailable
from identtqueue.protocol.answers import Enqueued
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import claiming, enqueueing, inspecting, one_task
from identtqueue.transport.blocking import SyncRedis
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings
from protocol.bench import Bench
from testing.redis_server import RedisServer

NewServer = Callable[..., RedisServer]


def new_redis(server: RedisServer, retry_for: float = 0, **settings: Any) -> SyncRedis:
    pause = settings.pop("pause", threading.Event().wait)
    return blocking_redis(
        RedisSettings(address=server.address, **settings),
        client_name="tests",
        retry_for_seconds=retry_for,
        pause=pause,
    )


def test_replies_come_in_order(bench: Bench) -> None:
    bench.enqueue(*(f"t{i}" for i in range(50)))
    infos = bench.redis.run_all([one_task.task_info(bench.id(f"t{i}")) for i in range(50)])
    assert [info.task_id for info in infos if info] == [bench.id(f"t{i}") for i in range(50)]


def test_threads_share_it(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(
            pool.map(
                lambda i: bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task(f"t{i}")])),
                range(200),
            )
        )
    assert [receipt.task_id for (receipt,) in receipts] == [bench.id(f"t{i}") for i in range(200)]
    assert len(set(bench.pending())) == 200


def test_an_error_in_the_middle_of_a_batch_leaves_the_connection_in_step(bench: Bench) -> None:
    bench.raw.set(bench.keys.paused + ":text", "no list")
    good = inspecting.depth(bench.queue)
    bad: Call[Any] = Call("LLEN", (), (bench.keys.paused + ":text",), parse=int, is_script=False)
    with pytest.raises(RedisError, match="wrong kind of value"):
        bench.redis.run_all([good, bad, good])
    assert bench.redis.run(good).queued == 0


def test_calls_outlast_a_restart(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server(aof=True)
    pauses: list[float] = []

    def restart(seconds: float) -> None:
        if not pauses:
            server.start()
        pauses.append(seconds)

    redis = new_redis(server, retry_for=60, pause=restart)
    task = NewTask(f"{queue}:1", b"", "job")
    assert redis.run(enqueueing.enqueue(queue, [task]))[0].status is Enqueued.OK
    server.kill()
    assert redis.run(enqueueing.enqueue(queue, [task]))[0].status is Enqueued.EXISTS
    assert pauses
    redis.close()


def test_a_batch_with_a_claim_is_not_repeated(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    redis = new_redis(server, retry_for=60)
    redis.run(inspecting.depth(queue))
    server.kill()
    with pytest.raises(RedisUnavailable):
        redis.run_all([inspecting.depth(queue), claiming.claim(queue, "w", 1)])
    redis.close()


def test_a_half_open_connection_is_given_up(new_redis_server: NewServer, queue: str) -> None:
    server = new_redis_server()
    redis = new_redis(server, response_timeout_seconds=0.2)
    redis.run(inspecting.depth(queue))
    server.pause()
    with pytest.raises(RedisUnavailable):
        redis.run(inspecting.depth(queue))
    server.resume()
    assert redis.run(inspecting.depth(queue)).queued == 0
    redis.close()


def test_after_an_interruption_no_call_gets_anothers_reply(
    new_redis_server: NewServer, queue: str
) -> None:
    """After Ctrl-C between request and reply, the late reply must not go to another call."""

    class Interrupted(BaseException):
        pass

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    server = new_redis_server()
    redis = new_redis(server)
    redis.run(enqueueing.enqueue(queue, [NewTask(f"{queue}:a", b"", "job")]))
    server.pause()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            redis.run(one_task.task_info(f"{queue}:a"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        server.resume()
    assert redis.run(claiming.in_flight(queue, "w")) == []
    redis.close()


def test_it_opens_again_after_close(bench: Bench) -> None:
    bench.redis.close()
    bench.redis.close()
    assert bench.redis.run(inspecting.depth(bench.queue)).queued == 0
