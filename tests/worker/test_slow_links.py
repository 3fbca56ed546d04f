"""A worker behind a slow link: big payloads and results arrive once and delay nothing else."""

from __future__ import annotations

import asyncio

import pytest
import redis

from identtqueue import Client, RedisSettings, State, Worker
from identtqueue.protocol.submission import Submission
from identtqueue.worker import finish, incarnation
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import LONG_SECONDS, eventually

MEGABYTE = 1_000_000
TASKS = 12
SILENCE_SECONDS = 1.0
"""Much less than the time that all of them take together."""


def attempts(raw: redis.Redis, queue: str) -> list[int]:
    keys = raw.scan_iter(f"idtq:{{{queue}}}:task:*", count=1000)
    return [int(raw.hget(key, "attempt") or 0) for key in keys]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["payloads", "results"])
async def test_each_payload_and_result_is_sent_once(
    redis_server: RedisServer, client: Client, raw: redis.Redis, queue: str, what: str
) -> None:
    all_run = asyncio.Event()
    begun: list[int] = []

    async def job(_ctx, number: int, data: bytes = b"") -> bytes:
        begun.append(number)
        if len(begun) == TASKS:
            all_run.set()
        if what == "payloads":
            return b""
        await all_run.wait()  # so that all results are there at once
        return b"x" * MEGABYTE

    async with Proxy(redis_server.port) as proxy:
        settings = RedisSettings(address=proxy.address, response_timeout_seconds=SILENCE_SECONDS)
        worker = Worker({"job": job}, settings, queue, concurrency=TASKS)
        async with serving(worker):
            proxy.throttle(4 * MEGABYTE)
            before = raw.info("stats")
            data = b"y" * MEGABYTE if what == "payloads" else b""
            receipts = await client.submit_many(
                Submission(queue, "job", (number, data)) for number in range(TASKS)
            )
            results = await client.wait_many([r.task_id for r in receipts], LONG_SECONDS)
            after = raw.info("stats")
            proxy.throttle(0)
    assert [result.failure for result in results] == [None] * TASKS
    assert sorted(begun) == list(range(TASKS))
    assert attempts(raw, queue) == [1] * TASKS
    direction = "total_net_output_bytes" if what == "payloads" else "total_net_input_bytes"
    assert after[direction] - before[direction] < 2.5 * TASKS * MEGABYTE  # and the client's reading


@pytest.mark.slow
async def test_a_small_result_does_not_wait_for_big_ones(
    redis_server: RedisServer, client: Client, queue: str
) -> None:
    sizes = [MEGABYTE] * TASKS

    async def job(_ctx, size: int) -> bytes:
        return b"x" * size

    async with Proxy(redis_server.port) as proxy:
        worker = Worker({"job": job}, proxy.address, queue, concurrency=TASKS + 1)
        async with serving(worker):
            proxy.throttle(4 * MEGABYTE)
            big = [await client.enqueue_job(queue, "job", size) for size in sizes]
            ended: list[str] = []
            waits = [asyncio.ensure_future(client.wait(task_id)) for task_id in big]
            for wait in waits:
                wait.add_done_callback(lambda _: ended.append("big"))
            await eventually(lambda: ended, "the first is recorded")
            small = await client.enqueue_job(queue, "job", 1)
            await client.wait(small, LONG_SECONDS)
            assert len(ended) < TASKS - 3
            await asyncio.gather(*waits)
            proxy.throttle(0)


@pytest.mark.slow
async def test_a_worker_takes_no_more_tasks_while_too_much_is_not_recorded(
    redis_server: RedisServer,
    client: Client,
    queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Slots are free as soon as jobs end, however slowly their results are sent."""
    size, limit = MEGABYTE, finish.MOST_UNRECORDED_BYTES
    tasks, concurrency = 3 * limit // size, 16
    begun = 0

    async def job(_ctx, number: int) -> bytes:
        nonlocal begun
        begun += 1
        return b"x" * size

    async with Proxy(redis_server.port) as proxy:
        worker = Worker({"job": job}, proxy.address, queue, concurrency=concurrency)
        async with serving(worker):
            await eventually(lambda: worker.ready_problem() is None, "it has started")
            proxy.throttle(MEGABYTE)
            ids = [await client.enqueue_job(queue, "job", number) for number in range(tasks)]
            await eventually(
                lambda: "MiB of results are not recorded yet" in (worker.ready_problem() or ""),
                "it says why it takes nothing",
            )
            ended = [await client.get_status(task_id) for task_id in ids].count(State.SUCCEEDED)
            assert (begun - ended - 2 * concurrency) * size <= limit
            assert begun < tasks
            assert worker.live_problem() is None
            proxy.throttle(0)
            results = await client.wait_many(ids, LONG_SECONDS)
            assert [result.failure for result in results] == [None] * tasks
            await eventually(lambda: worker.ready_problem() is None, "nothing is in its way")
    assert begun == tasks
    assert "taking no more tasks: " in caplog.text
    assert "taking tasks again" in caplog.text


@pytest.mark.slow
async def test_a_result_in_transit_has_the_grace_time_too(
    redis_server: RedisServer,
    client: Client,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incarnation, "FLUSH_SECONDS", 0.2)  # much less than the results take
    returned: list[int] = []

    async def job(_ctx, number: int) -> bytes:
        returned.append(number)
        return b"x" * MEGABYTE

    async with Proxy(redis_server.port) as proxy:
        worker = Worker({"job": job}, proxy.address, queue, grace_seconds=LONG_SECONDS)
        async with serving(worker):
            proxy.throttle(MEGABYTE)
            ids = [await client.enqueue_job(queue, "job", number) for number in range(3)]
            await eventually(lambda: len(returned) == 3, "all have returned")
        infos = [await client.get_task(task_id) for task_id in ids]
    assert [info and (info.state, info.attempt) for info in infos] == [(State.SUCCEEDED, 1)] * 3
