"""Rotation of a password while clients and workers run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from msgspec.structs import replace

from identtqueue import Client, SyncClient
from identtqueue.admin import Admin
from identtqueue.errors import RedisAuthFailed
from identtqueue.transport.settings import RedisSettings
from testing.accounts import balance
from testing.ledger import Ledger
from testing.processes import WorkerProcess
from testing.redis_server import RedisServer
from testing.waiting import eventually

USER = "rotating"


@pytest.fixture
def server(new_redis_server: Callable[..., RedisServer]) -> RedisServer:
    return new_redis_server()


def rotate(raw: redis.Redis, new: str, old: str | None = None) -> None:
    """Allow only the new password, and disconnect those who used the old one."""
    words = ("on", f">{new}", "~*", "&*", "+@all")
    raw.execute_command("ACL", "SETUSER", USER, *words, *([f"<{old}"] if old else []))
    if old:
        raw.execute_command("CLIENT", "KILL", "USER", USER)


async def test_workers_and_clients_follow_a_rotation(
    server: RedisServer, queue: str, tmp_path: Path
) -> None:
    """Redis changes first and the file later. That wrong order must only cost a wait."""
    password, gate, ledger = tmp_path / "password", tmp_path / "gate", Ledger(tmp_path / "ledger")
    password.write_text("first\n")
    raw = server.client()
    rotate(raw, "first")
    settings = RedisSettings(address=server.address, username=USER, password_file=str(password))
    files = {
        "IDENTTQUEUE_REDIS_USERNAME": USER,
        "IDENTTQUEUE_REDIS_PASSWORD_FILE": str(password),
    }
    worker = WorkerProcess(server.address, [queue], ledger, environ=files, concurrency=2)
    try:
        await worker.started()
        async with Client(settings) as client, Admin(settings, retry_for_seconds=30) as admin:
            running = await client.enqueue_job(queue, "journal", str(gate))
            await ledger.wait_for(Ledger.starts, "it runs")
            waiting = asyncio.create_task(client.wait_for_result(running, 60))
            rotate(raw, "second", old="first")
            await eventually(lambda: "Redis refused the login" in worker.log, "it is refused")
            late = asyncio.create_task(client.enqueue_job(queue, "journal"))
            with pytest.raises(RedisAuthFailed):  # what never worked is told at once
                SyncClient(replace(settings, password="first", password_file=None)).connect()
            assert not late.done()

            password.write_text("second\n")
            gate.touch()
            ids = [running, await late]
            assert await waiting == 1
            await balance(client, admin, queue, ids)
        assert ledger.repeats() == {}
        assert worker.process.poll() is None, "the same process"
        await worker.terminate()
    finally:
        worker.destroy()
        raw.close()
