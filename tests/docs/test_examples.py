"""Examples of the documentation, run as a reader runs them, on a real Redis."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from identtqueue import App, Client, Context, State, TaskFailed, TaskNotFound
from identtqueue.admin import Admin
from testing.markdown import files
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

Load = Callable[..., ModuleType]


def renamed(text: str, **names: str) -> str:
    """Replace texts in quotes, such as the name of a queue."""
    for shown, meant in names.items():
        assert f'"{shown}"' in text
        text = text.replace(f'"{shown}"', f'"{meant}"')
    return text


@pytest.fixture
def load(redis_server: RedisServer, queue: str) -> Load:
    """Provide a function that runs a file of a page, with the test's Redis and queue."""

    def load_file(page: str, file: str, shown_queue: str = "") -> ModuleType:
        text = files(page)[file].replace("redis://localhost", redis_server.address)
        if shown_queue:
            text = renamed(text, **{shown_queue: queue})
        module = ModuleType(Path(file).stem)
        exec(compile(text, f"{page}:{file}", "exec"), vars(module))
        return module

    return load_file


def context(task_id: str, **more: Any) -> Context:
    return Context(
        task_id=task_id,
        queue=task_id.partition(":")[0],
        function_name="example",
        attempt=1,
        failures=0,
        enqueued_at_ms=0,
        deadline=None,
        state={},
        logger=logging.getLogger(),
        **more,
    )


def test_fencing(load: Load) -> None:
    store_page = load("docs/concepts/fencing.md", "fenced.py").store_page
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE pages (page TEXT PRIMARY KEY, text TEXT, fence INTEGER)")
        assert store_page(db, "1", "by the first attempt", 100)
        assert store_page(db, "1", "by the second attempt", 200)
        assert not store_page(db, "1", "late, by the first attempt", 100)
        assert store_page(db, "1", "by the second attempt again", 200)
        assert db.execute("SELECT text FROM pages").fetchall() == [("by the second attempt again",)]


async def test_a_booking_happens_once(
    load: Load, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = load("docs/concepts/idempotency.md", "booking.py", "bookings")
    with closing(example.connect()) as db, db:
        db.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, cents INTEGER)")
        db.execute("CREATE TABLE done (task_id TEXT PRIMARY KEY)")
        db.execute("INSERT INTO accounts VALUES ('a', 100)")
    async with example.app, serving(example.app.worker()):
        task = await example.book.options(task_id="invoice:1").enqueue("a", 50)
        assert await task.result(30) == 150
        # The worker died after the booking: the same task runs again.
        again = await asyncio.to_thread(example.book, context(task.task_id), "a", 50)
        assert again == 150
        other = await example.book.options(task_id="invoice:2").enqueue("a", 50)
        assert await other.result(30) == 200


async def test_an_outbox_makes_up_for_what_redis_has_lost(load: Load, client: Client) -> None:
    example = load("docs/concepts/durability.md", "outbox.py", "orders")
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, shipped INTEGER DEFAULT 0)")
        db.execute("INSERT INTO orders (id) VALUES (1), (2)")
        async with example.app:
            assert await example.send_orders(db) == 2
            assert await example.send_orders(db) == 2  # nothing is shipped yet
            queue = example.ship.queue
            assert await client.queue_length(queue) == 2  # and nothing is there twice
            async with serving(example.app.worker()):
                for order in (1, 2):
                    assert await client.wait_for_result(f"{queue}:order-{order}", 30)
            await example.send_orders(db)
            assert await example.send_orders(db) == 0


async def test_fan_out(load: Load) -> None:
    example = load("docs/concepts/batches.md", "fan_out.py", "pages")
    async with example.app, serving(example.app.worker()):
        assert await example.count_book(["in the middle", "of the journey", "of our life"]) == 9


async def test_a_pipeline_goes_on_after_a_replay(
    load: Load,
    client: Client,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    example = load("docs/library/follow-ups.md", "pipeline.py", "pages")
    example.split.queue = example.add_up.queue = f"{example.count_words.queue}-books"
    text_of = example.text_of

    def torn(book: str, page: int) -> str:
        if page == 7:
            raise ValueError("torn")
        return text_of(book, page)

    def torn_everywhere(book: str, page: int) -> str:
        raise ValueError("torn")

    example.count_words = example.count_words.options(max_retries=0)
    async with example.app, serving(example.app.worker()):
        example.text_of = torn
        with pytest.raises(TaskFailed):
            await example.words_in("moby-dick", 40)
        last = f"{example.add_up.queue}:sum-moby-dick"
        with pytest.raises(TaskNotFound):
            await client.wait_for_result(last, 10)
        example.text_of = text_of
        async with Admin(redis_server.address) as admin:
            page = f"{example.count_words.queue}:moby-dick/7"
            assert await admin.replay([page]) == [page]
        assert await example.words_in("moby-dick", 40) == 160

        # All results have expired; the text has changed meanwhile.
        for name in ("split", "count_words", "add_up"):
            setattr(example, name, getattr(example, name).options(on_existing="replace"))
        example.text_of = torn_everywhere
        assert await example.words_in("moby-dick", 40) == 160


async def test_a_job_in_another_queue(load: Load, queue: str) -> None:
    example = load("docs/library/workers.md", "urgent.py", "urgent")
    async with example.app, serving(example.app.worker(queues=[queue])):
        assert await example.read_now("a.jpg") == "the line in a.jpg"
        assert await example.read_now_by_name("b.jpg") == "the line in b.jpg"


async def test_a_job_with_its_old_and_its_new_arguments(load: Load) -> None:
    example = load("docs/howto/change-a-signature.md", "two_jobs.py", "mrz")
    async with example.app, serving(example.app.worker()):
        old = await example.read_mrz.enqueue("s3://documents/a/b.jpg")
        new = await example.read_mrz_at.enqueue("documents", "a/b.jpg")
        assert await old.result(30) == await new.result(30) == "the line in documents/a/b.jpg"


async def test_fastapi(
    redis_server: RedisServer, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = renamed(files("docs/tutorial/first-task.md")["tasks.py"], documents=queue)
    (tmp_path / "tasks.py").write_text(tasks)
    (tmp_path / "service.py").write_text(files("docs/howto/fastapi.md")["service.py"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("IDENTTQUEUE_REDIS_ADDRESS", redis_server.address)
    for name in ("tasks", "service"):
        # What was set is taken back after the test: the next test may have a module of that name.
        monkeypatch.setitem(sys.modules, name, sys)
        del sys.modules[name]
    example, tasks_of_it = import_module("service"), import_module("tasks")
    service = example.service
    transport = httpx.ASGITransport(app=service)
    async with (
        service.router.lifespan_context(service),
        serving(tasks_of_it.app.worker()),
        httpx.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        done = await http.post("/texts/now", params={"text": "in the middle"})
        assert done.json() == {"words": 3}
        accepted = await http.post("/texts", params={"text": "in the middle"})
        task_id = accepted.json()["id"]
        await example.queue.client.wait_for_result(task_id, 30)
        assert (await http.get(f"/texts/{task_id}")).json() == {"state": "succeeded"}
        assert (await http.get(f"/texts/{queue}:none")).status_code == 404


@pytest.mark.slow
def test_the_tests_of_an_endpoint(tmp_path: Path) -> None:
    tasks = files("docs/tutorial/first-task.md")["tasks.py"]
    for name, text in (files("docs/howto/fastapi.md") | {"tasks.py": tasks}).items():
        (tmp_path / name).write_text(text, "utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "identtqueue.testing.plugin"],
        cwd=tmp_path,
        env=environment("redis://nowhere.invalid", PYTHONWARNINGS="default"),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "4 passed" in result.stdout, result.stdout + result.stderr


def test_the_settings_for_a_managed_redis(load: Load) -> None:
    assert isinstance(load("docs/redis.md", "managed.py").app, App)


class Terminal:
    """A terminal in a folder with the files of a page."""

    def __init__(self, folder: Path, page: str, environ: dict[str, str], **names: str) -> None:
        self._folder = folder
        self._environ = environ | {"PYTHONPATH": f"{environ['PYTHONPATH']}{os.pathsep}{folder}"}
        for name, text in files(page).items():
            known = {shown: meant for shown, meant in names.items() if f'"{shown}"' in text}
            (folder / name).write_text(renamed(text, **known), "utf-8")

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *words),
            cwd=self._folder,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str) -> str:
        process = await self.start(*words)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest.mark.slow
async def test_the_tutorial(redis_server: RedisServer, queue: str, tmp_path: Path) -> None:
    page = "docs/tutorial/first-task.md"
    environ = environment(redis_server.address)
    terminal = Terminal(tmp_path, page, environ, documents=queue)
    work = ("-m", "identtqueue", "worker", "tasks:app", "--queue", queue)
    workers = [await terminal.start(*work)]
    try:
        assert re.fullmatch(rf"{queue}:[\w-]+\n6\n", await terminal.run("call.py"))
        assert await terminal.run("fail.py") == "ValueError the text is empty\n"
        dead = await terminal.run("-m", "identtqueue", "dead", "list", queue)
        assert "the text is empty" in dead
        slow = await terminal.start("slow.py")
        async with Admin(redis_server.address) as admin:
            await eventually(lambda: _is_running(admin, queue))
        workers[0].send_signal(signal.SIGKILL)
        await workers[0].communicate()
        workers.append(await terminal.start(*work))
        out, _ = await slow.communicate()
        assert out.decode() == f"attempt 2 in process {workers[1].pid}\n"
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.terminate()
            await worker.communicate()


async def _is_running(admin: Admin, queue: str) -> bool:
    return (await admin.depths([queue]))[queue].in_flight > 0


@pytest.mark.slow
async def test_a_model_in_a_process(
    redis_server: RedisServer, queue: str, client: Client, tmp_path: Path
) -> None:
    environ = environment(redis_server.address, DEVICE="the test's device")
    folder, page = tmp_path, "docs/howto/big-models.md"
    terminal = Terminal(
        folder, page, environ, pages=queue, **{"redis://localhost": redis_server.address}
    )
    words = ("worker", "recognise:app", "--queue", queue, "--concurrency", "1")
    worker = await terminal.start("-m", "identtqueue", *words)
    try:
        task = await client.enqueue_job(queue, "read_page", "a.png")
        assert await client.wait_for_result(task, 60) == "a.png, read on the test's device"
        assert await client.get_status(task) is State.SUCCEEDED
    finally:
        worker.terminate()
        await worker.communicate()


@pytest.mark.slow
async def test_mend_what_has_failed(
    load: Load, client: Client, redis_server: RedisServer, queue: str
) -> None:
    """A registry is away; the tasks fail; it comes back."""
    app, away = App(redis_server.address, default_queue=queue), True

    @app.task(max_retries=0)
    async def read_mrz(_ctx: Context, page: int) -> int:
        if away:
            raise ConnectionError("the registry is away")
        return page

    @app.task(max_retries=0)
    async def other(_ctx: Context, page: int) -> int:
        return page

    mend = load("docs/howto/mend.md", "mend.py", "mrz")
    async with app, serving(app.worker(concurrency=50)):
        failed = [await read_mrz.enqueue(page) for page in range(150)]
        await client.wait_many([handle.task_id for handle in failed], 60)
        await asyncio.to_thread(mend.stop)
        late = await read_mrz.enqueue(150)
        assert await (await other.enqueue(1)).result(30) == 1, "other jobs go on"
        assert await client.get_status(late.task_id) is State.PENDING
        await asyncio.to_thread(mend.look)
        away = False
        tried = await asyncio.to_thread(mend.try_few)
        assert len(tried) == 3
        assert await late.result(30) == 150
        await client.wait_many(tried, 30)
        assert await asyncio.to_thread(mend.replay_all) == 147
        results = await client.wait_many([handle.task_id for handle in failed], 60)
        assert [result.value for result in results] == list(range(150))
        await asyncio.to_thread(mend.report)
    acts = [entry.act for entry in await asyncio.to_thread(mend.admin.audit, queue)]
    assert acts == ["replay", "resume_job", "replay", "pause_job"]
    await asyncio.to_thread(mend.admin.close)
