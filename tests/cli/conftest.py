"""Fixtures of the command line: a command that runs in this process, and a dead letter."""

from __future__ import annotations

import asyncio
import sys

import pytest
from click.testing import CliRunner

from cli.terminal import HERE, Run, Said
from identtqueue import Client, TaskFailed, Worker
from identtqueue.cli import main
from testing.redis_server import RedisServer
from testing.serving import serving


@pytest.fixture
def run(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Provide `await run("queues", "q")`: runs a command in this process, which is faster."""
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    async def call(*words: str, **environ: str) -> Said:
        environ = {"IDENTTQUEUE_REDIS_ADDRESS": redis_server.address} | environ
        said = await asyncio.to_thread(CliRunner().invoke, main, words, env=environ)
        assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
        return Said(said.exit_code, said.stdout, said.stderr)

    return call


@pytest.fixture
async def dead_letter(client: Client, redis_server: RedisServer, queue: str) -> str:
    """Make a dead letter; return its id."""

    async def read(_ctx, _path, _data, *, page):
        raise ValueError("too dark")

    async with serving(Worker({"read": read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, "read", "s3://bucket/a.jpg", b"\0", page=3)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(task_id, 30)
    return task_id
