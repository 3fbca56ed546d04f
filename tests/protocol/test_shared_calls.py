"""Threads that enqueue one task each at the same time share a call, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from identtqueue.errors import ProtocolMismatch, RedisUnavailable
from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import enqueueing, inspecting
from identtqueue.transport.blocking import SyncRedis
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.shared_call import MOST_BYTES, MOST_PARTS, CallPart, share
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS, wait_until


@pytest.fixture
def server(new_redis_server: Callable[..., RedisServer]) -> RedisServer:
    return new_redis_server()


def connect(server: RedisServer, retry_for: float = 0) -> SyncRedis:
    redis = blocking_redis(
        RedisSettings(address=server.address), client_name="tests", retry_for_seconds=retry_for
    )
    redis.run(enqueueing.enqueue("q", [NewTask("q:first", b"", "job")]))  # loads the scripts
    return redis


def part(number: int, queue: str = "q") -> CallPart:
    task = NewTask(f"{queue}:{number}", b"x", f"job-{number}", random_id=True)
    return CallPart(queue, task, len(task.payload), enqueueing.enqueue)


@contextmanager
def gathered(
    server: RedisServer, redis: SyncRedis, *work: Callable[[], Any]
) -> Iterator[list[Future[Any]]]:
    """Send something while Redis is silent, so that the work of the other threads gathers."""
    server.pause()
    with ThreadPoolExecutor(1 + len(work)) as pool:
        first = pool.submit(redis.run, inspecting.depth("q"))
        futures = [pool.submit(one) for one in work]
        wait_until("they gather", lambda: redis.waiting == len(work), every=0.001)
        yield futures
        server.resume()
        first.exception(LONG_SECONDS)


def put(redis: SyncRedis, *given: CallPart) -> list[Callable[[], Receipt]]:
    return [lambda one=one: redis.run_part(one) for one in given]  # type: ignore[misc]


def scripts_run(server: RedisServer) -> int:
    with server.client() as raw:
        return int(raw.info("commandstats")["cmdstat_evalsha"]["calls"])


def pending(server: RedisServer, queue: str) -> set[str]:
    with server.client() as raw:
        found = raw.lrange(f"idtq:{{{queue}}}:pending", 0, -1)
    return {task_id.decode() for task_id in found}


def test_they_share_a_call_and_each_gets_its_own_receipt(server: RedisServer) -> None:
    redis = connect(server)
    before = scripts_run(server)
    with gathered(server, redis, *put(redis, *map(part, range(20)))) as calls:
        pass
    assert [call.result().task_id for call in calls] == [f"q:{n}" for n in range(20)]
    assert all(call.result().created for call in calls)
    assert pending(server, "q") == {"q:first", *(f"q:{n}" for n in range(20))}
    assert scripts_run(server) - before == 2, "the depth, and one call for all"
    redis.close()


def test_other_queues_and_other_calls_share_the_batch(server: RedisServer) -> None:
    redis = connect(server)
    before = scripts_run(server)
    calls = [inspecting.depth("q"), enqueueing.enqueue("q", [NewTask("q:own", b"", "job")])]
    parts = [part(n, f"q{n % 3}") for n in range(12)]
    with gathered(server, redis, lambda: redis.run_all(calls), *put(redis, *parts)) as found:
        pass
    depth, receipts = found[0].result()
    assert depth.queued == 1
    assert receipts[0].task_id == "q:own"
    assert [one.result().task_id for one in found[1:]] == [one.value.task_id for one in parts]
    assert [len(pending(server, f"q{n}")) for n in range(3)] == [4, 4, 4]
    assert scripts_run(server) - before == 1 + len(calls) + 3
    redis.close()


def test_a_queue_of_another_version_fails_alone(server: RedisServer) -> None:
    redis = connect(server)
    with server.client() as raw:
        raw.hset("idtq:{old}:meta", "protocol", "9")
    parts = [part(n, ("old", "new")[n % 2]) for n in range(8)]
    with gathered(server, redis, *put(redis, *parts)) as calls:
        pass
    found = [type(call.exception()) for call in calls]
    assert found == [ProtocolMismatch, type(None)] * 4
    assert len(pending(server, "new")) == 4
    redis.close()


def test_after_a_lost_reply_each_task_is_there_once(server: RedisServer) -> None:
    """Redis has run the call already, and answers the second one that the tasks exist."""
    redis = connect(server, retry_for=60)
    parts = [part(n) for n in range(10)]
    with server.client() as raw:
        for one in parts[::2]:  # as if their first call had arrived
            enqueue = enqueueing.enqueue("q", [one.value])
            other = connect(server)
            other.run(enqueue)
            other.close()
        with gathered(server, redis, *put(redis, *parts)) as calls:
            server.resume()
            raw.client_kill_filter(_type="normal", skipme=True)
    assert all(call.result().created for call in calls)
    assert len(pending(server, "q")) == 11
    redis.close()


def test_all_get_the_error_if_redis_stays_away(server: RedisServer) -> None:
    redis = connect(server)
    with gathered(server, redis, *put(redis, *map(part, range(4)))) as calls:
        server.kill()
        assert [type(call.exception(LONG_SECONDS)) for call in calls] == [RedisUnavailable] * 4
        server.start()
    redis.close()


def test_each_retries_its_own_part(server: RedisServer) -> None:
    redis = connect(server, retry_for=60)
    with gathered(server, redis, *put(redis, *map(part, range(4)))) as calls:
        server.kill()
        server.start()
    assert all(call.result(LONG_SECONDS).created for call in calls)
    assert pending(server, "q") >= {f"q:{n}" for n in range(4)}
    redis.close()


def sized(*sizes: int, group: str = "q") -> list[tuple[int, CallPart]]:
    return [(n, CallPart(group, n, size, enqueueing.enqueue)) for n, size in enumerate(sizes)]


def test_a_call_is_bounded() -> None:
    assert len(share(sized(*[1] * MOST_PARTS))) == 1
    assert len(share(sized(*[1] * (2 * MOST_PARTS + 1)))) == 3
    assert len(share(sized(MOST_BYTES, 1, 1))) == 2
    assert len(share([*sized(1), *sized(1, group="other")])) == 2
