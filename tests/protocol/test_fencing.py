"""The fencing token of jobs grows with every start of a task, even if Redis has lost writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from identtqueue.protocol.calls import claiming, one_task, reporting
from protocol.bench import Bench
from testing.redis_server import RedisServer
from testing.waiting import eventually

AHEAD_MS = 3_600_000


def told(bench: Bench, name: str) -> int | None:
    """Return the token that `identtqueue task ID` and the like show."""
    info = bench.run(one_task.task_info(bench.id(name)))
    assert info is not None
    return info.fencing_token


def test_it_is_the_time_of_the_start(bench: Bench) -> None:
    bench.enqueue("a")
    assert told(bench, "a") is None
    bench.register("w")
    (attempt,) = bench.claim("w")
    assert attempt.fencing_token == attempt.started_at_ms == told(bench, "a")
    assert bench.field("a", "fence") is None, "the plain path stores nothing more"


def test_it_grows_within_one_millisecond(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    tokens = [attempt.fencing_token]
    for number in range(1, 200):
        bench.redis.run(reporting.release(bench.queue, "w", [(attempt.task_id, number)]))
        (again,) = bench.redis.run(claiming.claim(bench.queue, "w", 1)).attempts
        tokens.append(again.fencing_token)
    assert tokens == sorted(set(tokens))
    assert told(bench, "a") == tokens[-1]


def test_it_grows_although_the_clock_steps_back(bench: Bench) -> None:
    """Redis' clock steps back, so that the last start lies in the future."""
    (first, other) = bench.running("w", "a", "b")
    future = bench.now_ms() + AHEAD_MS
    bench.raw.hset(bench.unpack(first.task_id), "started_at", future)
    tokens = []
    for number in (1, 2):
        pairs = [(first.task_id, number), (other.task_id, number)]
        bench.run(reporting.release(bench.queue, "w", pairs))
        again, plain = bench.claim("w")
        assert plain.fencing_token < future, "each task has its own"
        tokens.append(again.fencing_token)
        assert told(bench, "a") == again.fencing_token
    assert tokens == [future + 1, future + 2]
    info = bench.run(one_task.task_info(first.task_id))
    assert info is not None
    assert info.started_at_ms is not None
    assert info.started_at_ms < future, "times are told as they are"


@pytest.fixture
def replica(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Start a replica of the bench's server."""
    server = RedisServer(replica_of=redis_server.port).start()
    yield server
    server.destroy()


async def test_it_grows_over_a_failover_that_lost_the_last_writes(
    bench: Bench, replica: RedisServer
) -> None:
    """Attempt numbers repeat in that case, so they could not serve as fence."""
    bench.enqueue("a")
    bench.register("w")
    await eventually(replica.is_in_step, "the replica follows")
    replica.promote()
    (before,) = bench.claim("w")
    after_failover = Bench(replica, bench.queue)
    try:
        (after,) = after_failover.claim("w")
    finally:
        after_failover.close()
    assert after.task_id == before.task_id
    assert after.number == before.number == 1
    assert after.fencing_token > before.fencing_token
