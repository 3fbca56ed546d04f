"""The worker of a test, on a real server: what it runs, when it stops, whose data it sees."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from identtqueue import App, InvalidInput, RedisUnavailable, State, TaskFailed
from identtqueue.admin import Admin
from identtqueue.testing import BurstWorker, JobsFailed, TestServer
from testing.redis_server import RedisServer
from testing.typed_jobs import Document, new_app
from testing.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[TestServer]:
    with TestServer() as server:
        yield server


async def test_it_runs_until_nothing_is_left(server: TestServer) -> None:
    app, seen = new_app()
    async with BurstWorker(app, server) as worker:
        task = await app.jobs["read"].enqueue(Document("a", 3))
        ran = await worker.run()
        assert ran.jobs == ["read", "check"]
        assert ran[1].value is True
        assert await task.result(0) == Document("A", 6)
        assert len(await worker.run()) == 0
        assert [task.job for task in worker.enqueued()] == ["read", "check"]
        worker.assert_enqueued(app.jobs["check"], 3)
    assert seen.hooks == ["startup", "before read", "before check", "shutdown"]


async def test_it_runs_a_number_of_tasks(server: TestServer) -> None:
    app, _ = new_app()
    async with BurstWorker(app, server) as worker:
        await app.enqueue_many(app.jobs["check"].call(n) for n in range(6))
        for number in (1, 3):
            assert len(await worker.run(number)) == number
        assert await app.client.queue_length("checks") == 2
        assert len(await worker.run(9)) == 2


async def test_failures_are_shown(server: TestServer) -> None:
    app, _ = new_app()
    async with BurstWorker(app, server) as worker:
        failed = await app.jobs["fail"].enqueue()
        retried = await app.jobs["flaky"].enqueue()
        unknown = await app.client.enqueue_job("mrz", "no_such_job")
        ran = await worker.run()
        assert sorted(ran.outcomes) == ["failed", "failed", "retried"]
        assert {attempt.task_id for attempt in ran.failures} == {
            failed.task_id,
            retried.task_id,
            unknown,
        }
        assert await retried.status() is State.SCHEDULED
        with pytest.raises(TaskFailed, match="it is broken"):
            await failed.result(0)
        await app.jobs["fail"].enqueue()
        with pytest.raises(JobsFailed, match=r"1 attempt has failed:\n\nfail .*it is broken"):
            await worker.run(raise_failures=True)


async def test_a_task_that_cannot_run_is_reported(server: TestServer) -> None:
    app, _ = new_app()
    async with BurstWorker(app, server) as worker, Admin(worker.settings) as admin:
        await admin.pause("checks")
        await app.jobs["check"].enqueue(1)
        with pytest.raises(
            TimeoutError, match=r"left after 0.1 s: queue checks: 1 pending.*paused"
        ):
            await worker.run(timeout_seconds=0.1)


async def test_an_error_of_a_hook_is_raised(server: TestServer) -> None:
    app, _ = new_app()

    @app.on_startup
    def broken(state: object) -> None:
        raise RuntimeError("no database")

    async with BurstWorker(app, server) as worker:
        await app.jobs["check"].enqueue(1)
        with pytest.raises(RuntimeError, match="no database"):
            await worker.run()


async def test_a_schedule_fires_on_request_only(server: TestServer) -> None:
    app, _ = new_app()
    app.cron("* * * * * *", app.jobs["check"].call(5), name="each-second")
    async with BurstWorker(app, server) as worker:
        assert [attempt.job for attempt in await worker.fire("nightly")] == ["check"]
        async with Admin(worker.settings) as admin:
            assert (await admin.depths(["checks"]))["checks"].scheduled == 0


async def test_delays_and_retries_are_brought_forward(server: TestServer) -> None:
    app, _ = new_app()
    check, flaky = app.jobs["check"], app.jobs["flaky"]
    async with BurstWorker(app, server) as worker:
        last = await check.options(delay_seconds=3600).enqueue(1)
        first = await check.options(delay_seconds=60).enqueue(2)
        assert not await worker.advance(50)
        later = await check.options(delay_seconds=60).enqueue(3)  # due at 110 s
        retried = await flaky.enqueue()
        ran = await worker.advance(30)
        assert [attempt.task_id for attempt in ran] == [
            *[retried.task_id] * 3,
            first.task_id,
        ]
        assert await retried.result(0) == 3
        assert [attempt.task_id for attempt in await worker.advance(60)] == [later.task_id]
        assert await last.status() is State.SCHEDULED
        assert [attempt.task_id for attempt in await worker.advance(3500)] == [last.task_id]


async def test_it_works_beside_the_test(server: TestServer) -> None:
    app, _ = new_app()
    async with BurstWorker(app, server) as worker, worker.serving(concurrency=3) as running:
        assert running.settings.concurrency == 3
        task = await app.jobs["read"].enqueue(Document("a"))
        assert await task.result(30) == Document("A", 2)


def test_a_test_without_an_event_loop(server: TestServer) -> None:
    app, _ = new_app()
    with BurstWorker(app, server) as worker:
        task = app.jobs["read"].enqueue_sync(Document("a"))
        assert worker.run_sync().jobs == ["read", "check"]
        assert task.result(0) == Document("A", 2)
        assert [entry.job for entry in worker.enqueued()] == ["read", "check"]


async def test_each_has_a_database_of_its_own(server: TestServer) -> None:
    (one, _), (two, _) = new_app(), new_app()
    async with BurstWorker(one, server) as first, BurstWorker(two, server) as second:
        await one.jobs["check"].enqueue(1)
        assert len(await second.run()) == 0
        assert len(await first.run()) == 1


async def test_two_event_loops_use_the_app(server: TestServer) -> None:
    """The test client of a web framework runs the application in a loop of its own."""
    app, _ = new_app()

    async def request() -> str:
        async with app:
            return (await app.jobs["check"].enqueue(1)).task_id

    async with BurstWorker(app, server) as worker:
        await app.jobs["check"].enqueue(1)
        await asyncio.to_thread(asyncio.run, request())
        assert len(await worker.run()) == 2


async def test_without_a_server_there_is_one_for_the_process() -> None:
    (one, _), (two, _) = new_app(), new_app()
    async with BurstWorker(one) as first, BurstWorker(two) as second:
        await one.jobs["check"].enqueue(1)
        assert len(await second.run()) == 0
        assert len(await first.run()) == 1


USES_A_SERVER = """
import sys
from identtqueue.testing import TestServer
from identtqueue.testing import server
from identtqueue import SyncClient
if sys.argv[1] == "program":
    server._Embedded.find = lambda: None
private = TestServer().start()
settings = private.fresh_database()
with SyncClient(settings) as client:
    client.enqueue_job("mrz", "job")
    print(settings.address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["embedded", "program"])
def test_a_private_server_ends_with_its_process(kind: str) -> None:
    command = [sys.executable, "-c", USES_A_SERVER, kind]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        scheme, _, path = address.partition("?")[0].partition("://")
        assert scheme == {"embedded": "embedded", "program": "unix"}[kind]
        folder = Path(path) if kind == "embedded" else Path(path).parent
        assert folder.is_dir()
        process.kill()
    wait_until("the server has ended", lambda: not _uses(folder))
    shutil.rmtree(folder)


def _uses(folder: Path) -> list[Path]:
    """Return the processes that work in a folder."""
    return [
        process
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _folder_of(process) == folder
    ]


def _folder_of(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None


def test_a_server_of_others_keeps_their_data(
    new_redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = new_redis_server(options=("--databases", "4"))
    with shared.client(db=1) as theirs, shared.client(db=0) as first:
        theirs.set("precious", 1)
        first.set("precious", 2)
        monkeypatch.setenv("IDENTTQUEUE_TEST_REDIS_ADDRESS", f"redis://127.0.0.1:{shared.port}/0")
        with TestServer() as one, TestServer() as two:
            databases = [one.fresh_database().database, two.fresh_database().database]
            assert sorted(databases) == [2, 3]
            App(one.fresh_database()).sync_client.enqueue_job("mrz", "job")
            with TestServer() as three, pytest.raises(RedisUnavailable, match="databases 1 to 3"):
                three.fresh_database()
            with shared.client(db=databases[0]) as ours:
                assert ours.dbsize() > 0
                one.fresh_database()
                assert ours.dbsize() == 0
        assert (theirs.get("precious"), first.get("precious")) == (b"1", b"2")
        with TestServer() as later:  # they have left their databases
            assert later.fresh_database().database == 2


def test_a_cluster_is_refused() -> None:
    with pytest.raises(InvalidInput, match="single server"):
        TestServer("redis+cluster://localhost:1").start()
