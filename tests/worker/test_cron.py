"""Cron: every firing once, without a leader."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest
import redis

from identtqueue import Client, Cron, InvalidInput, Worker
from identtqueue.admin import Admin
from identtqueue.errors import NotSerializable
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.settings import RedisSettings
from support.redis_server import RedisServer
from support.serving import Serve, serving
from support.waiting import eventually


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
    """So that a fleet that was scaled to zero meanwhile is woken for it."""

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
    """The worker may touch its own queue only, and has the whole app's schedule."""
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


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"expression": "every day"}, "cron c: 'every day'"),
        ({"expression": "61 * * * *"}, r"cron c: '61 \* \* \* \*'"),
        ({"timezone": "Europe/Atlantis"}, "no timezone 'Europe/Atlantis'"),
        ({"name": "Nightly"}, "cron name 'Nightly' is not valid"),
        ({"queue": "No Name"}, "queue name 'No Name' is not valid"),
    ],
)
def test_bad_entries(settings: dict[str, str], why: str) -> None:
    good = {"name": "c", "function_name": "f", "expression": "* * * * *"}
    with pytest.raises(InvalidInput, match=why):
        Cron(**(good | settings))


async def test_an_entry_that_cannot_be_serialised(redis_server: RedisServer, queue: str) -> None:
    """It can never fire: the worker says so instead of starting."""

    async def tick(_ctx, _what): ...

    entry = Cron(name="c", function_name="tick", expression="* * * * *", args=(object(),))
    worker = Worker({"tick": tick}, redis_server.address, queue, cron=[entry])
    with pytest.raises(NotSerializable, match="arguments of 'tick' can't be serialised"):
        await worker.serve()
