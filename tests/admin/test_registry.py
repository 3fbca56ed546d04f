"""The registry: queues and jobs appear by themselves, and are forgotten."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
import redis

from identtqueue import Client, Cron, SyncClient, Worker
from identtqueue.admin import Admin, JobInfo
from identtqueue.errors import InvalidQueueName
from identtqueue.limits import JobLimits
from identtqueue.protocol import codec, keys
from identtqueue.protocol.calls import leasing, registry
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

DAY_MS = 86_400_000


@pytest.fixture
async def admin(redis_server: RedisServer):
    async with Admin(redis_server.address) as connected:
        yield connected


async def names(admin: Admin) -> set[str]:
    return {queue.name for queue in await admin.queues()}


async def jobs(admin: Admin, queue: str) -> dict[str, JobInfo]:
    return {job.name: job for job in await admin.jobs(queue)}


async def test_the_first_enqueue_notes_the_queue(
    admin: Admin, client: Client, raw: redis.Redis, queue: str
) -> None:
    assert queue not in await names(admin)
    before_ms = int(raw.time()[0]) * 1000
    await client.enqueue_job(queue, "read")
    (found,) = [info for info in await admin.queues() if info.name == queue]
    assert found.last_activity_ms >= before_ms
    raw.zrem(keys.QUEUES, queue)
    await client.enqueue_job(queue, "read")
    assert queue not in await names(admin), "it is noted once a minute"


async def test_a_short_lived_client_has_noted_its_queue(
    admin: Admin, redis_server: RedisServer, queue: str
) -> None:
    async with Client(redis_server.address) as client:
        await client.enqueue_job(queue, "read")
    assert queue in await names(admin)


async def test_a_blocking_client_notes_its_queue(
    admin: Admin, redis_server: RedisServer, queue: str
) -> None:
    with SyncClient(redis_server.address) as client:
        client.enqueue_job(queue, "read")
    assert queue in await names(admin)


async def test_a_worker_notes_its_queues_and_those_of_its_schedules(
    admin: Admin, redis_server: RedisServer, queue: str
) -> None:
    async def job(_ctx) -> None: ...

    elsewhere = f"{queue}-2"
    worker = Worker(
        {"job": job},
        redis_server.address,
        queue,
        cron=[Cron(name="nightly", function_name="job", expression="0 3 * * *", queue=elsewhere)],
    )
    async with serving(worker):

        async def noted() -> bool:
            return {queue, elsewhere} <= await names(admin)

        await eventually(noted, "both queues are noted")


async def test_queues_are_forgotten(admin: Admin, calls: AsyncRedis, raw: redis.Redis) -> None:
    old, new = "forgotten-old", "forgotten-new"
    now_ms = int(raw.time()[0]) * 1000
    raw.zadd(keys.QUEUES, {old: now_ms - 31 * DAY_MS, new: now_ms - 29 * DAY_MS})
    assert {old, new} & await names(admin) == {new}, "before anybody has removed it"
    await calls.run(registry.enlist(["any"]))
    assert raw.zscore(keys.QUEUES, old) is None
    assert raw.zscore(keys.QUEUES, new) is not None
    raw.zrem(keys.QUEUES, new, "any")


async def test_the_registry_is_bounded(new_redis_server, monkeypatch: pytest.MonkeyPatch) -> None:
    server = new_redis_server()
    monkeypatch.setattr(registry, "MOST_QUEUES", 3)
    async with Admin(server.address) as admin:
        with server.client() as raw:
            raw.zadd(keys.QUEUES, {f"q{i}": int(raw.time()[0]) * 1000 - i for i in range(5)})
        with SyncClient(server.address) as client:
            client.enqueue_job("newest", "read")
        assert await names(admin) == {"newest", "q0", "q1"}


async def test_an_old_acl_costs_a_log_line_and_nothing_else(
    admin: Admin,
    redis_server: RedisServer,
    raw: redis.Redis,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Users that were made before there was a registry lack its key."""
    words = [word for word in rules(Role.PRODUCER, [queue]) if word != f"~{keys.QUEUES}"]
    raw.execute_command("ACL", "SETUSER", "old", "on", ">pw", *words)
    settings = RedisSettings(address=redis_server.address, username="old", password="pw")
    with caplog.at_level(logging.INFO):
        async with Client(settings) as client:
            for _ in range(3):
                await client.enqueue_job(queue, "read")
        with SyncClient(settings) as blocking:
            for _ in range(3):
                blocking.enqueue_job(queue, "read")
    lines = [record for record in caplog.records if "registry of queues" in record.message]
    assert [record.levelname for record in lines] == ["INFO", "INFO"], "one for each client"
    assert queue not in await names(admin)
    assert (await admin.depths([queue]))[queue].queued == 6


async def test_an_old_acl_of_a_worker(
    redis_server: RedisServer, client: Client, raw: redis.Redis, queue: str
) -> None:
    async def job(_ctx) -> str:
        return "done"

    words = [word for word in rules(Role.WORKER, [queue]) if word != f"~{keys.QUEUES}"]
    raw.execute_command("ACL", "SETUSER", "oldworker", "on", ">pw", *words)
    settings = RedisSettings(address=redis_server.address, username="oldworker", password="pw")
    async with serving(Worker({"job": job}, settings, queue)):
        task_id = await client.enqueue_job(queue, "job")
        assert await client.wait_for_result(task_id, 30) == "done"


async def test_a_worker_declares_its_jobs(admin: Admin, serve: Serve, queue: str) -> None:
    @dataclass
    class Page:
        number: int

    async def read(ctx, path: str, *, pages: list[Page] | None = None) -> None: ...

    await serve({"read": read})
    await eventually(lambda: jobs(admin, queue), "the jobs are declared")
    job = (await jobs(admin, queue))["read"]
    assert job.parameters == ("path", "pages")
    assert job.module == __name__
    assert job.declared_at_ms is not None
    assert (job.hidden, job.paused, job.last_enqueued_at_ms) == ((), False, None)


async def test_a_job_without_a_worker_is_known_once_it_is_enqueued(
    admin: Admin, client: Client, raw: redis.Redis, queue: str
) -> None:
    before_ms = int(raw.time()[0]) * 1000
    await client.enqueue_job(queue, "unknown")
    job = (await jobs(admin, queue))["unknown"]
    assert (job.declared_at_ms, job.parameters) == (None, ())
    assert job.last_enqueued_at_ms is not None
    assert job.last_enqueued_at_ms >= before_ms


async def test_jobs_are_forgotten_that_are_neither_declared_nor_enqueued(
    admin: Admin, calls: AsyncRedis, raw: redis.Redis, queue: str
) -> None:
    k = keys.queue_keys(queue)
    now_ms = int(raw.time()[0]) * 1000
    for name in ("old", "in use", "new"):
        at = now_ms - (29 if name == "new" else 31) * DAY_MS
        raw.hset(k.jobs, name, codec.encode_plain({"declared_at": at}))
    raw.zadd(k.enqueued, {"in use": now_ms, "long ago": now_ms - 31 * DAY_MS})
    await calls.run(leasing.register(queue, "w", 60_000, {}, {"n": JobLimits()}, {"n": {}}))
    assert set(await jobs(admin, queue)) == {"in use", "new", "n"}


async def test_a_bad_name_is_refused(admin: Admin) -> None:
    with pytest.raises(InvalidQueueName):
        await admin.jobs("No such!")
    with pytest.raises(InvalidQueueName):
        await admin.series("No such!")
