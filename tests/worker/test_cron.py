"""Cron: each firing runs once, without a leader among the workers."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest
import redis

from identtqueue import App, Client, Cron, InvalidInput, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.errors import NotSerializable
from identtqueue.protocol.keys import queue_keys
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.settings import RedisSettings
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


@pytest.mark.slow
async def test_two_workers_fire_once(
    client: Client, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    """Six fields, the first of them seconds: every second, on one of the two workers."""
    fired: list[str] = []

    async def tick(ctx, word, *, times):
        fired.append(ctx.task_id)
        return word * times

    entry = Cron(
        name="tick",
        function_name="tick",
        expression="* * * * * *",
        args=("tick",),
        kwargs={"times": 2},
    )
    for _ in range(2):
        await serve({"tick": tick}, cron=[entry])
    await eventually(lambda: len(fired) >= 3, "it fires every second")
    assert len(set(fired)) == len(fired)
    async with Admin(redis_server.address) as admin:
        counters = (await admin.depths([queue]))[queue].counters
    assert counters.get("failed", 0) == 0
    assert await client.wait_for_result(fired[0], 30) == "ticktick"
    for task_id in fired:
        stamp = re.fullmatch(rf"{queue}:cron\.tick\.(\d{{8}}T\d{{6}}Z)", task_id)[1]
        due = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        info = await client.get_task(task_id)
        assert info.started_at_ms >= due.timestamp() * 1000, "not before its time"


async def test_the_next_firing_is_enqueued_ahead(
    client: Client, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    """So a fleet that is scaled to zero in the meantime is woken for it."""

    async def yearly(_ctx): ...

    entry = Cron(name="yearly", function_name="yearly", expression="0 12 24 12 *", timezone="CET")
    await serve({"yearly": yearly}, cron=[entry])
    async with Admin(redis_server.address) as admin:

        async def scheduled() -> bool:
            return (await admin.depths([queue]))[queue].scheduled == 1

        await eventually(scheduled, "the next firing is scheduled")
    now = datetime.now(UTC)
    year = now.year + (now > datetime(now.year, 12, 24, 11, tzinfo=UTC))
    assert await client.get_status(f"{queue}:cron.yearly.{year}1224T110000Z") == "scheduled"


async def test_an_entry_on_its_own_queue(client: Client, serve: Serve, queue: str) -> None:
    ran = asyncio.Queue()

    async def tick(ctx):
        ran.put_nowait(ctx.queue)

    other = f"{queue}-other"
    entry = Cron(name="tick", function_name="tick", expression="* * * * * *", queue=other)
    await serve({"tick": tick}, queue_names=[queue, other], cron=[entry])
    async with asyncio.timeout(30):
        assert await ran.get() == other


async def test_an_entry_that_is_refused_stops_no_other(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """The ACL allows the worker its own queue only, but it has the schedule of the whole app."""
    ran = asyncio.Event()

    async def tick(_ctx):
        ran.set()

    raw.execute_command("ACL", "SETUSER", queue, "on", ">sesame", *rules(Role.WORKER, [queue]))
    settings = RedisSettings(address=redis_server.address, username=queue, password="sesame")
    entries = [
        Cron(name="tick", function_name="tick", expression="* * * * * *", queue=name)
        for name in (f"{queue}-other", queue)
    ]
    async with serving(Worker({"tick": tick}, settings, queue, cron=entries)):
        async with asyncio.timeout(30):
            await ran.wait()
    raw.execute_command("ACL", "DELUSER", queue)


@pytest.mark.slow
async def test_options_reach_the_firings(redis_server: RedisServer, queue: str) -> None:
    """A unique key keeps firings from overlapping, and the timeout cuts off each of them."""
    async with App(redis_server.address, default_queue=queue) as app:

        @app.task
        async def slow(_ctx) -> None:
            await asyncio.Event().wait()

        options = {"unique_key": "slow", "timeout_seconds": 0.1, "result_ttl_seconds": 77}
        app.cron("* * * * * *", slow.options(**options))
        ended: asyncio.Queue[str] = asyncio.Queue()

        @app.after_task
        async def note(ctx, outcome) -> None:
            ended.put_nowait(outcome.failure.type)

        async with serving(app.worker()), asyncio.timeout(30):
            for _ in range(3):
                assert await ended.get() == "identtqueue.errors.TimedOut"
    with pytest.raises(InvalidInput, match="cron slow: delay_seconds means nothing here"):
        app.cron("* * * * *", slow.options(delay_seconds=5))


@pytest.mark.slow
async def test_a_new_release_is_the_one_that_fires(
    client: Client, serve: Serve, redis_server: RedisServer, queue: str
) -> None:
    """The new definition holds while old workers run, and after one of them has restarted."""
    ran: list[tuple[str, str]] = []

    async def report(ctx, to):
        ran.append((ctx.task_id, to))

    def release(to: str) -> list[Cron]:
        every = {"expression": "* * * * * *"} if to == "new" else {"expression": "0 0 0 1 1 *"}
        return [Cron(name="report", function_name="report", args=(to,), **every)]

    async with Admin(redis_server.address) as admin:

        async def scheduled() -> int:
            return (await admin.depths([queue]))[queue].scheduled

        await serve({"report": report}, cron=release("old"))
        await eventually(scheduled, "the old release has planned its firing")
        await serve({"report": report}, cron=release("new"))
        await eventually(lambda: len(ran) > 1, "the new one fires")
        await serve({"report": report}, cron=release("old"))
        before = len(ran)
        await eventually(lambda: len(ran) > before + 2, "and goes on")
    assert {to for _, to in ran} == {"new"}
    assert len({task_id for task_id, _ in ran}) == len(ran)
    year = datetime.now(UTC).year + 1
    assert await client.get_status(f"{queue}:cron.report.{year}0101T000000Z") is None


@pytest.mark.slow
async def test_a_firing_that_was_cancelled_is_not_planned_again(
    client: Client, serve: Serve, raw: redis.Redis, queue: str
) -> None:
    """No worker plans it again, even after its hash has expired."""

    async def yearly(_ctx): ...

    entry = Cron(name="yearly", function_name="yearly", expression="0 0 1 1 *")
    worker = await serve({"yearly": yearly}, cron=[entry])
    task_id = f"{queue}:cron.yearly.{datetime.now(UTC).year + 1}0101T000000Z"

    async def planned() -> bool:
        return await client.get_status(task_id) == "scheduled"

    await eventually(planned, "it is planned")
    assert await client.cancel(task_id)
    raw.delete(queue_keys(queue).task(task_id))
    worker.stop()
    await serve({"yearly": yearly}, cron=[entry])
    await eventually(lambda: raw.zcard(queue_keys(queue).workers) == 1, "another one works")
    seen = raw.hget(queue_keys(queue).cron, "yearly")
    await eventually(lambda: raw.hget(queue_keys(queue).cron, "yearly") != seen, "and keeps it")
    assert await client.get_status(task_id) is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"expression": "every day"}, "cron c: 'every day'"),
        ({"expression": "61 * * * *"}, r"cron c: '61 \* \* \* \*'"),
        ({"timezone": "Europe/Atlantis"}, "no timezone 'Europe/Atlantis'"),
        ({"timezone": None}, "timezone=None: must be text"),
        ({"options": {"max_retries": 1}}, "cron c: options="),
        ({"options": TaskOptions(task_id="x")}, "cron c: task_id means nothing here"),
        ({"name": "Nightly"}, "cron name 'Nightly' is not valid"),
        ({"queue": "No Name"}, "queue name 'No Name' is not valid"),
    ],
)
def test_bad_entries(settings: dict[str, str], why: str) -> None:
    good = {"name": "c", "function_name": "f", "expression": "* * * * *"}
    with pytest.raises(InvalidInput, match=why):
        Cron(**(good | settings))


async def test_an_entry_that_cannot_be_serialised(redis_server: RedisServer, queue: str) -> None:
    """It could never fire, so the worker raises an error instead of starting."""

    async def tick(_ctx, _what): ...

    entry = Cron(name="c", function_name="tick", expression="* * * * *", args=(object(),))
    worker = Worker({"tick": tick}, redis_server.address, queue, cron=[entry])
    with pytest.raises(NotSerializable, match="arguments of 'tick' can't be serialised"):
        await worker.serve()


@pytest.mark.slow
async def test_a_paused_schedule_stays_paused_through_a_restart(
    redis_server: RedisServer, queue: str
) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()

    async def tick(ctx):
        ran.put_nowait(ctx.task_id)

    def worker() -> Worker:
        entry = Cron(name="tick", function_name="tick", expression="* * * * * *", timezone="CET")
        return Worker({"tick": tick}, redis_server.address, queue, cron=[entry])

    async with Admin(redis_server.address) as admin, asyncio.timeout(60):

        async def declared_ms() -> int:
            (shown,) = await admin.cron(queue)
            return shown.declared_ms

        async with serving(worker()):
            fired = await ran.get()
            (shown,) = await admin.cron(queue)
            assert (shown.job, shown.expression, shown.zone) == ("tick", "* * * * * *", "CET")
            assert shown.next_ms > shown.last_ms > 0
            assert await admin.pause_cron(queue, "tick")
            assert not await admin.pause_cron(queue, "tick")
        async with serving(worker()):
            before = await declared_ms()

            async def has_asked() -> bool:
                return await declared_ms() > before

            await eventually(has_asked, "the new worker has declared it")
            while not ran.empty():  # those that were due at the moment of the pause
                ran.get_nowait()
            before = await declared_ms()
            await eventually(has_asked, "and again, seconds later")
            (shown,) = await admin.cron(queue)
            assert (shown.paused, shown.next_ms, ran.empty()) == (True, None, True)
            task_id = await admin.run_cron_now(queue, "tick")
            assert await ran.get() == task_id
            assert await admin.resume_cron(queue, "tick")
            assert (await ran.get()) > fired, "a later firing"
        acts = [entry.act for entry in await admin.audit(queue)]
        assert acts == ["resume_cron", "run_cron", "pause_cron"]


async def test_a_schedule_that_nobody_has_declared(redis_server: RedisServer, queue: str) -> None:
    async with Admin(redis_server.address) as admin:
        assert await admin.cron(queue) == []
        for act in (admin.pause_cron, admin.resume_cron, admin.run_cron_now):
            with pytest.raises(InvalidInput, match=f"queue {queue} has no schedule 'tick'"):
                await act(queue, "tick")
