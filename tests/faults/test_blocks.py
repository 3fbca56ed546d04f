"""Jobs that block the event loop of their worker, or try to end it."""

from __future__ import annotations

import asyncio
import signal
from urllib.error import HTTPError
from urllib.request import urlopen

from identtqueue import State
from testing.faults.stage import Stage, scenario
from testing.redis_server import free_port
from testing.waiting import eventually


async def _probe(port: int, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


@scenario()
async def test_a_blocked_loop_is_told_then_given_up(stage: Stage) -> None:
    """Stack and task are logged and /livez fails. Later the neighbours are requeued, uncharged.

    The task that blocks stays until the lease runs out, and is charged. When the loop runs again,
    the worker starts over.
    """
    port, cure = free_port(), str(stage.folder / "cure")
    worker = await stage.worker(max_loop_block_seconds=2, http_port=port, concurrency=4).started()
    neighbours = [await stage.enqueue("journal", stage.gate) for _ in range(2)]
    await stage.begun(2)
    culprit = await stage.enqueue("block_the_loop", cure)
    await eventually(lambda: "the event loop has been blocked for" in worker.log, "it is told")
    assert f"by task {culprit} attempt 1. Nothing else runs in it" in worker.log
    assert "in block_the_loop" in worker.log, "the stack"
    for path in ("/livez", "/readyz"):
        status, text = await _probe(port, path)
        assert (status, text[:32]) == (503, "the event loop has been blocked ")
    await eventually(lambda: "the other attempts (2) were released" in worker.log, "released")
    peer = await stage.worker(concurrency=4).started()
    await stage.begun(5)
    assert [await stage.losses(task_id) for task_id in neighbours] == [0, 0]
    await eventually(lambda: _losses(stage, culprit), "the one that blocks is recovered")
    stage.touch(cure)
    stage.open_gate()
    await worker.registered(times=2)
    assert "the event loop runs again, after it was blocked for" in worker.log
    assert "the lease is lost (it was not renewed for" in worker.log
    assert "the event loop is blocked); starting over" in worker.log
    await stage.settled()
    assert [await stage.losses(task_id) for task_id in (culprit, *neighbours)] == [1, 0, 0]
    assert peer.process.returncode == 0


async def _losses(stage: Stage, task_id: str) -> bool:
    return await stage.losses(task_id) > 0


async def _ends_by_signals(stage: Stage, signals: int, **options: float) -> None:
    """Check that the process exits although its loop is blocked, and the neighbour is requeued."""
    worker = await stage.worker(**options).started()
    neighbour = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    cure = str(stage.folder / "cure")
    culprit = await stage.enqueue("block_the_loop", cure, "native code")
    await stage.begun(2)
    for _ in range(signals):
        worker.send(signal.SIGTERM)
        await asyncio.sleep(0.5)  # two that come together are one to the kernel
    assert await worker.ended() == 1, worker.log
    assert "SIGTERM: exiting, although the event loop is blocked by task" in worker.log
    assert "The other attempts (1) were released" in worker.log
    info = await stage.admin.task(neighbour)
    assert (info.state, info.losses) == (State.PENDING, 0)
    stage.touch(cure)
    stage.open_gate()
    stage.workers.remove(worker)
    await stage.worker().started()
    await stage.settled()
    assert [await stage.losses(task_id) for task_id in (culprit, neighbour)] == [1, 0]


@scenario()
async def test_two_signals_end_a_blocked_worker(stage: Stage) -> None:
    await _ends_by_signals(stage, 2, grace_seconds=3600)


@scenario()
async def test_one_signal_ends_a_blocked_worker_after_its_grace_time(stage: Stage) -> None:
    await _ends_by_signals(stage, 1, grace_seconds=2)


@scenario()
async def test_a_job_that_stops_the_loop_does_not_end_the_worker(stage: Stage) -> None:
    worker = await stage.worker().started()
    for how in ("stop", "exit"):
        task_id = await stage.enqueue("leaves_the_loop", how)
        assert await stage.client.wait_for_result(task_id, 60) == "goes on"
    assert "something has stopped the event loop: ignored" in worker.log
    assert "SystemExit in a callback of the event loop: ignored" in worker.log
    await stage.settled()
    assert worker.process.returncode == 0


@scenario()
async def test_a_blocked_loop_does_not_keep_the_lines_of_attempts_that_have_ended(
    stage: Stage,
) -> None:
    """They wait for the end of the loop's turn, which does not come. The watchdog writes them."""
    cure = str(stage.folder / "cure")
    for number in range(3):
        await stage.enqueue("echo", number)
    await stage.enqueue("block_the_loop", cure)
    worker = await stage.worker(concurrency=4).started()
    await eventually(lambda: worker.log.count("attempt 1 succeeded") == 3, "they are in the log")
    stage.touch(cure)
    await stage.settled()


@scenario()
async def test_an_inline_job_that_blocks_is_named(stage: Stage) -> None:
    """It was declared never to block. The watchdog says which task does."""
    cure = str(stage.folder / "cure")
    worker = await stage.worker(max_loop_block_seconds=2).started()
    culprit = await stage.enqueue("block_inline", cure)
    await eventually(lambda: "the event loop has been blocked for" in worker.log, "it is told")
    assert f"by task {culprit} attempt 1. Nothing else runs in it" in worker.log
    assert "in block_inline" in worker.log, "the stack"
    stage.touch(cure)
    await stage.settled()
