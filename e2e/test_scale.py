"""Scaling by list length: from zero on the push, to zero without hurting anyone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time

import pytest
from harness.release import Release
from harness.workload import deployment, task_queue


class ReplicasWatch:
    """Sees a Deployment's replicas change, with the time: a watch that began before the cause."""

    def __init__(self, namespace: str, name: str) -> None:
        self._process = subprocess.Popen(
            [
                *("kubectl", "-n", namespace, "get", "deployment", name),
                *("--watch", "--output-watch-events", "-o", "json"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.changes: list[tuple[float, int]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait_for(lambda number: number is not None)

    def _read(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text += line
            try:
                event, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                continue
            text = text[end:].lstrip()
            with self._changed:
                self.changes.append((time.time(), event["object"]["spec"]["replicas"]))
                self._changed.notify_all()

    def wait_for(self, wanted, seconds: float = 60, *, after: int = 0) -> float:
        """When the replicas were first as wanted, the first `after` changes left out."""

        def found() -> list[float]:
            return [at for at, number in self.changes[after:] if wanted(number)]

        with self._changed:
            assert self._changed.wait_for(found, seconds), self.changes
            return found()[0]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture
def watch(release: Release, name: str):
    watches: list[ReplicasWatch] = []

    def begin() -> ReplicasWatch:
        watches.append(ReplicasWatch(release.namespace, name))
        return watches[-1]

    yield begin
    for watch in watches:
        watch.close()


async def ready_queue(scene) -> None:
    """The operator has looked at the TaskQueue and listens to its doorbell."""
    await scene.until(
        "TaskQueue is Ready",
        lambda: scene.kubectl.condition(scene.name, "Ready").get("status") == "True",
    )


async def test_zero_to_n_in_one_step_and_back_to_zero(release, scene, watch, figure):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await ready_queue(scene)
    replicas = watch()

    enqueued_at = time.time()
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=2) for _ in range(6)]
    patched_at = await asyncio.to_thread(replicas.wait_for, lambda number: number > 0)
    figure(
        f"first enqueue -> Deployment PATCHed (seen by a watch): {patched_at - enqueued_at:.3f} s"
    )
    await asyncio.gather(*(scene.client.wait_for_result(task, 120) for task in tasks))
    figure(f"first enqueue -> 6 tasks of 2 s done, from zero: {time.time() - enqueued_at:.1f} s")

    done_at = time.time()
    zero_at = await asyncio.to_thread(replicas.wait_for, lambda number: number == 0, 90, after=1)
    figure(f"last result -> 0 replicas (idleSeconds 2): {zero_at - done_at:.1f} s")
    steps = [number for _, number in replicas.changes]
    assert max(steps) <= 3
    info = [await scene.client.get_task(task) for task in tasks]
    assert all(task.attempt == 1 for task in info), "scaling down cost a task its attempt"

    decision = scene.kubectl.get("taskqueue", name)["status"]["lastDecision"]
    assert "ceil(" in decision["message"]
    await scene.until(
        "the events tell it",
        lambda: (
            {"ScaledUp", "ScaledToZero"} <= {reason for reason, _ in scene.kubectl.events(name)}
        ),
        20,
    )


async def test_a_busy_worker_outlives_the_scale_down(release, scene):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, grace_seconds=120),
        task_queue(release, name, name, drain={"timeoutSeconds": 100}),
    )
    long = await scene.client.enqueue_job(name, "nap", seconds=25)
    short = [await scene.client.enqueue_job(name, "nap", seconds=1) for _ in range(2)]
    await asyncio.gather(*(scene.client.wait_for_result(task, 90) for task in short))
    owner = await scene.pod_of(long)

    await scene.until("shrunk to 1 while a task runs", lambda: scene.replicas() == 1, 60)
    assert await scene.client.wait_for_result(long, 60) == 1, "it ran once, to its end"
    assert owner["metadata"]["name"]
    await scene.until("zero", lambda: scene.replicas() == 0, 60)


async def test_what_kubectl_shows(release, scene):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await ready_queue(scene)
    task = await scene.client.enqueue_job(name, "nap", seconds=8)
    await scene.until_running(task)

    columns = scene.kubectl("get", "tq", name).splitlines()[0].split()
    assert columns == (
        ["NAME", "WORKLOAD", "DESIRED", "CURRENT", "QUEUED", "INFLIGHT", "READY", "REASON", "AGE"]
    )
    told = scene.kubectl("describe", "tq", name)
    assert "ceil((" in told
    assert "ScaledUp" in told
    await scene.client.wait_for_result(task, 60)
