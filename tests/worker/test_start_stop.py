"""Starting and stopping at any moment leaves nothing behind: no key, no connection, no task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from identtqueue import App, Client, InvalidInput, State, Worker
from identtqueue.errors import ProtocolMismatch, RedisAuthFailed
from identtqueue.protocol.scripts import script
from identtqueue.protocol.submission import Submission
from identtqueue.worker.stopping import bounded
from testing.accounts import left_over
from testing.invariants import check_invariants
from testing.ledger import Ledger
from testing.processes import WorkerProcess, environment
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

NewServer = Callable[..., RedisServer]


async def echo(_ctx, value=None):
    return value


@pytest.fixture(autouse=True)
async def nothing_is_left_running() -> AsyncIterator[None]:
    """Check after each test that no asyncio task and no thread of the library is left."""
    yield
    await eventually(
        lambda: asyncio.all_tasks() == {asyncio.current_task()},
        lambda: f"no task is left: {asyncio.all_tasks()}",
        seconds=10,
    )
    await eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("identtqueue")],
        lambda: f"no thread is left: {threading.enumerate()}",
        seconds=10,
    )


def connections(raw: redis.Redis) -> list[str]:
    return [c["name"] for c in raw.client_list() if c["name"].startswith("identtqueue")]


async def test_idle(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    with server.client() as raw:
        for _ in range(3):
            async with serving(Worker({"echo": echo}, server.address, "q", http_port=0)):
                await eventually(lambda: raw.zcard("idtq:{q}:workers") == 1, "it registered")
            assert left_over(raw, "q") == []
            await eventually(lambda: not connections(raw), "all connections are closed")


@pytest.mark.slow
async def test_at_every_turn_of_the_loop(new_redis_server: NewServer) -> None:
    """Stop it after one turn of its loop, after two, and so on until past its first task."""
    server = new_redis_server()
    with server.client() as raw:
        async with Client(server.address) as client:
            ids = [await client.enqueue_job("q", "echo", n) for n in range(50)]
            turns, started = 0, False
            while not started:
                worker = Worker({"echo": echo}, server.address, queue_names=["q", "r"])
                task = asyncio.create_task(worker.serve())
                for _ in range(turns):
                    await asyncio.sleep(0)
                started = (await client.get_status(ids[-1])) is State.SUCCEEDED
                worker.stop()
                await task
                assert left_over(raw, "q") in ([], ["idtq:{q}:pending", "idtq:{q}:wake"])
                assert left_over(raw, "r") == []
                check_invariants(raw, "q")
                turns += 1
            results = await client.wait_many(ids, 30)
            assert [r.value for r in results] == list(range(50))
            infos = [await client.get_task(task_id) for task_id in ids]
            assert {info.losses for info in infos} == {0}, "a release is not charged"


async def test_cancelled_at_every_turn_of_the_loop(new_redis_server: NewServer) -> None:
    """An application may cancel `serve`. The worker's tasks are requeued at once, uncharged."""
    server = new_redis_server()
    gate = asyncio.Event()

    async def slow(_ctx):
        await gate.wait()

    with server.client() as raw:
        async with Client(server.address) as client:
            ids = [await client.enqueue_job("q", "slow") for _ in range(3)]
            turns, claimed = 0, 0
            while claimed < 5:
                worker = Worker({"slow": slow}, server.address, "q")
                task = asyncio.create_task(worker.serve())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert left_over(raw, "q") == ["idtq:{q}:pending", "idtq:{q}:wake"]
                assert raw.lrange("idtq:{q}:pending", 0, -1) == [i.encode() for i in ids]
                check_invariants(raw, "q")
                turns += 1
                claimed += int(raw.hget("idtq:{q}:stats", "claimed") or 0) > 0
            info = await client.get_task(ids[0])
            assert info.losses == 0


async def test_before_redis_is_there(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    server.stop()
    async with serving(Worker({"echo": echo}, server.address, "q")):
        await asyncio.sleep(0)


@pytest.mark.slow
async def test_while_redis_goes_away_during_the_start(
    redis_server: RedisServer, queue: str
) -> None:
    """The worker is connected but not registered. The stop does not wait for Redis to be back."""
    async with Proxy(redis_server.port) as proxy:

        async def cut(_state):
            proxy.refuse()

        worker = Worker({"echo": echo}, proxy.address, queue, on_startup=cut)
        async with serving(worker):
            await eventually(lambda: proxy.accepted >= 3, "it tries again")
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 20


@pytest.mark.slow
async def test_a_signal_after_the_end_changes_nothing(
    redis_server: RedisServer, tmp_path: Path, queue: str
) -> None:
    """The process sends a signal to itself as its last action."""
    (tmp_path / "late.py").write_text(
        "import atexit, os, signal\n"
        "from identtqueue import App\n"
        "app = App()\n"
        "app.task(name='job')(lambda _ctx: 1)\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([environment("")["PYTHONPATH"], str(tmp_path)])}
    ledger = Ledger(tmp_path / "ledger")
    worker = WorkerProcess(redis_server.address, [queue], ledger, app="late:app", environ=path)
    await worker.started()
    await worker.terminate()


async def test_during_a_claim(redis_server: RedisServer, raw: redis.Redis, queue: str) -> None:
    """The reply to the claim is still in transit. The task is requeued, uncharged."""
    async with Client(redis_server.address) as client, Proxy(redis_server.port) as proxy:
        async with serving(Worker({"echo": echo}, proxy.address, queue)) as worker:
            await client.wait_for_result(await client.enqueue_job(queue, "echo", 1), 30)
            proxy.hold_replies_to(script("claim").sha.encode())
            task_id = await client.enqueue_job(queue, "echo", 2)
            await eventually(lambda: _is_claimed(client, task_id), "it is claimed")
            worker.stop()
            worker.stop = lambda: None
            proxy.release_replies()
        info = await client.get_task(task_id)
        assert (info.state, info.losses, info.failures) == (State.PENDING, 0, 0)
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]


@pytest.mark.slow
async def test_a_claim_whose_reply_is_lost(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """The worker owns a task that it does not know of. It finds out, and the task runs."""
    async with Client(redis_server.address) as client, Proxy(redis_server.port) as proxy:
        async with serving(Worker({"echo": echo}, proxy.address, queue)):
            await client.wait_for_result(await client.enqueue_job(queue, "echo", 1), 30)
            proxy.hold_replies_to(script("claim").sha.encode())
            task_id = await client.enqueue_job(queue, "echo", 2)
            await eventually(lambda: _is_claimed(client, task_id), "it is claimed")
            proxy.cut()
            proxy.release_replies()
            assert await client.wait_for_result(task_id, 30) == 2
        info = await client.get_task(task_id)
        assert (info.attempt, info.losses) == (2, 0)
    assert left_over(raw, queue) == []


async def _is_claimed(client: Client, task_id: str) -> bool:
    return await client.get_status(task_id) is State.RUNNING


async def test_a_second_stop_cuts_off_what_runs(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    started = asyncio.Event()

    async def for_ever(_ctx):
        started.set()
        await asyncio.Event().wait()

    worker = Worker({"for_ever": for_ever}, redis_server.address, queue, grace_seconds=3600)
    task_id = await client.enqueue_job(queue, "for_ever")
    async with serving(worker):
        await started.wait()
        worker.stop()
    info = await client.get_task(task_id)
    assert (info.state, info.losses, info.failures) == (State.PENDING, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "what"), [("loop", "{task_id}"), ("thread", "asyncio.to_thread")]
)
async def test_what_does_not_end_is_left_behind(
    client: Client,
    redis_server: RedisServer,
    raw: redis.Redis,
    tmp_path: Path,
    queue: str,
    where: str,
    what: str,
) -> None:
    """The task is requeued, the lease is given back, and the process exits."""
    ledger = Ledger(tmp_path / "ledger")
    worker = WorkerProcess(redis_server.address, [queue], ledger, grace_seconds=0)
    await worker.started()
    task_id = await client.enqueue_job(queue, "stays", where)
    await ledger.wait_for(lambda found: found.starts(), "it runs")
    await worker.terminate()
    assert f"exiting, although these do not end: {what.format(task_id=task_id)}" in worker.log
    info = await client.get_task(task_id)
    assert (info.state, info.failures, info.losses) == (State.PENDING, 0, 0)
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]


async def test_the_order_of_a_stop(
    client: Client, redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """Running attempts may end within the grace time, no new one starts, and hooks come last."""
    events = []
    go = asyncio.Event()

    async def slow(_ctx, n):
        events.append(f"start {n}")
        await go.wait()
        events.append(f"end {n}")
        return n

    worker = Worker(
        {"slow": slow},
        redis_server.address,
        queue,
        concurrency=2,
        on_startup=lambda _state: events.append("startup"),
        on_shutdown=lambda _state: events.append("shutdown"),
    )
    receipts = await client.submit_many(Submission(queue, "slow", (n,)) for n in range(3))
    async with serving(worker):
        await eventually(lambda: len(events) == 3, "two run")
        worker.stop()
        again = asyncio.get_running_loop().call_soon(go.set)
        await eventually(lambda: "end 1" in events, "they may end")
        again.cancel()
        worker.stop = lambda: None  # `serving` would stop it a second time
    assert events == ["startup", "start 0", "start 1", "end 0", "end 1", "shutdown"]
    results = await client.wait_many([r.task_id for r in receipts[:2]], 30)
    assert [r.value for r in results] == [0, 1]
    assert await client.get_status(receipts[2].task_id) is State.PENDING
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]


async def test_a_job_may_end_its_cleanup(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    """A job that is cut off may still return a result. An error that it raises is ignored."""
    started = []

    async def saves(_ctx):
        started.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    async def spoils(_ctx):
        started.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("in its cleanup") from None

    saved = await client.enqueue_job(queue, "saves")
    spoilt = await client.enqueue_job(queue, "spoils")
    jobs = {"saves": saves, "spoils": spoils}
    async with serving(Worker(jobs, redis_server.address, queue, grace_seconds=0)):
        await eventually(lambda: len(started) == 2, "both run")
    assert await client.wait_for_result(saved, 30) == "saved"
    info = await client.get_task(spoilt)
    assert (info.state, info.failures) == (State.PENDING, 0)


async def test_hooks(
    client: Client, redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    async def opens(state):
        state["pool"] = ["open"]

    def closes(state):
        state["pool"].append("closed")
        raise ValueError("and fails")

    async def uses(ctx):
        return ctx.state["pool"]

    worker = Worker(
        {"uses": uses}, redis_server.address, queue, on_startup=opens, on_shutdown=closes
    )
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "uses")
        assert await client.wait_for_result(task_id, 30) == ["open"]
    assert worker.state["pool"] == ["open", "closed"], "its error is logged, the stop goes on"
    assert left_over(raw, queue) == []


async def test_a_failing_startup_hook_stops_the_worker(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    closed = []

    def fails(_state):
        raise OSError("no model file")

    worker = Worker(
        {"echo": echo}, redis_server.address, queue, on_startup=fails, on_shutdown=closed.append
    )
    with pytest.raises(OSError, match="no model file"):
        await worker.serve()
    assert closed == [], "what was not started is not shut down"
    assert left_over(raw, queue) == []


async def test_during_the_startup_hook(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    loading = asyncio.Event()

    async def loads(_state):
        loading.set()
        await asyncio.Event().wait()

    async with serving(Worker({"echo": echo}, redis_server.address, queue, on_startup=loads)):
        await loading.wait()
    assert left_over(raw, queue) == []


async def test_before_it_serves(redis_server: RedisServer, raw: redis.Redis, queue: str) -> None:
    worker = Worker({"echo": echo}, redis_server.address, queue)
    worker.stop()
    await worker.serve()
    assert left_over(raw, queue) == []


async def test_another_protocol_version(
    redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    """The second queue refuses the worker. It gives back the lease of the first and raises."""
    raw.hset(f"idtq:{{{queue}}}:meta", "protocol", "9")
    first = f"{queue}-first"
    worker = Worker({"echo": echo}, redis_server.address, queue_names=[first, queue])
    with pytest.raises(ProtocolMismatch, match="uses protocol version 9"):
        await worker.serve()
    assert left_over(raw, first) == left_over(raw, queue) == []


async def test_wrong_password(new_redis_server: NewServer) -> None:
    server = new_redis_server()
    with server.client() as raw:
        raw.config_set("requirepass", "right")
    with pytest.raises(RedisAuthFailed, match="Check user name, password and ACL"):
        await Worker({"echo": echo}, server.address, "q").serve()


def test_cron_of_an_unknown_job() -> None:
    app = App("redis://nowhere")

    @app.task
    async def known(_ctx): ...

    entry = app.cron("* * * * *", known)
    with pytest.raises(
        InvalidInput, match="cron known: this worker has no job 'known'; it has: echo"
    ):
        Worker({"echo": echo}, "redis://nowhere", "q", cron=[entry])
    with pytest.raises(InvalidInput, match="two cron entries of one queue have the same name"):
        Worker({"known": echo}, "redis://nowhere", "q", cron=[entry, entry])


@pytest.mark.parametrize("how", ["returns", "raises", "ctrl-c"])
def test_the_end_of_the_applications_loop_releases_what_runs(
    redis_server: RedisServer, raw: redis.Redis, queue: str, how: str
) -> None:
    """asyncio cancels all tasks at once. The attempts' tasks are requeued at once, uncharged."""
    told: list[str] = []

    async def slow(_ctx):
        await asyncio.Event().wait()

    async def main() -> None:
        worker = Worker(
            {"slow": slow},
            redis_server.address,
            queue,
            after_task=lambda _ctx, outcome: told.append(outcome.name),
        )
        serving_ = asyncio.create_task(worker.serve())
        async with Client(redis_server.address) as client:
            for _ in range(3):
                await client.enqueue_job(queue, "slow")
            await eventually(lambda: worker.gauges.running == 3, "three run")
        if how == "raises":
            raise ValueError("main")
        if how == "ctrl-c":
            os.kill(os.getpid(), signal.SIGINT)
            await serving_

    began = time.monotonic()
    ending = {
        "returns": contextlib.nullcontext(),
        "raises": pytest.raises(ValueError, match="main"),
    }
    with ending.get(how) or pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert time.monotonic() - began < 5
    assert told == ["released"] * 3
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]
    for task_id in raw.lrange(f"idtq:{{{queue}}}:pending", 0, -1):
        row = raw.hgetall(f"idtq:{{{queue}}}:task:{task_id.decode()}")
        assert (row.get(b"losses", b"0"), row.get(b"failures", b"0")) == (b"0", b"0")


# --- where a worker can't be run ---


async def test_run_inside_a_loop(redis_server: RedisServer, queue: str) -> None:
    with pytest.raises(InvalidInput, match=r"use `await worker\.serve\(\)`"):
        Worker({"echo": echo}, redis_server.address, queue).run()


def test_run_in_another_thread(redis_server: RedisServer, queue: str) -> None:
    told: list[BaseException] = []

    def work() -> None:
        try:
            Worker({"echo": echo}, redis_server.address, queue).run()
        except InvalidInput as error:
            told.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (error,) = told
    assert "use `asyncio.run(worker.serve())`" in str(error)


async def test_in_another_thread_as_that_error_says(
    client: Client, redis_server: RedisServer, queue: str
) -> None:
    """The worker serves in `asyncio.run` in a thread, and `call_soon_threadsafe` stops it."""
    worker, loops = Worker({"echo": echo}, redis_server.address, queue), []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await worker.serve()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    task_id = await client.enqueue_job(queue, "echo", 1)
    assert await client.wait_for_result(task_id, 30) == 1
    loops[0].call_soon_threadsafe(worker.stop)
    await eventually(lambda: not thread.is_alive(), "it has ended")


async def test_served_twice(redis_server: RedisServer, raw: redis.Redis, queue: str) -> None:
    """A second run is refused during and after the first, which is not harmed."""
    worker = Worker({"echo": echo}, redis_server.address, queue)
    async with serving(worker):
        await eventually(lambda: raw.zcard(f"idtq:{{{queue}}}:workers"), "it is registered")
        with pytest.raises(InvalidInput, match="a worker serves only once"):
            await worker.serve()
        assert raw.zcard(f"idtq:{{{queue}}}:workers") == 1
    with pytest.raises(InvalidInput, match="make another Worker"):
        await worker.serve()


# --- messages ---


async def test_unfinished_steps_of_a_stop_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No message is empty, even if the error has no text."""

    async def fails() -> None:
        raise OSError

    await bounded("one thing", asyncio.sleep(60), 0.01)
    await bounded("another thing", fails(), 60)
    assert [record.getMessage() for record in caplog.records] == [
        "shutdown: one thing: not done within 0.01 s",
        "shutdown: another thing: OSError",
    ]
