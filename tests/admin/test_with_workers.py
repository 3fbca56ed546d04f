"""Traces of real workers for those who look: parents, tags, kept arguments, declared secrets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_serializer

from identtqueue import App, Context, State, TaskFailed, TaskOptions
from identtqueue.admin import Admin, Filter, Place
from identtqueue.redaction import HIDDEN
from testing.redis_server import RedisServer
from testing.serving import serving


class Login(BaseModel):
    user: str
    pin: SecretStr

    @field_serializer("pin")
    def reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()


@pytest.fixture
def app(redis_server: RedisServer, queue: str) -> App:
    return App(redis_server.address, default_queue=queue, redact={"IBAN"})


async def test_a_task_is_found_by_its_tags_until_its_result_goes(
    app: App, admin: Admin, queue: str
) -> None:
    @app.task
    async def read(ctx: Context, path: str) -> str:
        return path

    async with app, serving(app.worker()):
        tasks = [
            await read.options(tags=["tenant:42", "import"]).enqueue("a"),
            await read.options(tags=["tenant:4"]).enqueue("b"),
        ]
        for task in tasks:
            await task.result(30)
    page = await admin.tasks(queue, Place.ENDED, Filter(tag="tenant:42"))
    (row,) = page.rows
    assert (row.task_id, row.tags) == (tasks[0].task_id, ("tenant:42", "import"))
    assert row.state is State.SUCCEEDED
    record = await admin.record(row.task_id)
    assert record.call is not None
    assert (record.call.args, record.result) == (("a",), "a")


@pytest.mark.parametrize("wrong", ["a", ["x"] * 11, [""], ["a\nb"], [1], ["x" * 65]])
def test_wrong_tags_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="tags"):
        TaskOptions(tags=wrong)


async def test_tasks_know_their_parent_and_their_children(
    app: App, admin: Admin, queue: str
) -> None:
    @app.task
    async def child(ctx: Context, number: int) -> None: ...

    @app.task
    async def in_the_loop(ctx: Context) -> None:
        await child.options(task_id="one").enqueue(1)
        await app.enqueue_many([child.call(2), child.call(3)])

    @app.task
    def in_a_thread(ctx: Context) -> None:
        child.options(task_id="four").enqueue_sync(4)

    async with app, serving(app.worker()):
        loop, thread = await in_the_loop.enqueue(), await in_a_thread.enqueue()
        await loop.result(30)
        await thread.result(30)
        by_loop, by_thread = await admin.record(loop.task_id), await admin.record(thread.task_id)
        for record in (by_loop, by_thread):
            assert record.parent is None
            assert record.children_count == len(record.children)
            for task_id in record.children:
                assert (await admin.record(task_id)).parent == record.info.task_id
        assert (len(by_loop.children), by_loop.children[0]) == (3, f"{queue}:one")
        assert by_thread.children == [f"{queue}:four"]


async def test_a_job_in_a_process_is_a_parent_too(
    redis_server: RedisServer, admin: Admin, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHILDREN_QUEUE", queue)
    from admin import jobs_in_processes as module

    monkeypatch.setattr(module.app, "default_queue", queue)
    client = App(redis_server.address, default_queue=queue)
    parent = client.task(name="parent", queue=queue)(module.parent.function)
    worker = module.app.worker([queue], redis_address=redis_server.address)
    async with client, serving(worker):
        task = await parent.enqueue()
        await task.result(60)
        child = (await admin.record(task.task_id)).children
        assert len(child) == 1
        assert child[0].endswith(":of-a-process")


async def test_arguments_of_ended_tasks_are_deleted_if_the_app_says_so(
    redis_server: RedisServer, admin: Admin, queue: str
) -> None:
    app = App(redis_server.address, default_queue=queue, keep_arguments=False)

    @app.task
    async def read(ctx: Context, path: str) -> None:
        if path == "bad":
            raise ValueError(path)

    async with app, serving(app.worker()):
        good, bad = await read.enqueue("good"), await read.enqueue("bad")
        await good.result(30)
        with pytest.raises(TaskFailed):
            await bad.result(30)
    record = await admin.record(good.task_id)
    assert (record.call, record.call_note) == (None, "no longer kept")
    assert (await admin.record(bad.task_id)).call is not None


async def test_large_arguments_are_deleted_at_the_end(app: App, admin: Admin) -> None:
    @app.task
    async def read(ctx: Context, text: str) -> None: ...

    async with app, serving(app.worker()):
        task = await read.enqueue("x" * 20_000)
        await task.result(30)
    assert (await admin.record(task.task_id)).call is None


async def test_a_viewer_without_the_app_sees_no_secrets(app: App, admin: Admin, queue: str) -> None:
    @app.task
    async def pay(ctx: Context, iban: str, login: Login) -> dict[str, str]:
        ctx.report_progress({"iban": iban, "step": 1})
        return {"IBAN": iban, "status": "paid"}

    @app.task
    async def read(ctx: Context, text: str) -> None: ...

    async with app, serving(app.worker()):
        task = await pay.enqueue("DE99", Login(user="me", pin="secret-pin"))
        assert (await task.result(30))["IBAN"] == "DE99"
        record = await admin.record(task.task_id)
    assert record.call is not None
    assert record.call.args == (HIDDEN, {"user": "me", "pin": HIDDEN})
    assert record.call_note == "some values are hidden"
    assert record.result == {"IBAN": HIDDEN, "status": "paid"}
    assert record.info.progress in (None, {"iban": HIDDEN, "step": 1})
    for text in ("secret-pin", "me"):
        page = await admin.tasks(queue, Place.ENDED, Filter(text=text))
        assert page.rows == [], "its arguments are not searched"
