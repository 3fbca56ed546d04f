"""The structlog example: a real worker whose lines are all made by structlog."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from identtqueue import Client
from testing.processes import ROOT, environment
from testing.redis_server import RedisServer

EXAMPLE = ROOT / "examples" / "structlog"


@pytest.mark.slow
async def test_every_line_is_made_by_structlog(redis_server: RedisServer) -> None:
    path = os.pathsep.join([str(EXAMPLE), environment("")["PYTHONPATH"]])
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", "worker", "tasks:app"),
        cwd=EXAMPLE,
        env=environment(redis_server.address, PYTHONPATH=path, IDENTTQUEUE_LOG_FORMAT="logfmt"),
        stderr=asyncio.subprocess.PIPE,
    )
    async with Client(redis_server.address) as client:
        task_id = await client.enqueue_job("documents", "read", "a.pdf")
        assert await client.wait_for_result(task_id, 60) == 3
    worker.terminate()
    _, said = await worker.communicate()
    assert worker.returncode == 0
    lines = [json.loads(line) for line in said.decode().splitlines()]  # each is JSON
    of_task = {line["event"]: line for line in lines if line.get("task_id") == task_id}
    reading = of_task["reading"]
    assert (reading["logger"], reading["pages"], reading["path"]) == ("shop", 3, "a.pdf")
    assert (reading["job"], reading["queue"], reading["attempt"]) == ("read", "documents", 1)
    assert of_task["a line of another package"]["path"] == "a.pdf"
    (end,) = [line for line in of_task.values() if line.get("outcome") == "succeeded"]
    assert end["logger"] == "identtqueue.worker"
    assert any("log format logfmt is not used" in line["event"] for line in lines)
