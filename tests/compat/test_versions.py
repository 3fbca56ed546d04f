"""The protocol's core, and a client with a worker, on every supported version of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis.stateful import run_state_machine_as_test

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.client.sync import SyncClient
from identtqueue.errors import RedisTopologyMismatch, RedisUnavailable, TaskFailed
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack, Cancelled, Enqueued, Lease, Receipt
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    inspecting,
    leasing,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.task import Result, State, TaskOptions
from identtqueue.transport.connection import AsyncRedis
from identtqueue.worker.worker import Worker
from protocol.bench import FAILURE, MS, TIME, Bench
from protocol.machine import QueueMachine, machine_settings
from protocol.servers import check_full_server, fill
from testing import servers
from testing.redis_server import RedisServer, free_port

LATER_MS = 3_600_000
LONG_SECONDS = 60


async def test_the_version_is_the_one_that_is_named(
    redis_server: RedisServer, server_name: str
) -> None:
    async with Admin(redis_server.address) as admin:
        server = await admin.server()
    if server_name == servers.SYSTEM:
        assert tuple(map(int, server.version.split(".")[:2])) >= (6, 2)
    else:
        packed = servers.PACKED[server_name]
        assert server.name == packed.maker
        assert server.version.startswith(packed.version)


async def test_a_server_of_another_kind_is_refused(
    new_redis_server: Callable[..., RedisServer], redis_server: RedisServer
) -> None:
    node = new_redis_server(options=("--cluster-enabled", "yes"))
    with pytest.raises(RedisTopologyMismatch, match="node of a Redis Cluster"):
        await Client(node.address).connect()
    cluster = redis_server.address.replace("redis://", "redis+cluster://")
    with pytest.raises(RedisTopologyMismatch, match="no node of a Redis Cluster"):
        await Client(cluster).connect()


async def test_a_policy_that_deletes_tasks_is_warned_of(
    new_redis_server: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = new_redis_server(options=("--maxmemory-policy", "allkeys-lru"))
    async with Client(server.address):
        assert "has maxmemory-policy allkeys-lru" in caplog.text


def test_the_way_of_a_task(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a", expires=LATER_MS, unique="key", unique_ttl=LATER_MS, ttl=LATER_MS)
    (attempt,) = bench.claim("w")
    assert codec.decode_task(attempt.payload).args == ("a",)
    assert bench.run(leasing.extend(bench.queue, "w", LATER_MS)) is Lease.OK
    assert bench.run(one_task.await_result(attempt.task_id, "channel")) is State.RUNNING
    done = reporting.finish(bench.queue, "w", [(attempt.task_id, 1, codec.encode_value("r"))])
    assert bench.run(done) == [Ack.OK]
    assert bench.refuses(done) == [Ack.DONE]
    assert bench.run(one_task.await_result(attempt.task_id)) == Result(
        attempt.task_id, State.SUCCEEDED, "r"
    )
    assert bench.run(leasing.leave(bench.queue, "w")) is True
    assert bench.dump() == {
        "stats": {"enqueued": 1, "claimed": 1, "succeeded": 1, "wait_ms": MS, "run_ms": MS},
        "meta": {"protocol": "2"},
        "task:a (expires)": {
            "state": "succeeded",
            "payload": "a",
            "result": "r",
            "function": "job",
            "attempt": 1,
            "owner": "w",
            "ttl": LATER_MS,
            "unique": "key",
            "unique_ttl": LATER_MS,
            "enqueued_at": TIME,
            "started_at": TIME,
            "finished_at": TIME,
            "expires_at": TIME,
        },
        "ended": ["a"],
    }


def test_batches_times_and_unique_keys(bench: Bench) -> None:
    at = bench.now_ms() + LATER_MS
    batch = [
        bench.task("now"),
        bench.task("now"),
        bench.task("later", at=at, unique="key", unique_ttl=LATER_MS),
        bench.task("rival", unique="key", unique_ttl=LATER_MS),
    ]
    receipts = bench.run(enqueueing.enqueue(bench.queue, batch))
    statuses = [Enqueued.OK, Enqueued.EXISTS, Enqueued.OK, Enqueued.UNIQUE]
    assert [receipt.status for receipt in receipts] == statuses
    assert receipts[3] == Receipt(bench.id("later"), Enqueued.UNIQUE)
    assert bench.raw.zscore(bench.keys.scheduled, bench.id("later")) == at
    bench.fall_due("later")
    assert bench.run(scheduling.promote(bench.queue)).moved == 1
    assert bench.pending() == ["now", "later"]
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.next_due_in_ms, depth.counters) == (2, None, {"enqueued": 2})


def test_recovery(bench: Bench) -> None:
    attempts = bench.running("w", "a", "b", "c")
    bench.run(one_task.cancel(bench.id("b")))
    assert bench.refuses(bench.recovery("w", waive=False)).lost is False
    bench.lapse("w")
    recovery = bench.recover("w", waive=False)
    assert bench.names(recovery.requeued) == ["c", "a"]
    assert bench.names(recovery.cancelled) == ["b"]
    assert bench.pending() == ["a", "c"]
    ghost = reporting.finish(bench.queue, "w", [(attempts[0].task_id, 1, b"\xc0")])
    assert bench.refuses(ghost) == [Ack.LOST]
    bench.register("w2")
    bench.claim("w2")
    assert bench.names(bench.recover("w2", limit=2).dead) == [], "either may be to blame"
    for number in (3, 4):
        bench.register(f"w{number}")
        (suspect,) = bench.claim(f"w{number}", idle=True)
        dead = bench.recover(f"w{number}", limit=2).dead
        assert dead == (suspect.task_id,), "it was alone"


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.001, 0.0011, 0.01])
def test_no_block_is_for_ever(bench: Bench, seconds: float) -> None:
    """A timeout of 0 would be for ever, and Redis 6.2 cuts 1 ms to that."""
    assert bench.redis.run(claiming.block_for_work([bench.queue], seconds)) is None


def test_cancellation(bench: Bench) -> None:
    bench.enqueue("pending")
    bench.enqueue("scheduled", delay=LATER_MS)
    for name in ("pending", "scheduled"):
        assert bench.run(one_task.cancel(bench.id(name))) is Cancelled.OK
        assert bench.refuses(one_task.cancel(bench.id(name))) is Cancelled.ENDED
    (attempt,) = bench.running("w", "running")
    assert bench.run(one_task.cancel(attempt.task_id)) is Cancelled.ASKED
    assert bench.run(reporting.abort(bench.queue, "w", attempt.task_id, 1)) is Ack.OK


def test_retries_and_dead_letters(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    assert bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 1, 0, FAILURE)) is Ack.OK
    (again,) = bench.claim("w")
    assert (again.number, again.failures) == (2, 1)
    assert bench.run(reporting.bury(bench.queue, "w", attempt.task_id, 2, FAILURE)) is Ack.OK
    bench.run(acting.replay(bench.queue, [attempt.task_id]))
    (again,) = bench.claim("w")
    assert (again.number, again.failures) == (3, 0)


# --- what versions say differently ---


def test_a_full_server(new_redis_server: Callable[..., RedisServer], queue: str) -> None:
    bench = Bench(new_redis_server(), queue)
    check_full_server(bench)
    bench.close()


def test_a_full_server_can_load_the_scripts(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    bench = Bench(new_redis_server(), queue)
    fill(bench.raw)
    bench.raw.script_flush()
    bench.register("w")
    bench.close()


def test_a_replica_counts_as_unavailable(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    bench = Bench(new_redis_server(), queue)
    bench.raw.replicaof("127.0.0.1", str(free_port()))
    with pytest.raises(RedisUnavailable):
        bench.redis.run(enqueueing.enqueue(queue, [bench.task("a")]))
    bench.raw.replicaof("NO", "ONE")
    bench.enqueue("a")
    bench.close()


async def test_forgotten_scripts(calls: AsyncRedis, bench: Bench) -> None:
    bench.raw.script_flush()
    assert (await calls.run(inspecting.depth(bench.queue))).queued == 0
    bench.raw.script_flush()
    bench.enqueue("a")


@pytest.mark.timeout(7200)
def test_random_histories_follow_the_table(redis_server: RedisServer) -> None:
    class Machine(QueueMachine):
        server = redis_server

    run_state_machine_as_test(Machine, settings=machine_settings(share=0.1))


# --- a client and a worker ---


async def double(_ctx: object, number: int) -> int:
    return 2 * number


def refuse(_ctx: object, number: int) -> int:
    raise ValueError(f"{number} is not for me")


async def test_a_client_and_a_worker(redis_server: RedisServer, queue: str) -> None:
    worker = Worker({"double": double, "refuse": refuse}, redis_server.address, queue)
    serving = asyncio.ensure_future(worker.serve())
    async with Client(redis_server.address) as client:
        ids = [await client.enqueue_job(queue, "double", number) for number in range(20)]
        results = await client.wait_many(ids, timeout_seconds=LONG_SECONDS)
        assert [result.value for result in results] == [2 * number for number in range(20)]

        bad = await client.enqueue_job(queue, "refuse", number=3)
        with pytest.raises(TaskFailed, match="3 is not for me"):
            await client.wait_for_result(bad, timeout_seconds=LONG_SECONDS)

        soon = TaskOptions(delay_seconds=0.05)
        delayed = await client.enqueue_job(queue, "double", 4, task_options=soon)
        assert await client.wait_for_result(delayed, timeout_seconds=LONG_SECONDS) == 8

        blocking = SyncClient(redis_server.address)
        value = await asyncio.to_thread(_round_trip, blocking, queue)
        assert value == 10
        blocking.close()
    worker.stop()
    await serving


def _round_trip(client: SyncClient, queue: str) -> object:
    task_id = client.enqueue_job(queue, "double", 5)
    return client.wait_for_result(task_id, timeout_seconds=LONG_SECONDS)
