"""The audit list: who did what, how often, and what is not an act."""

from __future__ import annotations

import getpass
import socket

import pytest
import redis

from identtqueue import Client, InvalidInput
from identtqueue.admin import Admin
from identtqueue.protocol.keys import queue_keys
from testing.redis_server import RedisServer


async def test_each_act_is_recorded_once_with_its_actor(admin: Admin, queue: str) -> None:
    assert await admin.audit(queue) == []
    assert await admin.pause(queue)
    assert not await admin.pause(queue), "which was no change, and is not recorded"
    assert await admin.acting_as("grace").resume(queue)
    assert await admin.pause_job(queue, "report")
    newest, second, first = await admin.audit(queue)
    assert (first.who, first.act, first.what) == ("ada", "pause", "")
    assert (second.who, second.act) == ("grace", "resume")
    assert (newest.act, newest.what, newest.matched, newest.changed) == (
        *("pause_job", "report"),
        *(1, 1),
    )
    assert newest.at_ms >= second.at_ms >= first.at_ms > 1_600_000_000_000
    assert await admin.audit(queue, limit=1) == [newest]
    with pytest.raises(InvalidInput, match="limit"):
        await admin.audit(queue, limit=0)


async def test_who_acts_by_default_and_who_is_not_recorded(
    redis_server: RedisServer, queue: str
) -> None:
    async with Admin(redis_server.address) as admin:
        await admin.pause(queue)
        (entry,) = await admin.audit(queue)
        assert entry.who == f"{getpass.getuser()}@{socket.gethostname()}"
    async with Admin(redis_server.address, audited=False) as operator:
        assert await operator.resume(queue)
        assert await operator.audit(queue) == [entry]


@pytest.mark.parametrize("actor", ["", "x" * 201, "two\nlines", "esc\x1b[31m"])
def test_the_name_of_an_actor_is_one_line(actor: str) -> None:
    with pytest.raises(InvalidInput, match="actor"):
        Admin(actor=actor)
    with pytest.raises(InvalidInput, match="actor"):
        Admin().acting_as(actor)


async def test_the_list_is_bounded_and_so_are_its_words(
    admin: Admin, raw: redis.Redis, queue: str
) -> None:
    for _ in range(505):
        await admin.pause(queue)
        await admin.resume(queue)
    assert raw.llen(queue_keys(queue).audit) == 1_000
    assert len(await admin.audit(queue, limit=5_000)) == 1_000
    await admin.drain(queue, [f"worker-{i}" for i in range(1_000)])
    await admin.pause_job(queue, "ü" * 255)
    assert (await admin.audit(queue, limit=1))[0].what == "ü" * 255


async def test_a_client_that_cancels_is_no_administrator(
    admin: Admin, client: Client, queue: str
) -> None:
    await client.cancel(await client.enqueue_job(queue, "job"))
    assert await admin.audit(queue) == []
