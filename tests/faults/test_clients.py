"""Clients that die at the worst moment."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from identtqueue.protocol.answers import Enqueued
from identtqueue.protocol.scripts import script
from identtqueue.protocol.submission import Submission
from identtqueue.task import TaskOptions
from testing.faults.stage import Stage, scenario
from testing.processes import environment
from testing.proxy import Proxy
from testing.waiting import eventually


def _client(address: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "testing.faults.lone_client", *args],
        env=environment(address),
        stdout=subprocess.PIPE,
    )


async def _end(client: subprocess.Popen[bytes]) -> bytes:
    client.kill()
    said, _ = await asyncio.to_thread(client.communicate)
    return said


@scenario()
async def test_a_client_killed_before_its_answer(stage: Stage) -> None:
    """Its task was accepted, so it runs once, and any client that knows the id gets the result."""
    await stage.enqueue("journal")  # Redis knows the script from now on
    task_id = f"{stage.queue}:mine"
    async with Proxy(stage.server.port) as proxy:
        proxy.hold_replies_to(script("enqueue").sha.encode())
        client = _client(proxy.address, stage.queue, task_id)
        try:
            await eventually(lambda: stage.client.get_task(task_id), "it has arrived")
        finally:
            assert await _end(client) == b""
    # The client's next life does what the documentation says: the same id again.
    again = Submission(stage.queue, "journal", options=TaskOptions(task_id=task_id))
    receipt = await stage.client.submit(again)
    assert (receipt.task_id, receipt.status) == (task_id, Enqueued.EXISTS)
    stage.accepted.append(task_id)
    await stage.worker().started()
    results = await stage.settled(repeats=0)
    assert results[task_id].value == 1


@scenario()
async def test_a_client_killed_while_it_waits(stage: Stage) -> None:
    """The task runs to its end, and another client gets the result."""
    task_id = f"{stage.queue}:mine"
    await stage.worker().started()
    client = _client(stage.server.address, stage.queue, task_id, stage.gate)
    try:
        assert client.stdout is not None
        assert await asyncio.to_thread(client.stdout.readline) == b"accepted\n"
        await stage.begun()
    finally:
        assert await _end(client) == b""
    stage.accepted.append(task_id)
    stage.open_gate()
    results = await stage.settled(repeats=0)
    assert results[task_id].value == 1
