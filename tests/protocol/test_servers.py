"""Servers that are full, too old, locked, read-only, forgetful or not there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from identtqueue.admin import Admin
from identtqueue.client import Client
from identtqueue.client.sync import SyncClient
from identtqueue.errors import (
    RedisAuthFailed,
    RedisError,
    RedisTooOld,
    RedisUnavailable,
)
from identtqueue.protocol import scripts
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import (
    claiming,
    enqueueing,
    inspecting,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber
from identtqueue.worker.worker import Worker
from protocol.bench import Bench
from protocol.servers import check_full_server, fill, old_redis
from testing.redis_server import RedisServer, free_port
from testing.serving import serving

NewServer = Callable[..., RedisServer]


async def error_of(settings: RedisSettings, how: str) -> RedisError:
    """Return the result of a first call, by either transport."""
    if how == "blocking":
        blocking = blocking_redis(settings, client_name="tests", retry_for_seconds=0)
        with pytest.raises(RedisError) as caught:
            blocking.run(inspecting.depth("q"))
        blocking.close()
        return caught.value
    asyncio_ = async_redis(settings, client_name="tests", retry_for_seconds=0)
    with pytest.raises(RedisError) as caught:
        await (asyncio_.connect() if how == "connect" else asyncio_.run(inspecting.depth("q")))
    await asyncio_.close()
    return caught.value


each_way = pytest.mark.parametrize("how", ["blocking", "asyncio", "connect"])


# --- full ---


def test_a_full_server_takes_no_task_but_can_be_drained(
    new_redis_server: NewServer, queue: str
) -> None:
    bench = Bench(new_redis_server(), queue)
    check_full_server(bench)
    bench.close()


def test_a_full_server_can_load_the_scripts(new_redis_server: NewServer, queue: str) -> None:
    """It restarted, or somebody flushed them; a worker must be able to go on."""
    bench = Bench(new_redis_server(), queue)
    (attempt,) = bench.running("w", "a")
    fill(bench.raw)
    bench.raw.script_flush()
    done = [(attempt.task_id, attempt.number, b"\xc0")]
    assert bench.run(reporting.finish(bench.queue, "w", done)) == [Ack.OK]
    bench.close()


# --- one that evicts ---


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "noeviction"])
async def test_a_policy_that_deletes_tasks_is_warned_of_once(
    new_redis_server: NewServer, policy: str, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By whatever connects, with the rights of its role only; again after a restart."""
    server = new_redis_server(options=("--maxmemory-policy", policy))

    def warnings() -> list[str]:
        return [r.getMessage() for r in caplog.records if "maxmemory-policy" in r.getMessage()]

    async def connect_all() -> None:
        with server.client() as raw:
            for role in Role:
                raw.execute_command("ACL", "SETUSER", role.value, "on", ">pw", *rules(role))
        for role in Role:
            settings = RedisSettings(address=f"redis://{role.value}:pw@127.0.0.1:{server.port}")
            async with Client(settings), Admin(settings) as admin:
                await admin.server()
        worker = Worker({"job": print}, RedisSettings(address=server.address), queue)
        async with serving(worker):
            pass
        with SyncClient(settings) as client:
            await asyncio.to_thread(client.connect)

    await connect_all()
    expected = 0 if policy == "noeviction" else 1
    assert len(warnings()) == expected
    if expected:
        assert f" at 127.0.0.1:{server.port} has maxmemory-policy {policy}" in warnings()[0]
        assert "docs/redis.md" in warnings()[0]
    server.stop()
    server.start()
    with SyncClient(server.address) as client:
        await asyncio.to_thread(client.connect)
    assert len(warnings()) == 2 * expected


# --- too old ---


@pytest.fixture(scope="session")
def old_server() -> Iterator[RedisServer]:
    server = RedisServer(executable=old_redis()).start()
    yield server
    server.destroy()


@pytest.mark.slow
@each_way
async def test_a_server_that_is_too_old(old_server: RedisServer, how: str) -> None:
    error = await error_of(RedisSettings(address=old_server.address), how)
    assert type(error) is RedisTooOld
    assert str(error) == (
        "this Redis is version 5.0.6, idenTTqueue needs 6.2 or newer: "
        "upgrade the server or point redis_address at another one"
    )


# --- locked ---


@pytest.fixture(scope="module")
def locked_server() -> Iterator[RedisServer]:
    reader = ("--user", "reader", "on", ">sesame", "~*", "+@read", "+info", "+hello", "+client")
    server = RedisServer(options=(*reader, "--requirepass", "open")).start()
    yield server
    server.destroy()


@each_way
@pytest.mark.parametrize(
    "credentials",
    [{}, {"password": "wrong"}, {"username": "nobody", "password": "open"}],
    ids=["none", "wrong password", "unknown user"],
)
async def test_a_wrong_login(
    locked_server: RedisServer, how: str, credentials: dict[str, str]
) -> None:
    settings = RedisSettings(address=locked_server.address, **credentials)
    error = await error_of(settings, how)
    assert type(error) is RedisAuthFailed
    assert "Check user name, password and ACL" in str(error)
    assert "wrong" not in str(error).replace("WRONGPASS", "")


@pytest.mark.parametrize("how", ["blocking", "asyncio"])
async def test_a_user_that_may_not_run_scripts(locked_server: RedisServer, how: str) -> None:
    settings = RedisSettings(address=locked_server.address, username="reader", password="sesame")
    assert type(await error_of(settings, how)) is RedisAuthFailed


def test_the_right_password(locked_server: RedisServer, queue: str) -> None:
    settings = RedisSettings(address=locked_server.address, password="open")
    redis = blocking_redis(settings, client_name="tests", retry_for_seconds=0)
    assert redis.run(inspecting.depth(queue)).queued == 0
    redis.close()


# --- not there ---


@each_way
async def test_nobody_listens(how: str) -> None:
    settings = RedisSettings(address=f"redis://127.0.0.1:{free_port()}")
    error = await error_of(settings, how)
    assert type(error) is RedisUnavailable
    assert str(error).startswith("Redis can't be reached: ")


@each_way
async def test_a_name_that_does_not_resolve(how: str) -> None:
    error = await error_of(RedisSettings(address="redis://no-such-host.invalid"), how)
    assert type(error) is RedisUnavailable


# --- read-only (a failover is under way) ---


@pytest.mark.parametrize("how", ["blocking", "asyncio"])
async def test_a_replica_counts_as_unavailable(
    new_redis_server: NewServer, queue: str, how: str
) -> None:
    server = new_redis_server()
    settings = RedisSettings(address=server.address)
    call = enqueueing.enqueue(queue, [NewTask(f"{queue}:a", b"", "job")])
    with server.client() as raw:
        raw.replicaof("127.0.0.1", str(free_port()))
        if how == "blocking":
            blocking = blocking_redis(settings, client_name="tests", retry_for_seconds=0)
            with pytest.raises(RedisUnavailable):
                blocking.run(call)
            blocking.close()
        else:
            asyncio_ = async_redis(settings, client_name="tests", retry_for_seconds=0)
            with pytest.raises(RedisUnavailable):
                await asyncio_.run(call)
            await asyncio_.close()


async def test_a_call_outlasts_a_failover(new_redis_server: NewServer, queue: str) -> None:
    """The replica becomes the master while the call is being retried: also one like `claim`."""
    server = new_redis_server()
    with server.client() as raw:
        raw.replicaof("127.0.0.1", str(free_port()))
        pauses: list[float] = []

        def promote_the_replica(seconds: float) -> None:
            pauses.append(seconds)
            raw.replicaof("NO", "ONE")

        redis = blocking_redis(
            RedisSettings(address=server.address),
            client_name="tests",
            retry_for_seconds=60,
            pause=promote_the_replica,
        )
        redis.run(enqueueing.enqueue(queue, [NewTask(f"{queue}:a", b"", "job")]))
        redis.close()
    assert len(pauses) == 1


# --- forgetful ---


@pytest.mark.parametrize("name", scripts.names())
def test_each_script_is_loaded_again(bench: Bench, name: str) -> None:
    bench.raw.script_flush()
    assert not any(bench.raw.script_exists(scripts.script(name).sha))
    keys = tuple(f"{bench.queue}:{i}" for i in range(scripts.script(name).key_count))
    call = Call(name, keys, ("0",) * 9, parse=lambda reply: reply)
    with contextlib.suppress(RedisError):  # nothing of this makes sense to some of them
        bench.redis.run(call)
    assert all(bench.raw.script_exists(scripts.script(name).sha))


async def test_a_flush_in_the_middle_of_traffic(
    calls: AsyncRedis, bench: Bench, queue: str
) -> None:
    batch = [inspecting.depth(queue), scheduling.promote(queue), claiming.wake(queue)]
    for _ in range(3):
        bench.raw.script_flush()
        await calls.run_all(batch)
        bench.raw.script_flush()
        bench.redis.run_all(batch)
    bench.raw.script_flush()
    mixed = [
        one_task.task_info(f"{queue}:a"),
        inspecting.depth(queue),
        one_task.task_info(f"{queue}:b"),
    ]
    replies = await calls.run_all(mixed)
    assert replies[0] is replies[2] is None
    assert replies[1].queued == 0


# --- pub/sub knows the same troubles, and outlasts them ---


async def test_a_subscriber_does_not_give_up(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    server.stop()
    heard = []
    subscriber = Subscriber(
        RedisSettings(address=server.address),
        client_name="tests",
        on_message=lambda channel, data: heard.append((channel, data)),
    )
    subscriber.start()
    server.start()
    await subscriber.add("channel")
    await subscriber.close()
