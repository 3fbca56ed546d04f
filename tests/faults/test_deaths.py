"""Workers that die, or seem to."""

from __future__ import annotations

import re
import resource
import signal
from pathlib import Path

import pytest

from identtqueue import TaskFailed, TaskOptions
from identtqueue.protocol.keys import queue_keys
from testing.faults.stage import Stage, scenario
from testing.memory import MemoryLimit, MemoryLimitUnavailable
from testing.processes import LEASE_SECONDS, WorkerProcess
from testing.waiting import eventually


@scenario()
async def test_killed_while_it_runs(stage: Stage) -> None:
    victim = await stage.worker().started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await victim.kill()
    await stage.worker().started()
    await stage.begun(2)
    stage.open_gate()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2, "the second attempt's result"
    assert await stage.losses(task_id) == 1


@scenario()
async def test_each_recorded_end_has_a_line_when_a_job_kills_the_process(stage: Stage) -> None:
    """The lines of one turn of the loop are written together, before Redis knows of the ends."""
    for number in range(6):
        await stage.enqueue("echo", number)
        if number == 2:
            await stage.enqueue("poison", "kill", str(stage.folder / "cure"))
    victim = stage.worker(concurrency=8).start()
    await victim.ended()
    stage.touch(str(stage.folder / "cure"))
    peer = await stage.worker().started()
    results = await stage.settled(repeats=1)
    log = victim.log + peer.log
    for task_id in results:
        assert re.search(rf"{task_id} attempt \d succeeded: waited", log), task_id


@scenario()
async def test_killed_while_many_run_and_wait(stage: Stage) -> None:
    """Half of the tasks run on the victim, half on its peer, and more are waiting."""
    victim = await stage.worker(concurrency=4).started()
    await stage.worker(concurrency=4).started()
    await stage.enqueue_many(16, "journal", stage.gate)
    await stage.begun(8)
    held = [line.task_id for line in stage.ledger.starts() if line.pid == victim.pid]
    await victim.kill()
    stage.open_gate()
    results = await stage.settled(repeats=len(held))
    assert len(held) == 4
    assert {r.task_id: r.value for r in results.values()} == {
        task_id: 2 if task_id in held else 1 for task_id in stage.accepted
    }


@scenario()
async def test_stopped_past_its_lease_while_it_runs(stage: Stage) -> None:
    """It wakes, finishes a task that a peer has run meanwhile, and its report is refused."""
    zombie = await stage.worker().started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    zombie.send(signal.SIGSTOP)
    peer = await stage.worker().started()
    await stage.begun(2)
    stage.open_gate()
    await eventually(stage.recorded, "the peer's result is recorded")
    zombie.send(signal.SIGCONT)
    await zombie.registered(times=2)
    assert (await stage.admin.task(task_id)).owner == await peer.registered()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2, "one result: the peer's"
    assert "the lease is lost (it was not renewed for " in zombie.log
    assert await stage.recorded() == 1


@scenario()
async def test_stopped_past_its_lease_while_it_is_idle(stage: Stage) -> None:
    """It swallows a wake token while it is stopped. A peer runs the task, and it starts over."""
    zombie = await stage.worker().started()
    await stage.enqueue("journal")
    await eventually(stage.recorded, "it works")
    zombie.send(signal.SIGSTOP)
    rung_for = await stage.enqueue("journal")
    peer = await stage.worker().started()
    results = await stage.client.wait_many([rung_for], 60)
    assert results[0].value == 1, "a token is no task: nothing was lost with it"
    assert (await stage.admin.task(rung_for)).owner == await peer.registered()
    await eventually(lambda: _only(stage, peer), "the zombie is given up")
    await stage.enqueue("journal")
    zombie.send(signal.SIGCONT)
    await zombie.registered(times=2)
    await stage.enqueue_many(4, "journal")
    await stage.settled(repeats=0)


@scenario()
async def test_killed_while_it_waits_for_the_next_due_task(stage: Stage) -> None:
    """It alone was to look then. Upkeep of its peer finds that nobody does."""
    victim = await stage.worker().started()
    task_id = await stage.enqueue("journal", task_options=TaskOptions(delay_seconds=8))
    alarm = queue_keys(stage.queue).alarm
    with stage.server.client() as raw:
        await eventually(lambda: raw.exists(alarm), "the victim has the alarm")
        victim.send(signal.SIGSTOP)  # however long its peer takes to start
        peer = await stage.worker().started()
        await victim.kill()
        await eventually(stage.recorded, "the peer has run it")
    assert (await stage.admin.task(task_id)).owner == await peer.registered()
    await eventually(lambda: _only(stage, peer), "the victim's lease has run out")
    await stage.settled(repeats=0)


async def _only(stage: Stage, worker: WorkerProcess) -> bool:
    rows = await stage.admin.workers(stage.queue)
    return [row.worker_id for row in rows] == [await worker.registered()]


@scenario()
async def test_a_loop_that_is_blocked_for_longer_than_the_lease(stage: Stage) -> None:
    """The heartbeat has a thread of its own, so CPU-bound code in an async job costs no lease."""
    await stage.worker().started()
    await stage.worker().started()
    task_id = await stage.enqueue("hold_the_loop", LEASE_SECONDS + 3)
    results = await stage.settled(repeats=0)
    assert results[task_id].value == 1
    assert await stage.losses(task_id) == 0


@scenario()
async def test_a_task_that_kills_its_worker(stage: Stage) -> None:
    """The task becomes a dead letter after max_deliveries. Once cured, it can be replayed."""
    await _poisoned(stage, "kill", signal.SIGKILL)


@scenario()
async def test_a_task_that_exits_the_process(stage: Stage) -> None:
    """It exits as abruptly as an out-of-memory kill."""
    await _poisoned(stage, "exit", 137)


@scenario()
async def test_a_task_that_needs_more_memory_than_there_is(stage: Stage) -> None:
    """The kernel kills the worker because of the limit of a control group, as in a pod."""
    try:
        with MemoryLimit(megabytes=150) as limit:
            await _poisoned(stage, "memory", signal.SIGKILL, limit)
    except MemoryLimitUnavailable as error:
        pytest.skip(f"no control groups here: {error}")


@scenario()
async def test_a_job_that_is_refused_memory(stage: Stage) -> None:
    """With RLIMIT_AS instead, the job gets a MemoryError, and the worker lives on."""
    worker = await stage.worker().started()
    await stage.enqueue("journal")
    await eventually(stage.recorded, "it works")
    limit = _address_space(worker.pid) + (256 << 20)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (limit, limit))
    hungry = await stage.enqueue("hoard", 1024)
    await stage.enqueue("hoard", 1)
    results = await stage.settled(repeats=0)
    assert results[hungry].failure.type == "MemoryError"
    assert worker.process.returncode == 0


def _address_space(pid: int) -> int:
    """Return the size in bytes. The first field of /proc/<pid>/statm counts pages (proc(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


async def _poisoned(stage: Stage, how: str, code: int, limit: MemoryLimit | None = None) -> None:
    cure = stage.folder / "cure"
    task_id = await stage.enqueue("poison", how, str(cure))
    for n in range(2):
        victim = stage.worker(max_deliveries=2).start()
        if limit is not None:
            limit.add(victim.pid)
        assert await victim.ended(seconds=60) in (code, -code)
        assert len(stage.ledger.starts()) == n + 1
    await stage.worker(max_deliveries=2).started()
    with pytest.raises(TaskFailed) as caught:
        await stage.client.wait_for_result(task_id, 60)
    assert caught.value.remote_type == "WorkerLost"
    assert "max_deliveries=2" in caught.value.remote_message
    (letter,) = [info async for info in stage.admin.dead_letters(stage.queue)]
    assert (letter.task_id, letter.losses) == (task_id, 2)

    cure.touch()
    assert await stage.admin.replay([task_id]) == [task_id]
    assert await stage.client.wait_for_result(task_id, 60) == "cured"
    await stage.settled(repeats=1)
