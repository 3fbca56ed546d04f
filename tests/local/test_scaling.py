"""From zero to N and back, recovery on evidence, and a drain at SIGTERM, with real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from identtqueue import Client
from testing.local import LocalInstance, alive, task_queue, write
from testing.waiting import eventually

pytestmark = pytest.mark.slow


async def test_from_zero_to_n_a_kill_and_back(
    instance: LocalInstance, client: Client, queue: str, redis_server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    name = f"mrz-{queue}"
    await instance.start(write(tmp_path / "a.yaml", task_queue(name, queue, redis_server.address)))
    await eventually(lambda: instance.status(name).get("reason") == "Idle", lambda: instance.log)
    assert instance.items("pods") == []
    ids = [await client.enqueue_job(queue, "journal", gate=str(gate)) for _ in range(3)]
    await eventually(lambda: len(instance.ledger.starts()) == 2, lambda: instance.log)
    first = instance.ledger.starts()[0]

    killed_at = time.monotonic()
    os.kill(first.pid, signal.SIGKILL)
    again = await instance.started(first.task_id, times=2)
    assert again.attempt == 2
    assert again.at - killed_at < 5
    said = await instance.logged("TasksRequeued")
    assert "exit code 137" in said
    (restarted,) = [p for p in instance.items("pods") if _container(p)["restartCount"]]
    assert _container(restarted)["lastState"]["terminated"]["exitCode"] == 137
    assert instance.status(name)["recovered"]["total"] == 1

    gate.touch()
    for task_id in ids:
        await client.wait_for_result(task_id)
    await instance.logged("ScaledToZero")
    await eventually(lambda: not instance.items("pods"), lambda: instance.log)
    assert alive(line.pid for line in instance.ledger.starts()) == set()
    assert instance.call("get", name).stdout.split("\n")[1].split()[:5] == [
        name,
        name,
        "0",
        "0",
        "0",
    ]


async def test_at_sigterm_tasks_finish_and_nothing_is_left(
    instance: LocalInstance, client: Client, queue: str, redis_server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await instance.start(write(tmp_path / "a.yaml", task_queue("mrz", queue, redis_server.address)))
    task_id = await client.enqueue_job(queue, "journal", gate=str(gate))
    pid = (await instance.started(task_id)).pid
    instance.send(signal.SIGTERM)
    await instance.logged("stopping")
    assert alive([pid])
    gate.touch()
    assert await client.wait_for_result(task_id) == 1
    assert await instance.ended() == 0
    assert alive([pid]) == set()


def _container(pod):
    (container,) = pod["status"]["containerStatuses"]
    return container
