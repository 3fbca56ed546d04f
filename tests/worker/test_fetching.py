"""Fetching: a worker claims no more tasks than it has free slots, from all its queues in turn."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
import redis

from identtqueue import Client, InvalidInput, Job, State, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.protocol.calls import leasing, reporting
from identtqueue.protocol.submission import Submission
from identtqueue.task import Attempt
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.transport.settings import RedisSettings
from identtqueue.worker.draining import Draining
from identtqueue.worker.fetch import Fetcher
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.order import LOOK_ABOVE_SECONDS, FairOrder
from identtqueue.worker.shelves import Shelves
from identtqueue.worker.slots import Slots
from testing.invariants import check_invariants
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import eventually


async def test_concurrency_is_never_exceeded_and_llen_is_the_truth(
    client: Client, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    running, most = 0, 0
    go = asyncio.Event()

    async def job(_ctx):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    receipts = await client.submit_many(Submission(queue, "job") for _ in range(40))
    await serve({"job": job}, concurrency=3)
    await eventually(lambda: running == 3, "the slots are taken")
    assert raw.llen(f"idtq:{{{queue}}}:pending") == 37, "nothing is fetched ahead"
    assert await client.queue_length(queue) == 37
    check_invariants(raw, queue)
    go.set()
    await client.wait_many([r.task_id for r in receipts], 60)
    assert most == 3


async def test_two_claims_at_once_ask_for_no_more_than_there_are_slots(
    client: Client, calls: AsyncRedis, redis_server: RedisServer, queue: str
) -> None:
    """The fetch loop and upkeep (because of a shelf) claim at once, and the replies are slow."""
    await calls.run(leasing.register(queue, "w", 60_000, {}))
    await client.submit_many(Submission(queue, "job") for _ in range(9))
    started: dict[str, Attempt] = {}
    slots = Slots(3, started)
    async with Proxy(redis_server.port) as proxy:
        redis = async_redis(
            RedisSettings(address=proxy.address), client_name="w", retry_for_seconds=30
        )
        fetcher = Fetcher(
            redis,
            "w",
            [queue],
            order=FairOrder([queue], {}),
            slots=slots,
            obstacles=Obstacles(),
            owned=started.keys(),
            shelves=Shelves(lambda *_: True),
            start=lambda attempt: started.update({attempt.task_id: attempt}),
            outage=Outage(),
            draining=Draining(),
            on_refused=lambda claim: pytest.fail(f"refused: {claim}"),
            on_claim=lambda _queue, _seconds: None,
        )
        proxy.hold()
        loop = asyncio.create_task(fetcher.run())
        await eventually(lambda: proxy.accepted, "the loop asks")
        upkeep = asyncio.create_task(fetcher.look_at_shelves(queue))
        await asyncio.sleep(0)  # so that it asks too
        proxy.release()
        await upkeep
        await eventually(lambda: len(started) == 3, "the slots are taken")
        assert slots.free == 0
        for _ in range(2):
            ended = started.popitem()[1]
            await calls.run(reporting.finish(queue, "w", [(ended.task_id, ended.number, b"\xc0")]))
            slots.freed()
        await eventually(lambda: len(started) == 3, "freed slots are filled")
        assert slots.free == 0
        assert not loop.done()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await redis.close()


async def test_first_in_first_out(client: Client, serve: Serve, queue: str) -> None:
    order = []

    async def job(_ctx, n):
        order.append(n)

    receipts = await client.submit_many(Submission(queue, "job", (n,)) for n in range(30))
    await serve({"job": job}, concurrency=1)
    await client.wait_many([r.task_id for r in receipts], 60)
    assert order == list(range(30))


async def test_a_full_queue_does_not_starve_the_others(
    client: Client, serve: Serve, queue: str
) -> None:
    """Although one queue never runs empty, a task of another queue gets its turn."""
    busy, rare, quiet = f"{queue}-busy", f"{queue}-rare", f"{queue}-quiet"
    stop = asyncio.Event()

    async def refill(ctx):
        if not stop.is_set():
            await client.enqueue_job(busy, "refill")

    async def job(_ctx):
        return "had its turn"

    await serve({"refill": refill, "job": job}, queue_names=[busy, quiet, rare], concurrency=2)
    for _ in range(6):
        await client.enqueue_job(busy, "refill")
    for _ in range(5):
        task_id = await client.enqueue_job(rare, "job")
        assert await client.wait_for_result(task_id, 30) == "had its turn"
    assert await client.queue_length(busy) > 0
    stop.set()
    await eventually(lambda: _empty(client, busy), "the busy queue runs dry")


async def _empty(client: Client, queue: str) -> bool:
    return await client.queue_length(queue) == 0


async def test_two_full_queues_share_a_worker(client: Client, serve: Serve, queue: str) -> None:
    order = []

    async def job(ctx):
        order.append(ctx.queue)

    queues = [f"{queue}-{n}" for n in range(3)]
    submissions = [Submission(q, "job") for q in queues for _ in range(30)]
    receipts = await client.submit_many(submissions)
    await serve({"job": job}, queue_names=queues, concurrency=1)
    await client.wait_many([r.task_id for r in receipts], 60)
    for start in range(0, 90, 9):
        counts = Counter(order[start : start + 9])
        assert set(counts.values()) == {3}, "one of each in turn"


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_shares_are_of_tasks_started(
    client: Client, raw: redis.Redis, serve: Serve, queue: str, concurrency: int
) -> None:
    """Shares are 3:1 for any number of slots while both queues have tasks. Then one gets all."""
    started: list[str] = []

    async def job(ctx):
        started.append(ctx.queue)

    heavy, light = f"{queue}-heavy", f"{queue}-light"
    submissions = [Submission(q, "job") for q in (heavy, light) for _ in range(120)]
    receipts = await client.submit_many(submissions)
    await serve(
        {"job": job},
        queue_names=[light, heavy],
        queue_weights={heavy: 3},
        concurrency=concurrency,
    )
    await client.wait_many([r.task_id for r in receipts], 60)
    shared = Counter(started[:160])
    assert abs(shared[heavy] - 120) <= concurrency
    assert abs(shared[light] - 40) <= concurrency
    assert Counter(started) == {heavy: 120, light: 120}
    for name in (heavy, light):
        check_invariants(raw, name)


@pytest.mark.slow
async def test_sixteen_queues_each_get_their_share(
    client: Client, serve: Serve, queue: str
) -> None:
    started: list[str] = []

    async def job(ctx):
        started.append(ctx.queue)

    queues = [f"{queue}-{n}" for n in range(16)]
    receipts = await client.submit_many(Submission(q, "job") for q in queues for _ in range(40))
    await serve({"job": job}, queue_names=queues, concurrency=8)
    await client.wait_many([r.task_id for r in receipts], 60)
    half = Counter(started[:320])
    assert max(half.values()) - min(half.values()) <= 8
    assert len(started) == 640


async def test_strict_order(client: Client, serve: Serve, queue: str) -> None:
    """No task of a queue starts while a higher queue has tasks, even if they are enqueued later.

    Each job takes longer than LOOK_ABOVE_SECONDS, so the worker always looks at the higher queues.
    """
    order: list[str] = []
    high, middle, low = (f"{queue}-{name}" for name in ("high", "middle", "low"))
    late: list[str] = []

    async def job(ctx):
        order.append(ctx.queue)
        if order.count(low) == 2 and not late:
            late.append(await client.enqueue_job(high, "job"))
        await asyncio.sleep(2 * LOOK_ABOVE_SECONDS)

    submissions = [Submission(q, "job") for q in (low, high, middle) for _ in range(4)]
    receipts = await client.submit_many(submissions)
    await serve({"job": job}, queue_names=[high, middle, low], queue_order="strict", concurrency=1)
    await client.wait_many([r.task_id for r in receipts], 60)
    assert order == [*[high] * 4, *[middle] * 4, low, low, high, low, low]


async def test_an_idle_worker_is_woken_at_once(client: Client, serve: Serve, queue: str) -> None:
    """Ten tasks one after the other take far less than one block of the fetcher."""

    async def job(_ctx):
        return 1

    await serve({"job": job})
    first = await client.enqueue_job(queue, "job")
    await client.wait_for_result(first, 30)
    began = time.monotonic()
    for _ in range(10):
        task_id = await client.enqueue_job(queue, "job")
        await client.wait_for_result(task_id, 30)
    assert time.monotonic() - began < 5


async def test_a_delayed_task_is_not_late(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx):
        return 1

    await serve({"job": job})
    for delay in (0.2, 0.05):  # the second comes first, and shortens the block
        options = TaskOptions(delay_seconds=delay)
        task_id = await client.enqueue_job(queue, "job", task_options=options)
        await client.wait_for_result(task_id, 30)
        info = await client.get_task(task_id)
        late = info.started_at_ms - info.enqueued_at_ms - round(delay * 1000)
        assert 0 <= late < 2500, "a block of the fetcher would be 5 s"


async def test_one_of_many_idle_workers_looks_when_a_task_becomes_due(
    client: Client, serve: Serve, queue: str
) -> None:
    async def job(_ctx):
        pass

    workers = [await serve({"job": job}) for _ in range(10)]
    options = [TaskOptions(delay_seconds=1 + number / 20) for number in range(10)]
    receipts = await client.submit_many(
        Submission(queue, "job", options=option) for option in options
    )
    await client.wait_many([receipt.task_id for receipt in receipts], 30)
    claims = sum(sum(worker.counters.claimed[queue].counts) for worker in workers)
    # Each worker claims once at its start. An alarm wakes one worker, or makes it wake another.
    assert claims <= 2 * (len(receipts) + len(workers)), "all of them would be 100 and more"


async def test_a_busy_worker_has_another_one_claim_what_becomes_due(
    client: Client, serve: Serve, raw: redis.Redis, queue: str
) -> None:
    """The first worker gets the alarm, and then a task that takes its only slot."""
    go = asyncio.Event()

    async def job(_ctx):
        await go.wait()

    await serve({"job": job}, concurrency=1)
    options = TaskOptions(delay_seconds=1)
    due = await client.enqueue_job(queue, "job", task_options=options)
    await eventually(lambda: raw.exists(f"idtq:{{{queue}}}:alarm"), "it has the alarm")
    first = await client.enqueue_job(queue, "job")
    await eventually(lambda: _is(client, first, State.RUNNING), "its slot is taken")
    await serve({"job": job}, concurrency=1)
    await eventually(lambda: _is(client, due, State.RUNNING), "the other one runs it")
    go.set()
    await client.wait_many([first, due], 30)


async def test_a_worker_that_stops_passes_its_alarm_on(
    client: Client, raw: redis.Redis, redis_server: RedisServer, serve: Serve, queue: str
) -> None:
    async def job(_ctx):
        pass

    leaver = Worker({"job": job}, redis_server.address, queue)
    serving = asyncio.create_task(leaver.serve())
    options = TaskOptions(delay_seconds=3600)
    task_id = await client.enqueue_job(queue, "job", task_options=options)
    alarm = f"idtq:{{{queue}}}:alarm"
    await eventually(lambda: raw.exists(alarm), "it has the alarm")
    await client.wait_for_result(await client.enqueue_job(queue, "job"))  # so it knows of it
    leaver.stop()
    await serving
    assert not raw.exists(alarm)
    await serve({"job": job})
    await eventually(lambda: raw.exists(alarm), "the next one has it")
    await client.cancel(task_id)


@pytest.mark.slow
async def test_due_tasks_are_promoted_while_all_slots_are_taken(
    client: Client, serve: Serve, queue: str
) -> None:
    """So an autoscaler that reads the length of the list knows of them."""
    go = asyncio.Event()

    async def job(_ctx):
        await go.wait()

    await serve({"job": job}, concurrency=1)
    first = await client.enqueue_job(queue, "job")
    await eventually(lambda: _is(client, first, State.RUNNING), "the slot is taken")
    due = await client.enqueue_job(queue, "job", task_options=TaskOptions(delay_seconds=0.1))
    await eventually(lambda: _is(client, due, State.PENDING), "the due task is promoted")
    go.set()
    await client.wait_many([first, due], 30)


async def _is(client: Client, task_id: str, state: State) -> bool:
    return await client.get_status(task_id) is state


async def test_two_workers_share_a_queue(client: Client, serve: Serve, queue: str) -> None:
    seen: Counter[str] = Counter()
    gate = asyncio.Event()

    def job_of(name):
        async def job(_ctx):
            seen[name] += 1
            await gate.wait()

        return job

    for name in ("one", "two"):
        await serve({"job": job_of(name)}, concurrency=2)
    receipts = await client.submit_many(Submission(queue, "job") for _ in range(4))
    await eventually(lambda: sum(seen.values()) == 4, "all four run")
    assert seen == {"one": 2, "two": 2}, "the token is passed on while tasks are left"
    gate.set()
    await client.wait_many([r.task_id for r in receipts], 30)


async def test_pause_and_resume(
    client: Client, redis_server: RedisServer, raw: redis.Redis, serve: Serve, queue: str
) -> None:
    async def job(_ctx):
        return 1

    worker = await serve({"job": job})
    await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    async with Admin(redis_server.address) as admin:
        assert await admin.pause(queue) is True
        assert await admin.pause(queue) is False
        task_id = await client.enqueue_job(queue, "job")
        other = f"{queue}-other"
        assert (await admin.depths([queue, other]))[queue].paused is True
        # The worker has taken the wake token, but no task.
        await eventually(lambda: not raw.exists(f"idtq:{{{queue}}}:wake"), "it was woken")
        assert await client.get_status(task_id) is State.PENDING
        assert await admin.resume(queue) is True
        assert await admin.resume(queue) is False
        assert await client.wait_for_result(task_id, 30) == 1
    assert worker.gauges.running == 0


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "give either queue_name or queue_names"),
        ({"queue_name": "a", "queue_names": ["b"]}, "give either queue_name or queue_names"),
        ({"queue_names": []}, "a worker needs a queue"),
        ({"queue_names": "default"}, r"give a list: queue_names=\['default'\]"),
        ({"queue_names": ["a", "b", "a"]}, "a queue is named twice: a, b, a"),
        ({"queue_name": "No Name"}, "queue name 'No Name' is not valid"),
        ({"queue_name": "a", "concurrency": 0}, "concurrency=0: must be 1 or more"),
        ({"queue_name": "a", "lease_seconds": 4}, "lease_seconds=4: must be 5 or more"),
        ({"queue_name": "a", "grace_seconds": -1}, "grace_seconds=-1: must be 0 or more"),
        ({"queue_name": "a", "max_deliveries": 0}, "max_deliveries=0: must be 1 or more"),
        ({"queue_name": "a", "timeout_seconds": 0}, "timeout_seconds=0: must be a number"),
        ({"queue_name": "a", "timeout_seconds": float("nan")}, "timeout_seconds=nan"),
        ({"queue_name": "a", "lease_seconds": float("nan")}, "lease_seconds=nan"),
        ({"queue_name": "a", "concurrency": "8"}, "concurrency='8': must be 1 or more, a whole"),
        ({"queue_name": "a", "concurrency": 2.5}, "concurrency=2.5: must be 1 or more, a whole"),
        ({"queue_name": "a", "max_deliveries": None}, "max_deliveries=None: must be 1"),
        ({"queue_name": "a", "max_tasks_per_process": 0}, "max_tasks_per_process=0: must be 1"),
        ({"queue_name": "a", "max_payload_bytes": "1M"}, "max_payload_bytes='1M': must be 1"),
        ({"queue_name": "a", "lease_seconds": "15"}, "lease_seconds='15': must be 5 or more"),
        ({"queue_name": "a", "lease_seconds": 1e10}, "lease_seconds=1.*at most 100 years"),
        ({"queue_name": "a", "grace_seconds": "25"}, "grace_seconds='25': must be 0 or more"),
        ({"queue_name": "a", "timeout_seconds": "60"}, "timeout_seconds='60': must be a number"),
        (
            {"queue_name": "a", "max_retries": "3"},
            "max_retries='3': must be a whole number, 0 or more",
        ),
        ({"queue_name": "a", "http_port": 70_000}, "http_port=70000: must be 0 to 65535"),
        ({"queue_name": "a", "http_port": -1}, "http_port=-1: must be 0 to 65535"),
        ({"queue_name": "a", "http_port": "8080"}, "http_port='8080': must be 0 to 65535"),
        (
            {"queue_name": "a", "max_retries": -1},
            "max_retries=-1: must be a whole number, 0 or more",
        ),
        ({"queue_name": "a", "queue_order": "random"}, "'random': must be 'fair' or 'strict'"),
        ({"queue_name": "a", "queue_weights": {"b": 2}}, "names 'b', which is not among the"),
        ({"queue_name": "a", "queue_weights": {"a": 0}}, "'a' is 0: must be a whole number"),
        ({"queue_name": "a", "queue_weights": {"a": 1001}}, "'a' is 1001: must be a whole"),
        ({"queue_name": "a", "queue_weights": {"a": 1.5}}, "'a' is 1.5: must be a whole"),
        ({"queue_name": "a", "queue_weights": {"a": True}}, "'a' is True: must be a whole"),
        (
            {"queue_name": "a", "queue_weights": {"a": 2}, "queue_order": "strict"},
            "have no meaning in strict order",
        ),
    ],
)
def test_bad_settings(settings: dict[str, object], why: str) -> None:
    async def job(_ctx): ...

    with pytest.raises(InvalidInput, match=why):
        Worker({"job": job}, "redis://nowhere", **settings)


def test_bad_jobs() -> None:
    with pytest.raises(InvalidInput, match="job 'job' is not callable"):
        Worker({"job": 5}, "redis://nowhere", "q")

    async def read(_ctx): ...

    with pytest.raises(InvalidInput, match=r"jobs: <function .*read .* is not a Job: give names"):
        Worker([read], "redis://nowhere", "q")
    with pytest.raises(InvalidInput, match="job read: timeout_seconds='60': must be a number"):
        Job(name="read", function=read, timeout_seconds="60")
