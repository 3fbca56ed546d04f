"""Threads or processes cannot be started: no task is charged, and the worker says why it waits."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from identtqueue import Client, Context, Job, State, TaskFailed, TaskOptions, Worker
from testing.probes import ask
from testing.redis_server import free_port
from testing.scarcity import no_more_descriptors, no_more_threads, pid
from testing.serving import Serve
from testing.waiting import eventually

in_process = Job(name="pid", function=pid, run_in="process")


def plain(_ctx: Context) -> str:
    return threading.current_thread().name


async def have_succeeded(client: Client, ids: list[str]) -> None:
    """Check that all tasks have succeeded and none was charged."""
    results = await client.wait_many(ids, 60)
    assert {result.state for result in results} == {State.SUCCEEDED}
    infos = [await client.get_task(task_id) for task_id in ids]
    assert {(info.failures, info.losses) for info in infos} == {(0, 0)}


def waits(worker: Worker, why: str) -> Callable[[], bool]:
    return lambda: why in (worker.ready_problem() or "")


async def test_a_thread_that_can_not_be_started_is_not_charged(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await serve({"plain": plain}, concurrency=3)
    await eventually(lambda: worker.ready_problem() is None, "its own threads have started")
    with no_more_threads():
        ids = [await client.enqueue_job(queue, "plain") for _ in range(20)]
        await eventually(waits(worker, "a thread for jobs can't be started"), "it says so")
        assert worker.live_problem() is None, "a new worker would be no better off"
        attempts = [(await client.get_task(task_id)).attempt for task_id in ids]
        assert sum(attempts) <= 2 * 3, "it does not try all of them over and over"
    await have_succeeded(client, ids)
    assert worker.ready_problem() is None
    assert "taking no more tasks: a thread for jobs can't be started: can't" in caplog.text
    assert "taking tasks again" in caplog.text


@pytest.mark.slow
async def test_a_process_that_can_not_be_started_is_not_charged(
    client: Client, serve: Serve, queue: str
) -> None:
    worker = await serve([in_process], concurrency=2)
    await kill_the_idle_one(client, worker, queue)
    with no_more_descriptors():
        ids = [await client.enqueue_job(queue, "pid") for _ in range(10)]
        await eventually(waits(worker, "a process for jobs can't be started: [Errno 24]"), "EMFILE")
        await eventually(waits(worker, "trying again in"), "it says when")
    before = open_files()
    await have_succeeded(client, ids)
    # Two descriptors for each running process, and none for those that did not start.
    assert open_files() <= before + 2 * worker.gauges.processes


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def kill_the_idle_one(client: Client, worker: Worker, queue: str) -> None:
    number = await client.wait_for_result(await client.enqueue_job(queue, "pid"), 60)
    os.kill(number, signal.SIGKILL)
    await eventually(lambda: worker.gauges.processes == 0, "there is none")


@pytest.mark.slow
async def test_a_process_that_dies_before_its_job_is_called_is_not_charged(
    client: Client, serve: Serve, queue: str
) -> None:
    """It was killed a moment ago while it was idle, and the worker has not noticed yet."""
    doomed: list[int] = []

    def kill(_ctx: Context) -> None:
        while doomed:
            number = doomed.pop()
            os.kill(number, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # the waiting thread was faster
                os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)

    await serve([in_process], concurrency=1, before_task=kill)
    first = await client.enqueue_job(queue, "pid")
    doomed.append(await client.wait_for_result(first, 60))
    await have_succeeded(client, [await client.enqueue_job(queue, "pid")])
    assert not doomed


async def test_hanging_threads_are_bounded(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    def hang(_ctx: Context) -> None:
        release.wait(120)

    port = free_port()
    jobs = [
        Job(name="hang", function=hang, timeout_seconds=0.1),
        Job(name="plain", function=plain),
    ]
    worker = await serve(jobs, concurrency=2, max_abandoned_threads=3, http_port=port)
    hanging = [await client.enqueue_job(queue, "hang") for _ in range(10)]
    good = [await client.enqueue_job(queue, "plain") for _ in range(5)]
    await eventually(waits(worker, "threads left behind by cut-off attempts: "), "it says so")
    await eventually(lambda: worker.gauges.running == 0, "nothing runs")
    abandoned = worker.gauges.abandoned_threads
    assert 3 <= abandoned <= 3 + 2 - 1
    states = [await client.get_status(task_id) for task_id in hanging + good]
    assert states == [State.FAILED] * abandoned + [State.PENDING] * (15 - abandoned)
    for path in ("/readyz", "/livez"):  # a new worker could take tasks
        status, text = await ask(port, path)
        assert status == 503
        assert f"threads left behind by cut-off attempts: {abandoned} (max_abandoned" in text
    assert "job hang in " in caplog.text
    assert "threading.py:" in caplog.text, "the log says where"
    release.set()
    await have_succeeded(client, good)
    for task_id in hanging[abandoned:]:
        assert await client.wait_for_result(task_id, 30) is None
    assert await ask(port, "/livez") == (200, "ok\n")
    assert await ask(port, "/readyz") == (200, "ok\n")


async def test_the_worker_is_live_while_another_attempt_runs(
    client: Client, serve: Serve, queue: str
) -> None:
    """The running attempt may end before the worker is replaced."""
    release, gate = threading.Event(), threading.Event()

    def hang(_ctx: Context) -> None:
        release.wait(120)

    def work(_ctx: Context) -> None:
        gate.wait(120)

    worker = await serve({"hang": hang, "work": work}, concurrency=2, max_abandoned_threads=1)
    working = await client.enqueue_job(queue, "work")
    late = TaskOptions(timeout_seconds=0.1)
    with pytest.raises(TaskFailed, match="TimedOut"):
        await client.wait_for_result(await client.enqueue_job(queue, "hang", task_options=late))
    assert waits(worker, "threads left behind by cut-off attempts: 1 ")()
    assert worker.live_problem() is None
    gate.set()
    await client.wait_for_result(working, 30)
    await eventually(worker.live_problem, "nothing runs any more")
    release.set()
    await eventually(lambda: worker.ready_problem() is None, "it goes on")
