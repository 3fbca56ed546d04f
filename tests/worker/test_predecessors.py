"""A starting worker recovers at once those of its container or host that are certainly dead."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from identtqueue import Client, State
from identtqueue.protocol import codec, keys
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import claiming, enqueueing, inspecting, leasing
from identtqueue.protocol.submission import Submission, new_task
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.subscriber import Subscriber
from testing.ledger import Ledger
from testing.processes import WorkerProcess
from testing.redis_server import RedisServer
from testing.serving import Serve

POD = {"IDENTTQUEUE_POD_UID": "pod-1", "IDENTTQUEUE_CONTAINER": "worker"}
EARLIER = {"pod_uid": "pod-1", "container": "worker", "boot": "100"}
HOUR_MS = 3_600_000


async def job(_ctx):
    return "done"


async def held_by(
    calls: AsyncRedis, queue: str, worker_id: str, info: dict[str, str | None]
) -> str:
    """Have a worker with a long lease claim a task; return the task's id."""
    task: NewTask = new_task(Submission(queue, "job"), 10_000)
    await calls.run(leasing.register(queue, worker_id, HOUR_MS, info))
    await calls.run(enqueueing.enqueue(queue, [task]))
    claimed = await calls.run(claiming.claim(queue, worker_id, 1))
    assert [a.task_id for a in claimed.attempts] == [task.task_id]
    return task.task_id


@pytest.fixture
def in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in POD.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("in_a_pod")
async def test_its_tasks_run_again_at_once(
    client: Client, calls: AsyncRedis, serve: Serve, queue: str
) -> None:
    """Although its lease would last for an hour. The loss is charged."""
    task_id = await held_by(calls, queue, "pod-1.earlier", EARLIER)
    await serve({"job": job})
    assert await client.wait_for_result(task_id, 30) == "done"
    info = await client.get_task(task_id)
    assert (info.attempt, info.losses) == (2, 1)
    assert info.owner.startswith("pod-1.")
    rows = await calls.run(inspecting.workers(queue))
    assert [row.worker_id for row in rows] == [info.owner]


@pytest.mark.usefixtures("in_a_pod")
async def test_every_registered_field_is_read_back(
    client: Client, calls: AsyncRedis, serve: Serve, queue: str
) -> None:
    """Every field that a worker registers is known to the reader, which drops unknown ones."""
    await serve({"job": job})
    await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)  # it has registered
    (row,) = await calls.run(inspecting.workers(queue))
    info = keys.queue_keys(queue).info
    written = await calls.run(
        Call("HGET", (info,), (row.worker_id,), codec.decode_value, is_script=False)
    )
    assert row.info == {name: value for name, value in written.items() if value is not None}
    assert not row.flaw
    assert {"pod_uid", "container", "boot", "domain", "process"} <= set(row.info)


OTHERS = {
    "another pod": EARLIER | {"pod_uid": "pod-2"},
    "another container": EARLIER | {"container": "sidecar"},
    "no boot": EARLIER | {"boot": None},
    "no pod": EARLIER | {"pod_uid": None},
}


@pytest.mark.usefixtures("in_a_pod")
@pytest.mark.parametrize("info", OTHERS.values(), ids=OTHERS.keys())
async def test_no_other_worker_is_recovered(
    client: Client,
    calls: AsyncRedis,
    serve: Serve,
    queue: str,
    info: dict[str, str | None],
) -> None:
    task_id = await held_by(calls, queue, "somebody.else", info)
    await serve({"job": job})
    other = await client.enqueue_job(queue, "job")
    await client.wait_for_result(other, 30)
    assert await client.get_status(task_id) is State.RUNNING


@pytest.mark.usefixtures("in_a_pod")
async def test_the_same_start_of_the_container_is_no_predecessor(
    client: Client, serve: Serve, queue: str
) -> None:
    """Of two worker processes in one container, neither takes the other for dead."""
    started, release = asyncio.Event(), asyncio.Event()

    async def slow(_ctx):
        started.set()
        await release.wait()

    await serve({"slow": slow, "job": job})
    task_id = await client.enqueue_job(queue, "slow")
    await started.wait()
    await serve({"slow": slow, "job": job})
    await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    assert await client.get_status(task_id) is State.RUNNING
    release.set()
    await client.wait_for_result(task_id, 30)


@pytest.mark.usefixtures("in_a_pod")
async def test_one_that_is_still_connected_is_not_dead(
    client: Client, calls: AsyncRedis, redis_server: RedisServer, serve: Serve, queue: str
) -> None:
    """Its control connection is open, so a different boot value must be a mistake."""
    task_id = await held_by(calls, queue, "pod-1.earlier", EARLIER)
    alive = Subscriber(calls.settings, client_name="alive", on_message=lambda *_: None)
    await alive.add(keys.control_channel("pod-1.earlier"))
    await serve({"job": job})
    other = await client.enqueue_job(queue, "job")
    await client.wait_for_result(other, 30)
    assert await client.get_status(task_id) is State.RUNNING
    await alive.close()


@pytest.mark.slow
async def test_a_process_of_this_host_that_is_gone(
    client: Client, redis_server: RedisServer, queue: str, tmp_path: Path
) -> None:
    """A worker is killed and started again, as by systemd. Its lease would last for an hour."""
    ledger, gate = Ledger(tmp_path / "ledger"), tmp_path / "gate"
    workers = [
        WorkerProcess(redis_server.address, [queue], ledger, lease_seconds=3600) for _ in range(3)
    ]
    try:
        lost, alive, fresh = workers
        await lost.started()
        taken = await client.enqueue_job(queue, "journal", str(gate))
        await ledger.wait_for(lambda led: len(led.starts()) == 1, "it runs")
        lost.send(signal.SIGSTOP)  # so that the next task goes to the other one
        await alive.started()
        kept = await client.enqueue_job(queue, "journal", str(gate))
        await ledger.wait_for(lambda led: len(led.starts()) == 2, "that runs too")
        await lost.kill()
        await fresh.started()
        await ledger.wait_for(lambda led: len(led.starts()) == 3, "the first one runs again")
        gate.touch()
        for task_id, losses in ((taken, 1), (kept, 0)):
            await client.wait_for_result(task_id, 30)
            assert (await client.get_task(task_id)).losses == losses
    finally:
        for worker in workers:
            worker.destroy()


async def test_without_a_pod_no_worker_counts_as_predecessor(
    client: Client, calls: AsyncRedis, serve: Serve, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in POD:
        monkeypatch.delenv(name, raising=False)
    task_id = await held_by(calls, queue, "pod-1.earlier", EARLIER)
    await serve({"job": job})
    other = await client.enqueue_job(queue, "job")
    await client.wait_for_result(other, 30)
    assert await client.get_status(task_id) is State.RUNNING
