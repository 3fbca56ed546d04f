"""The life of an embedded server: who starts it, who shares it, and when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from embedded.conftest import Premises, is_running, parent_of
from identtqueue import App, Client, Context, RedisUnavailable, SyncClient
from identtqueue.embedded import EmbeddedServer
from testing.waiting import wait_until

# --- start and end ---


def test_processes_that_start_at_once_share_one_server(premises: Premises) -> None:
    users = [premises.ready_user() for _ in range(4)]
    for user in users:
        user.tell()
    assert max(int(user.read()) for user in users) == 4
    assert premises.starts == 1


def test_the_server_ends_with_its_last_user_and_its_data_survive(premises: Premises) -> None:
    first, second = premises.ready_user(), premises.ready_user()
    assert (first.enqueue(), second.enqueue()) == (1, 2)
    server = premises.server_pid
    keeper = parent_of(server)
    first.leave()
    assert second.enqueue() == 3
    assert premises.server_pid == server
    second.process.send_signal(signal.SIGKILL)
    premises.wait_for_end(server, keeper)
    assert premises.ready_user().enqueue() == 4
    assert premises.starts == 2


def test_a_fork_is_a_user_too(premises: Premises) -> None:
    forking = premises.user("forking.py")
    assert forking.read() == "forked"
    forking.process.wait(60)
    server = premises.server_pid
    forking.tell()
    assert forking.read() == "2"
    assert premises.server_pid == server
    assert forking.process.stdin is not None
    forking.process.stdin.close()
    premises.wait_for_end(server)


def test_a_stop_of_the_service_ends_the_users_first(premises: Premises) -> None:
    """A service manager sends SIGTERM to all processes at once; workers still need the server."""
    user = premises.ready_user()
    assert user.enqueue() == 1
    server = premises.server_pid
    keeper = parent_of(server)
    for pid in (server, keeper):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert [user.enqueue() for _ in range(20)] == list(range(2, 22))
    assert premises.server_pid == server
    user.leave()
    premises.wait_for_end(server, keeper)


# --- crashes ---


@pytest.mark.parametrize("victim", ["server", "keeper"])
def test_a_crash_is_repaired_by_the_next_call(premises: Premises, victim: str) -> None:
    user = premises.ready_user()
    for number in (1, 2, 3):
        assert user.enqueue() == premises.starts == number
        server = premises.server_pid
        keeper = parent_of(server)
        os.kill(server if victim == "server" else keeper, signal.SIGKILL)
        premises.wait_for_end(server, keeper)
    assert user.enqueue() == premises.starts == 4
    server = premises.server_pid
    user.leave()
    premises.wait_for_end(server)


async def test_a_crash_is_repaired_under_an_asyncio_client(premises: Premises) -> None:
    with EmbeddedServer(premises.folder) as server:
        async with Client(server.address) as client:
            task_id = await client.enqueue_job("embedded", "job")
            waiting = asyncio.create_task(client.wait_for_result(task_id, 60))
            await asyncio.sleep(0)
            os.kill(premises.server_pid, signal.SIGKILL)
            assert await client.queue_length("embedded") == 1
            assert await client.cancel(task_id)
            with pytest.raises(Exception, match="was cancelled"):
                await waiting


def test_a_starter_that_is_killed_leaves_nothing_behind(premises: Premises) -> None:
    for delay_ms in (0, 5, 15, 30, 50):
        user = premises.ready_user()
        user.tell()
        time.sleep(delay_ms / 1_000)
        user.process.kill()
    user = premises.ready_user()
    assert user.enqueue() >= 1
    server = premises.server_pid
    keeper = parent_of(server)
    user.leave()
    premises.wait_for_end(server, keeper)


# --- a program that holds it ---


def test_an_object_holds_the_server(premises: Premises) -> None:
    with EmbeddedServer(premises.folder) as outer:
        pid = premises.server_pid
        with EmbeddedServer(premises.folder) as inner:
            assert inner.address == outer.address == premises.address
        assert premises.server_pid == pid
        with SyncClient(outer.address) as client:
            assert client.queue_length("embedded") == 0
    assert not is_running(pid)


def test_a_stopped_server_is_not_started_by_a_client_that_is_left(premises: Premises) -> None:
    with EmbeddedServer(premises.folder, durability="none") as server:
        client = SyncClient(server.address, retry_for_seconds=0)
        assert client.queue_length("embedded") == 0
    with pytest.raises(RedisUnavailable):  # the connection that it had is lost
        client.queue_length("embedded")
    with pytest.raises(RedisUnavailable, match="was stopped by this process"):
        client.queue_length("embedded")
    with EmbeddedServer(premises.folder, durability="none"):
        # A client pauses after each failed attempt to connect.
        length = wait_until(
            "it connects again",
            lambda: [client.queue_length("embedded")],
            seconds=10,
            ignore=RedisUnavailable,
        )
        assert length == [0]


def test_an_object_leaves_the_server_to_others(premises: Premises) -> None:
    user = premises.ready_user()
    with EmbeddedServer(premises.folder):
        assert user.enqueue() == 1
        pid = premises.server_pid
    assert user.enqueue() == 2
    assert premises.server_pid == pid


def test_nothing_is_kept_without_durability(premises: Premises) -> None:
    for _ in range(2):
        with (
            EmbeddedServer(premises.folder, durability="none") as server,
            SyncClient(server.address) as client,
        ):
            assert client.queue_length("embedded") == 0
            client.enqueue_job("embedded", "job")
    assert not (premises.folder / "appendonlydir").exists()


def test_always_waits_for_the_disk(premises: Premises) -> None:
    address = f"{premises.address}?durability=always&db=3"
    user = premises.user(address=address)
    assert user.read() == "ready"
    assert user.enqueue() == 1
    with premises.client() as plain:
        assert plain.config_get("appendfsync") == {"appendfsync": "always"}
        assert plain.info("keyspace").keys() == {"db3"}


# --- privacy ---


def test_it_is_private(premises: Premises) -> None:
    with EmbeddedServer(premises.folder), premises.client() as plain:
        assert plain.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(premises.folder.stat().st_mode) == 0o700
        for path in premises.folder.rglob("*"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's environment")
def test_it_is_not_given_the_environment(
    premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    with EmbeddedServer(premises.folder):
        server = premises.server_pid
        for pid in (server, parent_of(server)):
            assert b"s3cr3t" not in Path(f"/proc/{pid}/environ").read_bytes()


# --- as an address ---


async def test_it_starts_beside_the_event_loop(premises: Premises) -> None:
    """A slow start must not hold up a service that connects."""
    with EmbeddedServer(premises.folder):
        server, client = premises.server_pid, Client(premises.address)
        os.kill(server, signal.SIGSTOP)
        try:
            connecting = asyncio.create_task(client.connect())
            for _ in range(100):
                await asyncio.sleep(0.001)
            assert not connecting.done()
        finally:
            os.kill(server, signal.SIGCONT)
        await connecting
        await client.close()


async def test_a_worker_and_a_caller(premises: Premises) -> None:
    app = App(premises.address)

    @app.task(queue="embedded")
    async def double(_ctx: Context, number: int) -> int:
        return 2 * number

    with EmbeddedServer(premises.folder):
        worker = app.worker()
        working = asyncio.create_task(worker.serve())
        async with app:
            assert await (await double.enqueue(21)).result(timeout_seconds=60) == 42
            worker.stop()
            await working


def test_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "queue"
    with EmbeddedServer(folder) as server, SyncClient(server.address) as client:
        assert client.queue_length("embedded") == 0


def test_a_folder_that_is_deleted_is_made_anew(premises: Premises) -> None:
    user = premises.ready_user()
    assert user.enqueue() == 1
    server = premises.server_pid
    premises.folder.rename(premises.folder.with_name("gone"))
    os.kill(server, signal.SIGKILL)
    assert user.enqueue() == 1
    assert premises.server_pid != server
