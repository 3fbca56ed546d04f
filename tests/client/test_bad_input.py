"""Bad input at the caller gives a clear error, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import redis

from identtqueue import Client, InvalidInput, RedisSettings
from identtqueue.admin import Admin
from identtqueue.errors import (
    InvalidQueueName,
    InvalidTaskId,
    NotSerializable,
    PayloadTooLarge,
    ProtocolMismatch,
    RedisAuthFailed,
    RedisFull,
)
from identtqueue.protocol.submission import Submission
from testing.redis_server import RedisServer


def nothing_of(raw: redis.Redis, queue: str) -> bool:
    return not list(raw.scan_iter(match=f"*{queue}*", count=1000))


@pytest.mark.parametrize("name", ["", "Q", "a b", "a/b", "{a}", "x" * 64, "ä", None, 7, b"q"])
async def test_queue_names(client: Client, name: object) -> None:
    with pytest.raises(InvalidQueueName, match="use 1 to 63 of a-z, 0-9"):
        await client.enqueue_job(name, "echo")


@pytest.mark.parametrize("name", ["q", "0", "a.b_c-d", "x" * 63])
async def test_good_queue_names(raw: redis.Redis, client: Client, name: str) -> None:
    task_id = await client.enqueue_job(name, "echo")
    raw.delete(*raw.scan_iter(match=f"idtq:{{{name}}}:*"))
    assert task_id.startswith(name)


@pytest.mark.parametrize("name", ["", None, 7, "x" * 256])
async def test_function_names(client: Client, raw: redis.Redis, queue: str, name: object) -> None:
    with pytest.raises(InvalidInput, match=r"function_name .* is not valid"):
        await client.enqueue_job(queue, name)
    assert nothing_of(raw, queue)


@pytest.mark.parametrize("task_id", ["", "noqueue", "Q:1", "q:", "q:a\nb", None, 7])
async def test_task_ids(client: Client, task_id: object) -> None:
    for call in (
        client.wait_for_result,
        client.get_result,
        client.get_status,
        client.cancel,
    ):
        with pytest.raises(InvalidTaskId, match="is not valid"):
            await call(task_id)


class Opaque:
    pass


def endless() -> list[object]:
    inner: list[object] = []
    inner.append(inner)
    return inner


UNSERIALISABLE = {
    "object": Opaque(),
    "function": print,
    "huge number": 2**70,
    "lone surrogate": "\ud800",
    "endless": endless(),
    "inside": {"list": [1, Opaque()]},
}


@pytest.mark.parametrize("value", UNSERIALISABLE.values(), ids=UNSERIALISABLE.keys())
async def test_arguments_that_cannot_be_serialised(
    client: Client, raw: redis.Redis, queue: str, value: object
) -> None:
    with pytest.raises(NotSerializable, match="arguments of 'echo' can't be serialised"):
        await client.enqueue_job(queue, "echo", value)
    with pytest.raises(NotSerializable):
        await client.enqueue_job(queue, "echo", named=value)
    with pytest.raises(NotSerializable):  # one bad one among good ones: none is written
        await client.submit_many([Submission(queue, "echo", (n,)) for n in (1, value, 3)])
    assert nothing_of(raw, queue)


async def test_oversize_payload(redis_server: RedisServer, raw: redis.Redis, queue: str) -> None:
    async with Client(redis_server.address, max_payload_bytes=1000) as client:
        await client.enqueue_job(queue + "-ok", "echo", "x" * 900)
        with pytest.raises(PayloadTooLarge, match=r"takes 1,\d+ bytes, the limit is 1,000"):
            await client.enqueue_job(queue, "echo", "x" * 1000)
    assert not raw.exists(f"idtq:{{{queue}}}:pending")


async def test_the_default_limit_is_one_mebibyte(client: Client, queue: str) -> None:
    assert await client.enqueue_job(queue, "echo", "x" * (1024 * 1024 - 100))
    with pytest.raises(PayloadTooLarge, match="the limit is 1,048,576"):
        await client.enqueue_job(queue, "echo", "x" * (1024 * 1024))


@pytest.mark.parametrize("address", ["http://x", "redis://host:port", "ftp://h", "redis://h:99999"])
async def test_bad_addresses(address: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(address)):
        Client(address)


def test_credentials_stay_out_of_sight() -> None:
    settings = RedisSettings(address="redis://user:secret@host/1", password="hidden")
    assert "secret" not in repr(settings)
    assert "hidden" not in repr(settings)
    with pytest.raises(InvalidInput) as caught:
        RedisSettings(address="redis://user:secret@host:port")
    assert "secret" not in str(caught.value)


async def test_wrong_password(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    for settings in (
        RedisSettings(address=server.address),
        RedisSettings(address=server.address, password="wrong"),
    ):
        with pytest.raises(RedisAuthFailed, match="Check user name, password and ACL"):
            await Client(settings).connect()
    async with Client(RedisSettings(address=server.address, password="right")) as client:
        assert await client.enqueue_job("q", "echo")


async def test_full_redis(new_redis_server: Callable[..., RedisServer]) -> None:
    server = new_redis_server(options=("--maxmemory", "1mb", "--maxmemory-policy", "noeviction"))
    async with Client(server.address) as client:
        with server.client() as raw:
            raw.config_set("maxmemory", 1)
            with pytest.raises(RedisFull, match="nothing was written"):
                await client.enqueue_job("q", "echo")
            raw.config_set("maxmemory", 0)
            assert not raw.exists("idtq:{q}:pending")
        assert await client.enqueue_job("q", "echo")


async def test_another_protocol_version(client: Client, raw: redis.Redis, queue: str) -> None:
    raw.hset(f"idtq:{{{queue}}}:meta", "protocol", "9")
    with pytest.raises(ProtocolMismatch, match="uses protocol version 9, this library speaks 2"):
        await client.enqueue_job(queue, "echo")
    assert not raw.exists(f"idtq:{{{queue}}}:pending")


@pytest.mark.parametrize("settings", [{"limit": 0}, {"limit": -1}, {"offset": -1}])
async def test_a_range_of_dead_letters(
    redis_server: RedisServer, queue: str, settings: dict[str, int]
) -> None:
    """Redis would count negative numbers from the end."""
    async with Admin(redis_server.address) as admin:
        with pytest.raises(InvalidInput, match=r"offset=.*, limit=.*: offset must be 0 or more"):
            await anext(admin.dead_letters(queue, **settings))
