"""`identtqueue local` with nothing installed: without `redis`, the embedded server is used."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from identtqueue import Client
from identtqueue.embedded import EmbeddedServer
from testing.local import LocalInstance, task_queue, write

pytestmark = pytest.mark.slow


async def test_a_task_queue_without_an_address(
    new_instance: Callable[..., LocalInstance], queue: str, tmp_path: Path
) -> None:
    instance = new_instance(XDG_STATE_HOME=str(tmp_path))
    with EmbeddedServer(tmp_path / "identtqueue" / "embedded") as server:
        await instance.start(write(tmp_path / "a.yaml", task_queue("mrz", queue, None)))
        async with Client(server.address) as client:
            task_id = await client.enqueue_job(queue, "journal")
            assert await client.wait_for_result(task_id, 60) == 1
        instance.send(signal.SIGTERM)
        assert await instance.ended() == 0
