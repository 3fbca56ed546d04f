"""The recorder, the assertions about what was enqueued, and the context for unit tests."""

from __future__ import annotations

from unittest.mock import ANY

import pytest

from identtqueue import App, Context, InvalidInput, ResultTimeout, State
from identtqueue.errors import NotSerializable
from identtqueue.testing import Recorder, make_context
from testing.typed_jobs import NOON, Document, new_app


async def test_nothing_runs() -> None:
    app, seen = new_app()
    with Recorder(app) as recorder:
        task = await app.jobs["read"].enqueue(Document("a"))
        assert await task.status() is State.PENDING
        with pytest.raises(ResultTimeout):
            await task.result(timeout_seconds=5)
        with pytest.raises(InvalidInput, match="runs nothing"):
            await task.result()
        later = await app.jobs["check"].options(delay_seconds=5).enqueue(1)
        assert await later.status() is State.SCHEDULED
        assert await later.cancel()
        assert [entry.job for entry in recorder.enqueued()] == ["read", "check"]
    assert seen.hooks == []


async def test_arguments_are_compared_as_the_job_gets_them() -> None:
    app, _ = new_app()
    read, check = app.jobs["read"], app.jobs["check"]
    with Recorder(app) as recorder:
        await read.enqueue(Document("a", seen=NOON))
        await check.enqueue(2)
        assert recorder.assert_enqueued(read, Document("a", seen=NOON)).queue == "mrz"
        recorder.assert_enqueued(check, pages=2, strict=False)  # by name, and with a default
        recorder.assert_enqueued(read, document=ANY)
        recorder.assert_enqueued(check, pytest.approx(2.0))
        assert recorder.enqueued(read)[0].args == (Document("a", seen=NOON),)
        assert recorder.enqueued("check")[0].args == (2,)


async def test_a_failure_says_what_was_enqueued_instead() -> None:
    app, _ = new_app()
    read, check = app.jobs["read"], app.jobs["check"]
    with Recorder(app) as recorder:
        with pytest.raises(AssertionError, match="Nothing was enqueued"):
            recorder.assert_enqueued(check, 2)
        await read.enqueue(Document("a"))
        await check.options(delay_seconds=60).enqueue(1, strict=True)
        with pytest.raises(AssertionError) as caught:
            recorder.assert_enqueued(check.options(delay_seconds=5), 2, strict=True)
        assert str(caught.value).splitlines() == [
            "not enqueued: check(2, strict=True) in queue checks, delay_seconds=5",
            "Enqueued were:",
            "  read(Document(path='a', pages=1, seen=None)) in queue mrz",
            "  check(1, strict=True) in queue checks, delay_seconds=60",
            "    pages: expected 2, was 1",
            "    option delay_seconds: expected 5, was 60",
        ]
        with pytest.raises(InvalidInput, match="check: missing a required argument"):
            recorder.assert_enqueued(check)
        with pytest.raises(AssertionError, match=r"should not have been:\n  read\("):
            recorder.assert_not_enqueued(read)
        recorder.clear_enqueued()
        recorder.assert_not_enqueued()


async def test_calls_are_checked_and_encoded() -> None:
    app, _ = new_app()
    with Recorder(app) as recorder:
        with pytest.raises(NotSerializable):
            await app.jobs["check"].enqueue("two")
        with pytest.raises(InvalidInput):
            app.jobs["check"].enqueue_sync()
        await app.client.enqueue_job("mrz", "untyped", {1, 2}, name="x")
        (task,) = recorder.enqueued()
        assert (task.args, task.kwargs) == (([1, 2],), {"name": "x"})


async def test_one_mode_within_another() -> None:
    app, _ = new_app()
    with Recorder(app) as outer:
        with Recorder(app) as inner:
            await app.jobs["check"].enqueue(1)
        await app.jobs["check"].enqueue(2)
        assert [task.args for task in outer.enqueued()] == [(2,)]
        assert [task.args for task in inner.enqueued()] == [(1,)]


async def test_a_context_for_a_unit_test() -> None:
    app = App()

    @app.task(queue="mrz")
    async def read(ctx: Context, path: str) -> str:
        await ctx.report_progress((1, path))
        return f"{ctx.state['name']} {path} {ctx.attempt} {ctx.failures} {ctx.follow_up_id('x')}"

    ctx = make_context(read, state={"name": "n"}, attempt=3, task_id="mrz:1", timeout_seconds=9)
    assert await read(ctx, "a") == "n a 3 2 mrz/1/x"
    assert ctx.progress == [[1, "a"]]
    assert ctx.deadline is not None
    assert (ctx.queue, ctx.function_name, ctx.logger.name) == (
        "mrz",
        "read",
        "identtqueue.job.read",
    )
    fresh = make_context()
    assert (fresh.queue, fresh.attempt, fresh.deadline, fresh.state) == ("default", 1, None, {})
    assert fresh.fencing_token == fresh.enqueued_at_ms > 0
