"""Sentinels: finding the master, following a failover, and what can be wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from identtqueue import Client, SyncClient
from identtqueue.admin import Admin
from identtqueue.errors import (
    RedisAuthFailed,
    RedisTlsFailed,
    RedisTopologyMismatch,
    RedisUnavailable,
)
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import enqueueing
from identtqueue.protocol.roles import Role, rules
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber
from testing.accounts import balance
from testing.ledger import Ledger
from testing.processes import WorkerProcess
from testing.redis_server import RedisServer, free_port
from testing.sentinels import NAME, Sentinels
from testing.waiting import eventually
from topology.conftest import first_error

pytestmark = pytest.mark.slow


@pytest.fixture
def new_group() -> Iterator[Callable[..., Sentinels]]:
    made: list[Sentinels] = []

    def make(**settings: object) -> Sentinels:
        made.append(Sentinels(**settings))
        return made[-1].start()

    yield make
    for group in made:
        group.destroy()


@pytest.fixture(scope="module")
def quiet_group() -> Iterator[Sentinels]:
    """Start Sentinels for tests that move no master."""
    group = Sentinels(password="theirs")
    try:
        yield group.start()
    finally:
        group.destroy()


# --- failover ---


async def test_the_master_dies_under_load(
    new_group: Callable[..., Sentinels], queue: str, tmp_path: Path
) -> None:
    """Workers and clients continue at the new master, which has every replicated task."""
    group, ledger, gate = new_group(), Ledger(tmp_path / "ledger"), tmp_path / "gate"
    workers = [WorkerProcess(group.address, [queue], ledger, concurrency=4) for _ in range(2)]
    try:
        for worker in workers:
            await worker.started()
        async with Client(group.address, retry_for_seconds=60) as client:
            running = [await client.enqueue_job(queue, "journal", str(gate)) for _ in range(8)]
            await ledger.wait_for(lambda led: len(led.starts()) == 8, "eight run")
            waits = [asyncio.create_task(client.wait_for_result(t, 120)) for t in running]
            queued = [await client.enqueue_job(queue, "journal") for _ in range(50)]
            assert group.master.replicated(10_000) == 1, "all of it"

            group.master.kill()
            late = [await client.enqueue_job(queue, "journal") for _ in range(20)]
            with SyncClient(group.address, retry_for_seconds=60) as blocking:
                late.append(blocking.enqueue_job(queue, "journal"))
                gate.touch()
                assert blocking.wait_for_result(late[-1], 120) >= 1
            await asyncio.gather(*waits)
            async with Admin(group.address, retry_for_seconds=60) as admin:
                await balance(client, admin, queue, [*running, *queued, *late], seconds=120)
                assert (await admin.server()).uptime_seconds >= 0
        with group.replica.client() as raw:
            assert raw.role()[0] == b"master"
        for worker in workers:
            await worker.terminate()
    finally:
        for worker in workers:
            worker.destroy()


async def test_a_demoted_master_is_left(new_group: Callable[..., Sentinels], queue: str) -> None:
    """After a manual failover the old master is a replica, and no connection stays with it."""
    group = new_group()
    settings = RedisSettings(address=group.address)
    redis = async_redis(settings, client_name="tests", retry_for_seconds=60)
    blocking = SyncClient(settings, retry_for_seconds=60)
    heard: list[bytes] = []
    subscriber = Subscriber(
        settings, client_name="tests", on_message=lambda _, data: heard.append(data)
    )
    await subscriber.add("idtq:tests")
    await redis.run(enqueueing.enqueue(queue, [NewTask(f"{queue}:a", b"", "job")]))
    assert blocking.queue_length(queue) == 1
    with group.replica.client() as raw:
        await eventually(lambda: raw.exists(f"idtq:{{{queue}}}:pending"), "it is replicated")
    with group.master.client() as raw:
        raw.execute_command("FAILOVER", "TO", "127.0.0.1", str(group.replica.port))
        await eventually(lambda: raw.role()[0] == b"slave", "it is demoted")
    await redis.run(enqueueing.enqueue(queue, [NewTask(f"{queue}:b", b"", "job")]))
    assert blocking.enqueue_job(queue, "job")
    assert blocking.queue_length(queue) == 3
    with group.replica.client() as raw:
        assert raw.llen(f"idtq:{{{queue}}}:pending") == 3, "written at the new master"
    await subscriber.close()
    await redis.close()
    blocking.close()


async def test_a_dead_sentinel_is_passed_over(
    new_group: Callable[..., Sentinels], how: str, queue: str
) -> None:
    group = new_group()
    group.kill_sentinel(0)
    if how == "blocking":
        with SyncClient(group.address, retry_for_seconds=0) as blocking:
            assert blocking.queue_length(queue) == 0
    else:
        async with Client(group.address, retry_for_seconds=0) as client:
            assert await client.queue_length(queue) == 0


async def test_by_name_with_a_full_executor(quiet_group: Sentinels, queue: str) -> None:
    """Jobs may fill the loop's default executor. Looking up Sentinels does not need it."""

    class Full(ThreadPoolExecutor):
        def submit(self, *_: object, **__: object) -> Future[Any]:
            raise AssertionError("the default executor is asked")

    asyncio.get_running_loop().set_default_executor(Full())
    address = quiet_group.address.replace("127.0.0.1", "localhost")
    settings = RedisSettings(address=address, sentinel_password="theirs")
    async with Client(settings, retry_for_seconds=0) as client:
        assert await client.queue_length(queue) == 0


# --- credentials of their own ---


async def test_sentinels_with_a_password(quiet_group: Sentinels, how: str, queue: str) -> None:
    settings = RedisSettings(address=quiet_group.address, sentinel_password="theirs")
    if how == "blocking":
        with SyncClient(settings) as blocking:
            assert blocking.queue_length(queue) == 0
    else:
        async with Client(settings) as client:
            assert await client.queue_length(queue) == 0


async def test_the_rights_of_a_role_are_enough(
    new_group: Callable[..., Sentinels], how: str
) -> None:
    group, words = new_group(), rules(Role.PRODUCER)
    account = ("on", ">sesame")
    with group.master.client() as raw:
        raw.execute_command("ACL", "SETUSER", "me", *account, *words)
        without = [word for word in words if word != "+role"]
        raw.execute_command("ACL", "SETUSER", "you", *account, *without)
    settings = RedisSettings(address=group.address, username="me", password="sesame")
    if how == "blocking":
        with SyncClient(settings) as blocking:
            assert blocking.queue_length("q") == 0
    else:
        async with Client(settings) as client:
            assert await client.queue_length("q") == 0
    error = await first_error(replace(settings, username="you"), how)
    assert type(error) is RedisAuthFailed
    assert "in `ROLE`" in str(error)


# --- what can be wrong ---


@pytest.mark.parametrize("password", [None, "wrong"])
async def test_sentinels_that_refuse_us(
    quiet_group: Sentinels, how: str, password: str | None
) -> None:
    settings = RedisSettings(address=quiet_group.address, sentinel_password=password)
    error = await first_error(settings, how)
    assert type(error) is RedisAuthFailed, error
    assert str(error).startswith("the Sentinels refuse us: 127.0.0.1:")


async def test_a_name_that_no_sentinel_knows(quiet_group: Sentinels, how: str) -> None:
    address = quiet_group.address.replace(NAME, "nobody")
    settings = RedisSettings(address=address, sentinel_password="theirs")
    error = await first_error(settings, how)
    assert type(error) is RedisTopologyMismatch, error
    assert str(error) == f"no Sentinel knows a master named 'nobody'; they know {NAME}"


async def test_no_sentinel_answers(how: str) -> None:
    ports = [free_port(), free_port()]
    address = f"redis+sentinel://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/{NAME}"
    error = await first_error(RedisSettings(address=address), how)
    assert type(error) is RedisUnavailable
    assert str(error).startswith(
        f"Redis can't be reached: no Sentinel answers: 127.0.0.1:{ports[0]}"
    )
    assert f"127.0.0.1:{ports[1]}: " in str(error)


async def test_a_server_where_a_sentinel_was_expected(redis_server: RedisServer, how: str) -> None:
    address = f"redis+sentinel://127.0.0.1:{redis_server.port}/{NAME}"
    error = await first_error(RedisSettings(address=address), how)
    assert type(error) is RedisTopologyMismatch, error
    assert "needs the addresses of Sentinels (usually port 26379)" in str(error)


async def test_a_sentinel_where_a_server_was_expected(quiet_group: Sentinels, how: str) -> None:
    settings = RedisSettings(address=f"redis://127.0.0.1:{quiet_group.ports[0]}", password="theirs")
    error = await first_error(settings, how)
    assert type(error) is RedisTopologyMismatch, error
    assert "this server is a Sentinel: use redis+sentinel://" in str(error)


async def test_sentinels_without_the_tls_that_was_asked_for(
    quiet_group: Sentinels, how: str
) -> None:
    address = quiet_group.address.replace("redis+", "rediss+")
    error = await first_error(RedisSettings(address=address, sentinel_password="theirs"), how)
    assert isinstance(error, RedisTlsFailed | RedisUnavailable), error


async def test_a_master_that_is_down_is_waited_for(
    new_group: Callable[..., Sentinels], how: str
) -> None:
    """Without a replica that is an outage, which ends when the master is back."""
    group = new_group()
    group.replica.kill()
    group.master.kill()
    for port in group.ports:
        await eventually(lambda port=port: "o_down" in group.ask(port)["flags"], "they see it")
    error = await first_error(RedisSettings(address=group.address), how)
    assert type(error) is RedisUnavailable, error
    assert f"the Sentinels see master '{NAME}' down" in str(error)
