"""Databases of one Redis share its channels; queues of the same name must not hear each other."""

from __future__ import annotations

import asyncio

import pytest

from identtqueue import Client
from identtqueue.admin import Admin
from identtqueue.protocol import codec, keys
from identtqueue.protocol.calls import claiming, leasing, reporting, scheduling
from identtqueue.task import TaskOptions
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from testing.redis_server import RedisServer
from testing.waiting import eventually

PAIRS = [(0, 1), (1, 0), (1, 11)]


def settings_of(server: RedisServer, database: int) -> RedisSettings:
    settings = RedisSettings(address=f"{server.address.rstrip('/')}/{database}")
    assert settings.database == database
    return settings


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
async def test_a_doorbell_is_heard_in_its_database_only(
    redis_server: RedisServer, queue: str, ours: int, theirs: int
) -> None:
    end = f"{queue}-end"
    async with (
        Client(settings_of(redis_server, ours)) as our_client,
        Client(settings_of(redis_server, theirs)) as their_client,
        Admin(settings_of(redis_server, ours)) as admin,
    ):
        heard: list[str] = []
        doorbell = admin.doorbell(heard.append)
        try:
            await doorbell.add(queue, end)
            await their_client.enqueue_job(queue, "job")
            await our_client.enqueue_job(end, "job")
            await eventually(lambda: end in heard)
            assert heard == [end]
            await our_client.enqueue_job(queue, "job")
            await eventually(lambda: queue in heard)
            await doorbell.remove(end)
            await our_client.enqueue_job(end, "job")
            await admin.ring(queue)
            await eventually(lambda: len(heard) >= 3)
            assert heard == [end, queue, queue]
        finally:
            await doorbell.close()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
async def test_a_watch_hears_the_task_of_its_database_only(
    redis_server: RedisServer, queue: str, ours: int, theirs: int
) -> None:
    """Both databases have a task with the same id, and the other one has got further."""
    options = TaskOptions(task_id="a")
    seen: list[object] = []
    task_id = f"{queue}:a"
    raw = redis_server.client()
    channel = keys.queue_keys(queue).progress_channel(task_id).in_database(ours)

    async def watch(client: Client) -> None:
        seen.extend([value async for value in client.watch(task_id, timeout_seconds=60)])

    async def run(redis: AsyncRedis, number: int, said: str) -> None:
        await redis.run(leasing.register(queue, "w", 60_000, {}))
        await redis.run(claiming.claim(queue, "w", 1))
        data = codec.encode_progress(said)
        await redis.run(reporting.progress("w", task_id, 1, number, data))

    redis = [
        async_redis(settings_of(redis_server, number), client_name="w", retry_for_seconds=0)
        for number in (ours, theirs)
    ]
    async with Client(redis[0].settings) as client, Client(redis[1].settings) as their_client:
        for each in (client, their_client):
            await each.enqueue_job(queue, "job", task_options=options)
        watching = asyncio.create_task(watch(client))
        await eventually(lambda: raw.pubsub_numsub(channel)[0][1] == 1)
        await run(redis[1], 9, "theirs")
        await run(redis[0], 1, "ours")
        await redis[0].run(reporting.finish(queue, "w", [(task_id, 1, b"\xc0")]))
        await watching
        assert seen == ["ours"]
    for each_redis in redis:
        await each_redis.close()
    raw.close()


def test_blocking_connections_use_the_channels_of_their_database(
    redis_server: RedisServer, queue: str
) -> None:
    doorbell = keys.queue_keys(queue).doorbell
    raw = redis_server.client()
    with raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(doorbell, doorbell.in_database(3))
        for _ in range(2):
            assert listener.get_message(timeout=5) is None  # the subscriptions themselves
        redis = blocking_redis(
            settings_of(redis_server, 3), client_name="tests", retry_for_seconds=0
        )
        redis.run(scheduling.ring(queue))
        redis.close()
        message = listener.get_message(timeout=5)
    raw.close()
    assert message["channel"].decode() == f"idtq:{{{queue}}}:db3:doorbell"


def test_names_of_channels(queue: str) -> None:
    """Database 0 uses the names of older versions, and each name leads back to its channel."""
    k = keys.queue_keys(queue)
    for channel in (k.doorbell, k.progress_channel(f"{queue}:a}}:db1:b")):
        assert channel.in_database(0) == channel
        for number in (0, 1, 15):
            assert keys.without_database(channel.in_database(number), number) == channel
    control = keys.control_channel("w")
    assert keys.in_database(control, 5) == control, "random already"
