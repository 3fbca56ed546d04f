"""The series of a queue, counted by real workers and clients."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from identtqueue import Client, InvalidInput, RetryPolicy, TaskOptions, Worker
from identtqueue.admin import Admin, Counts, Series
from identtqueue.protocol import counting, keys
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

MINUTE_MS, HOUR_MS = counting.MINUTE_MS, counting.HOUR_MS


@pytest.fixture
async def admin(redis_server: RedisServer):
    async with Admin(redis_server.address) as connected:
        yield connected


async def total(admin: Admin, queue: str, **options) -> Counts:
    """Read the numbers of the last hours."""
    return (await admin.series(queue, **options)).total


async def works(_ctx, seconds: float = 0) -> None:
    await asyncio.sleep(seconds)


async def fails(_ctx, kind: str) -> None:
    raise {"value": ValueError, "key": KeyError}[kind]("no")


async def test_what_workers_and_clients_count(
    admin: Admin, client: Client, redis_server: RedisServer, queue: str
) -> None:
    options = TaskOptions(max_retries=1)
    worker = Worker(
        {"works": works, "fails": fails},
        redis_server.address,
        queue,
        retry=RetryPolicy(first_delay_seconds=0.001),
    )
    ids = [await client.enqueue_job(queue, "works", 0.03) for _ in range(5)]
    ids += [
        await client.enqueue_job(queue, "fails", kind, task_options=options)
        for kind in ("value", "value", "key")
    ]
    async with serving(worker):
        await client.wait_many(ids, 30)
    # The worker reports what is left when it stops.
    for step in ("minute", "hour"):
        by_job = (await admin.series(queue, step=step)).by_job
        assert set(by_job) == {"works", "fails"}
        job = by_job["works"]
        assert (job.enqueued, job.started, job.succeeded, job.ended) == (5, 5, 5, 5)
        assert 0.15 <= job.ran.sum_seconds < 10
        assert 0.025 <= job.ran.quantile(0.5) < 2
        assert job.errors == {}
        job = by_job["fails"]
        assert (job.enqueued, job.started, job.retried, job.failed) == (3, 6, 3, 3)
        assert job.errors == {"ValueError": 4, "KeyError": 2}
        assert job.waited.count == 6
    assert (await total(admin, queue, job="works")).started == 5
    assert (await total(admin, queue, job="nothing")) == Counts()


async def test_while_a_worker_works_its_counts_appear(
    admin: Admin, client: Client, serve: Serve, queue: str
) -> None:
    await serve({"works": works}, grace_seconds=0)
    await client.enqueue_job(queue, "works", 60)

    async def has_started() -> bool:
        return (await total(admin, queue)).started == 1

    await eventually(has_started, "the started attempt is reported")
    assert (await total(admin, queue)).ended == 0


async def test_buckets_of_the_metrics_do_not_change_the_series(
    admin: Admin, client: Client, redis_server: RedisServer, queue: str
) -> None:
    for buckets in ((0.004, 7), (0.5, 1)):
        worker = Worker({"works": works}, redis_server.address, queue, metrics_buckets=buckets)
        async with serving(worker):
            await client.wait_for_result(await client.enqueue_job(queue, "works", 0.03), 30)
    ran = (await total(admin, queue)).ran
    assert ran.bounds == counting.BOUNDS_SECONDS
    assert ran.count == 2
    assert ran.quantile(0.5) >= 0.025


async def test_every_step_is_there(
    admin: Admin, client: Client, raw: redis.Redis, queue: str
) -> None:
    await client.enqueue_job(queue, "works")
    now_ms = int(raw.time()[0]) * 1000
    minutes = await admin.series(queue)
    assert minutes.step_seconds == 60
    assert len(minutes.points) == 1_440
    times = [point.at_ms for point in minutes.points]
    assert {b - a for a, b in pairwise(times)} == {MINUTE_MS}
    assert minutes.points[-1].at_ms <= now_ms + 1000 < minutes.points[-1].at_ms + 2 * MINUTE_MS
    assert sum(point.total.enqueued for point in minutes.points[-2:]) == 1
    assert not any(point.by_job for point in minutes.points[:-2])
    hours = await admin.series(queue, step="hour")
    assert (hours.step_seconds, len(hours.points)) == (3600, 336)
    assert sum(point.total.enqueued for point in hours.points[-2:]) == 1


async def test_a_part_of_it(admin: Admin, raw: redis.Redis, queue: str) -> None:
    now_ms = int(raw.time()[0]) * 1000
    since, until = now_ms - 10 * MINUTE_MS, now_ms - 5 * MINUTE_MS
    points = (await admin.series(queue, since_ms=since, until_ms=until)).points
    assert [point.at_ms // MINUTE_MS for point in points] == list(
        range(since // MINUTE_MS, until // MINUTE_MS + 1)
    )
    assert (await admin.series(queue, since_ms=now_ms + HOUR_MS)).points == []
    with pytest.raises(InvalidInput, match="'minute' or 'hour'"):
        await admin.series(queue, step="day")  # type: ignore[arg-type]


async def test_hours_have_what_was_enqueued_before_and_after_a_roll_up(
    admin: Admin, client: Client, serve: Serve, raw: redis.Redis, queue: str
) -> None:
    """The enqueued tasks of a minute are in its hour from the beginning, and once."""
    k = keys.queue_keys(queue)
    minute = int(raw.time()[0]) // 60
    for ago in (3, 2):
        raw.hset(f"{k.minute_prefix}{minute - ago}", mapping={"e:works": 10, "jobs": 1})
        raw.pexpire(f"{k.minute_prefix}{minute - ago}", HOUR_MS)
    await client.enqueue_job(queue, "works")

    async def enqueued() -> int:
        return (await total(admin, queue, step="hour")).enqueued

    assert await enqueued() == 21
    raw.hset(k.meta, "rolled", minute - 4)
    await serve({"works": works})
    await eventually(lambda: int(raw.hget(k.meta, "rolled")) >= minute - 1, "it is rolled up")
    assert await enqueued() == 21


JOBS = """
import asyncio, sys
from identtqueue import Worker

async def works(ctx): pass
async def hangs(ctx): await asyncio.sleep(600)

Worker({"works": works, "hangs": hangs}, sys.argv[1], sys.argv[2]).run()
"""


@pytest.mark.slow
async def test_a_killed_worker_loses_a_second_at_most(
    admin: Admin, client: Client, redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    """Redis counts exactly. Of the worker's own numbers, those of its last report are left."""
    (tmp_path / "jobs.py").write_text(JOBS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "jobs.py"), redis_server.address, queue
    )
    try:
        ids = [await client.enqueue_job(queue, "works") for _ in range(200)]
        await client.wait_many(ids, 60)
        await client.enqueue_job(queue, "hangs")

        async def reported() -> bool:
            found = (await admin.series(queue)).by_job
            return found["works"].succeeded == 200 and found["hangs"].started == 1

        await eventually(reported, "all is reported")
        (worker,) = await admin.workers(queue)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        await process.wait()
    await admin.recover(queue, worker.worker_id, waive_lease=True, max_deliveries=5)
    for step in ("minute", "hour"):
        found = (await admin.series(queue, step=step)).by_job
        assert (found["works"].succeeded, found["hangs"].recovered) == (200, 1)
        assert found["hangs"].ended == 0


@pytest.mark.slow
async def test_an_outage_loses_and_doubles_nothing(
    client: Client, new_redis_server, queue: str
) -> None:
    """Reports are repeated until Redis answers, and each counts once."""
    server = new_redis_server()
    worker = Worker({"works": works}, server.address, queue, concurrency=20)
    async with (
        Client(server.address, retry_for_seconds=60) as here,
        Admin(server.address, retry_for_seconds=60) as admin,
        serving(worker),
    ):
        done = 0
        for _ in range(5):
            ids = [await here.enqueue_job(queue, "works") for _ in range(40)]
            await here.wait_many(ids, 60)
            done += len(ids)
            with server.client() as raw:
                raw.client_kill_filter(_type="normal", skipme=True)

        async def all_reported() -> bool:
            return (await total(admin, queue)).succeeded >= done

        await eventually(all_reported, "all is reported")
        found = await total(admin, queue)
        assert (found.enqueued, found.started, found.succeeded) == (done, done, done)
        assert worker.gauges.reconnects > 0


def test_an_empty_series_adds_up() -> None:
    assert Series(60, []).total == Counts()
    assert Series(60, []).by_job == {}
