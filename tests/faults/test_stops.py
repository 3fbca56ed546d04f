"""Workers that are stopped by signals."""

from __future__ import annotations

import asyncio
import re
import signal
import time

import redis

from identtqueue import State
from identtqueue.worker.draining import AFTER_DRAIN_SECONDS
from testing.accounts import left_over
from testing.faults.stage import Stage, scenario
from testing.processes import WorkerProcess
from testing.waiting import eventually


@scenario()
async def test_terminated_in_order(stage: Stage) -> None:
    """Running attempts end and are recorded. Waiting tasks are left for others."""
    worker = await stage.worker(concurrency=2).started()
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(2)
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    stage.open_gate()
    assert await worker.ended() == 0
    assert await stage.recorded() == 2
    await stage.worker().started()
    await stage.settled(repeats=0)


@scenario()
async def test_terminated_with_its_grace_exceeded(stage: Stage) -> None:
    """Tasks that do not end in time are requeued, uncharged, and run elsewhere at once."""
    worker = await stage.worker(grace_seconds=0.5).started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await stage.worker().started()
    worker.send(signal.SIGTERM)
    await stage.begun(2)
    assert await worker.ended() == 0
    stage.open_gate()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2
    assert await stage.losses(task_id) == 0


@scenario()
async def test_terminated_twice(stage: Stage) -> None:
    """The second signal does not wait for the grace time."""
    worker = await stage.worker(grace_seconds=3600).started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    assert "stopping: 1 attempt has 3600 s to end" in worker.log
    assert "A second signal cuts off at once" in worker.log
    assert worker.process.poll() is None
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert "SIGTERM again: cutting off 1 attempt" in worker.log
    info = await stage.admin.task(task_id)
    assert (info.state, info.losses) == (State.PENDING, 0)
    await stage.worker().started()
    stage.open_gate()
    await stage.settled(repeats=1)


@scenario()
async def test_terminated_after_a_drain_in_one_grace_time(stage: Stage) -> None:
    """A scale-down drains a worker and ends its pod later. Both share one grace time."""
    worker = await stage.worker(grace_seconds=12).started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await _drained(stage, worker, for_seconds=5)
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    assert 5.5 < _seconds_to_end(worker) < 7.1
    await stage.worker().started()
    await stage.begun(2)
    assert await worker.ended() == 0
    stage.open_gate()
    await stage.settled(repeats=1)
    assert await stage.losses(task_id) == 0


@scenario()
async def test_terminated_after_a_drain_of_more_than_the_grace_time(stage: Stage) -> None:
    """However long the drain took, a stop leaves attempts some seconds to end."""
    worker = await stage.worker(grace_seconds=7).started()
    await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await _drained(stage, worker, for_seconds=8)
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    assert _seconds_to_end(worker) == AFTER_DRAIN_SECONDS
    stage.open_gate()
    assert await worker.ended() == 0
    await stage.settled(repeats=0)


@scenario()
async def test_terminated_after_it_was_called_back(stage: Stage) -> None:
    """The drain is over, so the full grace time is left."""
    worker = await stage.worker(grace_seconds=3600).started()
    await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await _drained(stage, worker, for_seconds=1)
    await stage.admin.undrain(stage.queue, [await worker.registered()])
    await eventually(lambda: "called back" in worker.log, "it has heard")
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    assert _seconds_to_end(worker) == 3600
    stage.open_gate()
    assert await worker.ended() == 0
    await stage.settled(repeats=0)


async def _drained(stage: Stage, worker: WorkerProcess, for_seconds: float) -> None:
    """Wait until the worker has been draining for this long, which is the time under test."""
    assert await stage.admin.drain(stage.queue, [await worker.registered()])
    await eventually(lambda: ": draining" in worker.log, "it has heard")
    since = time.monotonic()
    await eventually(lambda: time.monotonic() - since >= for_seconds, "it has drained for a while")


def _seconds_to_end(worker: WorkerProcess) -> float:
    """Return how long attempts have to end, as the worker logs it at the signal."""
    found = re.search(r"stopping: 1 attempt has (\S+) s to end", worker.log)
    assert found is not None, worker.log
    return float(found[1])


@scenario(own_redis=True)
async def test_terminated_while_it_starts(stage: Stage) -> None:
    """Stopped at different moments of its start, it leaves nothing behind.

    The workers of other scenarios have the same name, so this one has a Redis of its own.
    """
    await stage.enqueue("journal")
    with stage.server.client() as raw:
        for moment in ("python", "connection", "registration"):
            worker = stage.worker().start()
            if moment == "connection":
                await eventually(lambda w=worker: _has_connected(raw, w), "it has connected")
            if moment == "registration":
                await worker.registered()
            worker.send(signal.SIGTERM)
            assert await worker.ended() in (0, -signal.SIGTERM), worker.log
            rest = [key for key in left_over(raw, stage.queue) if "pending" not in key]
            assert rest in ([], [f"idtq:{{{stage.queue}}}:wake"])
    await stage.worker().started()
    await stage.settled(repeats=0)


def _has_connected(raw: redis.Redis, worker: WorkerProcess) -> bool:
    names = [c["name"] for c in raw.client_list()]
    return "identtqueue-worker" in names or worker.process.poll() is not None


@scenario()
async def test_a_storm_of_terminations(stage: Stage) -> None:
    """Each worker gets several signals and is replaced. No task is lost or charged."""
    await stage.enqueue_many(150, "nap", 0.1)
    for n in range(5):
        worker = await stage.worker(concurrency=4, grace_seconds=2).started()
        await stage.begun(4 * n + 4)
        for _ in range(n):  # the first one gets no signal before it is replaced
            worker.send(signal.SIGTERM)
            await asyncio.sleep(0)
    last = await stage.worker(concurrency=16).started()
    stage.workers[0].send(signal.SIGTERM)
    for worker in stage.workers:
        if worker is not last:
            assert await worker.ended() == 0, worker.log
    await stage.settled()
    losses = [await stage.losses(task_id) for task_id in stage.accepted]
    assert set(losses) == {0}
