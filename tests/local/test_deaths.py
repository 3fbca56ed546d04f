"""SIGKILL of `identtqueue local` itself: no worker outlives it, and the next start recovers."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from identtqueue import Client
from testing.local import LocalInstance, alive, task_queue, write
from testing.waiting import eventually

pytestmark = pytest.mark.slow


async def test_no_worker_outlives_it_and_the_next_start_requeues_on_evidence(
    instance: LocalInstance, new_instance, client: Client, queue: str, redis_server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    # With a lease of an hour, only evidence can bring the task back.
    body = task_queue("mrz", queue, redis_server.address, recovery={"leaseSeconds": 3600})
    file = write(tmp_path / "a.yaml", body)
    await instance.start(file)
    task_id = await client.enqueue_job(queue, "journal", gate=str(gate))
    pid = (await instance.started(task_id)).pid
    await eventually(lambda: instance.status("mrz").get("lastScaleTime"), lambda: instance.log)
    await eventually(lambda: "restartCount" in (instance.state / "state.json").read_text())

    second = instance.run("-f", file)
    assert second.returncode == 2
    assert "another `identtqueue local` uses the state folder" in second.stderr

    instance.send(signal.SIGKILL)
    await eventually(lambda: not alive([pid]), "the keeper has ended the worker", seconds=5)

    following = await new_instance(tmp_path).start(file)
    again = await following.started(task_id, times=2)
    assert again.attempt == 2
    assert "1 of its pods" in following.log
    assert "pod deleted (worker: Error, exit code 137)" in await following.logged("TasksRequeued")
    assert following.status("mrz")["recovered"]["total"] == 1
    gate.touch()
    assert await client.wait_for_result(task_id) == 2
    following.send(signal.SIGTERM)
    assert await following.ended() == 0


async def test_the_third_signal_kills_workers_that_do_not_end(
    instance: LocalInstance, tmp_path: Path
) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo begun; while true; do sleep 60 & wait; done"]
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "stubborn"},
        "spec": {
            "selector": {"matchLabels": {"app": "stubborn"}},
            "template": {
                "metadata": {"labels": {"app": "stubborn"}},
                "spec": {"containers": [{"name": "main", "command": stubborn}]},
            },
        },
    }
    instance.environ["IDENTTQUEUE_LOG_FORMAT"] = "json"
    await instance.start(write(tmp_path / "a.yaml", deployment))
    await instance.logged('"message": "begun"')
    (pod,) = instance.items("pods")
    for signal_number, said in (
        (signal.SIGTERM, "stopping: 1 pod finishes"),
        (signal.SIGINT, "the workers get SIGTERM"),
        (signal.SIGINT, "the workers get SIGKILL"),
    ):
        instance.send(signal_number)
        await instance.logged(said)
    assert await instance.ended() == 0
    rows = [json.loads(line) for line in instance.log.splitlines()]
    (begun,) = [row for row in rows if row["message"] == "begun"]
    assert begun["pod"] == pod["metadata"]["name"]
    (kept,) = json.loads((instance.state / "state.json").read_text())["pods"]
    assert kept["body"]["metadata"]["name"] == pod["metadata"]["name"], "the next one requeues"
    search = ["pgrep", "-f", "trap '' TER[M]; echo begun"]
    found = await asyncio.to_thread(subprocess.run, search, check=False)
    assert found.returncode == 1, "nothing of it is left"


def test_a_file_that_is_wrong_ends_the_start(instance: LocalInstance, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", task_queue("mrz", "mrz", None, scaling={"maxReplicas": 0}))
    done = instance.run("-f", file)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert "spec.scaling.maxReplicas: Input should be greater than or equal to 1" in said


def test_without_an_instance_the_commands_say_so(instance: LocalInstance) -> None:
    done = instance.call("get")
    assert done.exit_code == 1
    assert "no `identtqueue local` answers in the state folder" in done.stderr
