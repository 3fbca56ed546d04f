"""Faults of Redis: it dies, hangs, is full, loses its scripts, or its replica takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from identtqueue import Client, TaskNotFound, TaskOptions
from identtqueue.admin import Admin
from identtqueue.errors import RedisFull
from testing.faults.stage import Stage, scenario
from testing.processes import LEASE_SECONDS
from testing.proxy import Proxy
from testing.redis_server import RedisServer, free_port
from testing.waiting import eventually


@scenario(own_redis=True)
async def test_redis_killed_while_busy(stage: Stage) -> None:
    """After a restart from its append-only file, no task is lost and none runs twice."""
    for _ in range(2):
        await stage.worker(concurrency=4).started()
    await stage.enqueue_many(300, "journal")
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(50)
    stage.server.kill()
    stage.server.start()
    stage.open_gate()
    await stage.settled()
    assert all(worker.process.returncode == 0 for worker in stage.workers)
    assert len(stage.ledger.repeats()) <= 16, "at most what was claimed and not yet answered"


@scenario(own_redis=True)
async def test_redis_away_for_longer_than_the_lease(stage: Stage) -> None:
    """Workers keep their attempts and continue when it is back, so nothing runs twice."""
    workers = [await stage.worker().started() for _ in range(2)]
    await stage.enqueue_many(6, "journal", stage.gate)
    await stage.begun(6)
    stage.server.kill()
    for worker in workers:
        # Each failed renewal is a line; so many of them are more than a lease.
        needed = round(LEASE_SECONDS / 0.5) + 2
        await eventually(
            lambda w=worker, n=needed: w.log.count("lease not renewed") >= n,
            "its lease has run out",
        )
    stage.server.start()
    stage.open_gate()
    await stage.settled(repeats=0)
    assert all("the lease is lost" not in worker.log for worker in workers)


@scenario(own_redis=True)
async def test_redis_hangs(stage: Stage) -> None:
    """It is stopped for longer than a reply may take, so connections are given up."""
    workers = [await stage.worker(concurrency=2).started() for _ in range(2)]
    await stage.enqueue_many(40, "journal")
    await stage.enqueue_many(2, "journal", stage.gate)
    await stage.begun(10)
    stage.server.pause()
    for worker in workers:
        await eventually(lambda w=worker: "lease not renewed" in w.log, "a reply took too long")
    stage.server.resume()
    stage.open_gate()
    await stage.settled()
    assert len(stage.ledger.repeats()) <= 4


@scenario(own_redis=True)
async def test_redis_forgets_its_scripts(stage: Stage) -> None:
    await stage.worker(concurrency=4).started()
    with stage.server.client() as raw:
        for n in range(10):
            raw.script_flush()
            await stage.enqueue_many(10, "journal")
            await eventually(lambda n=n: stage.reached(10 * n + 5), "half are done")
    await stage.settled(repeats=0)


@scenario(own_redis=True)
async def test_redis_killed_while_it_rewrites_its_file(stage: Stage) -> None:
    await stage.worker(concurrency=4).started()
    await stage.enqueue_many(2000, "journal")
    with stage.server.client() as raw:
        for n in range(3):
            await eventually(lambda n=n: stage.reached(100 * n + 50), "it works")
            raw.bgrewriteaof()
            stage.server.kill()
            stage.server.start()
    await stage.settled()
    assert len(stage.ledger.repeats()) <= 3 * 4


@scenario(own_redis=True)
async def test_a_worker_killed_while_redis_restarts(stage: Stage) -> None:
    """The other workers recover the tasks of the killed worker, and only those."""
    victim = await stage.worker(concurrency=4).started()
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(4)
    held = set(stage.accepted)
    await stage.worker(concurrency=8).started()
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(8)
    stage.server.kill()
    await victim.kill()
    stage.server.start()
    await stage.begun(12)
    stage.open_gate()
    await stage.settled()
    assert set(stage.ledger.repeats()) == held
    assert [await stage.losses(task_id) for task_id in held] == [1] * 4


@scenario(own_redis=True, long=True)
async def test_redis_pauses_its_clients(stage: Stage) -> None:
    """After CLIENT PAUSE for 10 s, twice the lease, all calls are answered in order."""
    workers = [await stage.worker(concurrency=2).started() for _ in range(2)]
    await stage.enqueue_many(40, "journal")
    await stage.enqueue_many(2, "journal", stage.gate)
    await stage.begun(10)
    with stage.server.client() as raw:
        raw.client_pause(10_000)
        enqueued = asyncio.create_task(stage.enqueue("journal"))
        await asyncio.to_thread(raw.ping)  # is answered when the pause is over
    await enqueued
    stage.open_gate()
    await stage.settled()
    assert all(worker.process.returncode == 0 for worker in workers)
    assert len(stage.ledger.repeats()) <= 4


@scenario(own_redis=True)
async def test_redis_is_full_under_load(stage: Stage) -> None:
    """Enqueueing is refused and leaves nothing behind, but accepted tasks run."""
    workers = [await stage.worker(concurrency=4).started() for _ in range(2)]
    ids = [f"{stage.queue}:{n}" for n in range(400)]
    refused: set[str] = set()

    async def enqueue(task_id: str) -> None:
        options = TaskOptions(task_id=task_id)
        while True:
            try:
                await stage.enqueue("nap", 0.02, task_options=options)
            except RedisFull:
                refused.add(task_id)
                await eventually(room.is_set, "there is room again")
            else:
                return

    room = asyncio.Event()
    with stage.server.client() as raw:
        first = asyncio.gather(*map(enqueue, ids[:200]))
        await stage.begun(20)
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)  # whatever is freed
        rest = asyncio.gather(*map(enqueue, ids[200:]))
        await eventually(lambda: len(refused) > 50, "enqueueing is refused")
        assert not [task_id for task_id in refused if raw.keys(f"*:task:{task_id}")]
        await eventually(
            lambda: stage.reached(len(stage.accepted)), "the queue drains all the same"
        )
        raw.config_set("maxmemory", 0)
        room.set()
    await asyncio.gather(first, rest)
    await stage.settled(repeats=0)
    assert all(worker.process.returncode == 0 for worker in workers)


@scenario(own_redis=True)
async def test_redis_without_the_replicas_that_it_wants(stage: Stage) -> None:
    """With `min-replicas-to-write`, no write is accepted until a replica is there."""
    with stage.server.client() as raw:
        await _refusing_writes(
            stage,
            lambda: raw.config_set("min-replicas-to-write", 1),
            lambda: raw.config_set("min-replicas-to-write", 0),
        )


@scenario(own_redis=True)
async def test_redis_that_can_not_save(stage: Stage) -> None:
    """A snapshot has failed, as on a full disk. No write is accepted until one succeeds."""
    with stage.server.client() as raw:
        in_the_way = Path(raw.config_get("dir")["dir"]) / "dump.rdb"

        def fail_to_save() -> None:
            in_the_way.mkdir()
            raw.config_set("save", "3600 1")
            raw.bgsave()

        def save() -> None:
            in_the_way.rmdir()
            raw.bgsave()

        await _refusing_writes(stage, fail_to_save, save)


async def _refusing_writes(
    stage: Stage, begin: Callable[[], object], end: Callable[[], object]
) -> None:
    """Check that running and starting workers and clients wait while writes are refused."""
    worker = await stage.worker().started()
    await stage.enqueue("journal", stage.gate)
    await stage.begun()
    begin()
    await eventually(lambda: "lease not renewed" in worker.log, "the worker has noticed")
    enqueued = asyncio.create_task(stage.enqueue("journal"))
    second = stage.worker().start()
    stage.open_gate()
    await eventually(lambda: "can't be reached" in second.log, "the second one has noticed")
    assert not enqueued.done()
    end()
    await enqueued
    await second.registered()
    await stage.settled(repeats=0)
    assert worker.process.returncode == second.process.returncode == 0


@scenario(own_redis=True)
async def test_a_planned_failover(stage: Stage) -> None:
    """Writes are paused until the replica has all data and takes over, so nothing is lost."""
    replica = _a_replica(stage)
    async with Proxy(stage.server.port) as proxy, Client(proxy.address) as client:
        for _ in range(2):
            await stage.worker(address=proxy.address, concurrency=4).started()
        await stage.enqueue_many(300, "journal")
        await stage.enqueue_many(4, "journal", stage.gate)
        await eventually(replica.is_in_step, "the replica follows")
        await stage.begun(50)
        with stage.server.client() as raw:
            raw.client_pause(60_000, all=False)  # writes only: nothing more is acknowledged
            meanwhile = asyncio.create_task(client.enqueue_job(stage.queue, "journal"))
            await eventually(replica.is_in_step, "the replica has all")
        await _take_over(stage, replica, proxy)
        stage.accepted.append(await meanwhile)
        stage.open_gate()
        await stage.settled(client=client)
        assert len(stage.ledger.repeats()) <= 16, "at most what was claimed and not yet answered"


@scenario(own_redis=True)
async def test_a_failover_to_a_replica_that_lags(stage: Stage) -> None:
    """Replication is asynchronous, so tasks that were not replicated are lost, and only those.

    Tasks that a WAIT has confirmed run. Others may be lost although they were acknowledged. Then
    the client gets TaskNotFound, and enqueues the task again under the same id.
    """
    replica = _a_replica(stage)
    async with Proxy(stage.server.port) as proxy, Client(proxy.address) as client:
        await eventually(replica.is_in_step, "the replica follows")
        await stage.enqueue_many(20, "journal")
        options = TaskOptions(task_id=f"{stage.queue}:late")
        assert await asyncio.to_thread(stage.server.replicated, 10_000) == 1
        with replica.client() as follower:
            follower.replicaof("127.0.0.1", free_port())  # its link is broken from here on
        await stage.enqueue("journal", task_options=options)
        assert await asyncio.to_thread(stage.server.replicated, 100) == 0
        stage.server.kill()
        await _take_over(stage, replica, proxy)
        for _ in range(2):
            await stage.worker(address=proxy.address).started()
        with pytest.raises(TaskNotFound):
            await client.wait_for_result(stage.accepted[-1], 60)
        assert await client.enqueue_job(stage.queue, "journal", task_options=options)
        await stage.settled(repeats=0, client=client)


def _a_replica(stage: Stage) -> RedisServer:
    """Start a replica that ends with the scenario, whether it has taken over by then or not."""
    replica = RedisServer(aof=True, replica_of=stage.server.port)
    stage.exits.callback(replica.destroy)
    return replica.start()


async def _take_over(stage: Stage, replica: RedisServer, proxy: Proxy) -> None:
    """Make the replica the primary. The old primary does not come back."""
    replica.promote()
    proxy.retarget(replica.port)
    stage.server.destroy()
    stage.server = replica
    await stage.admin.close()
    stage.admin = await stage.exits.enter_async_context(Admin(replica.address))
