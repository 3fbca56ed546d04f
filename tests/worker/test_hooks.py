"""Hooks: when they are called, with which arguments, and what an error in one does."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
import redis

from identtqueue import (
    App,
    Client,
    Context,
    InvalidInput,
    Outcome,
    State,
    TaskCancelled,
    TaskFailed,
    TaskOptions,
    Worker,
)
from testing.accounts import left_over
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


async def echo(_ctx, value=None):
    return value


class Diary:
    """Hooks that record the arguments that they are called with."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []

    def before(self, ctx: Context) -> None:
        self.lines.append(("before", ctx.function_name, str(ctx.attempt)))

    async def after(self, ctx: Context, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        why = outcome.failure.type if outcome.failure else ""
        self.lines.append(("after", ctx.function_name, str(ctx.attempt), outcome.name, why))


async def ended(client: Client, queue: str, name: str, *args: object) -> str:
    task_id = await client.enqueue_job(queue, name, *args)
    (result,) = await client.wait_many([task_id], 30)
    return result.state


async def test_around_each_attempt(client: Client, serve: Serve, queue: str) -> None:
    diary = Diary()

    async def fails(ctx):
        if ctx.failures == 0:
            raise ValueError("once")
        raise KeyError("twice")

    def in_thread(_ctx):
        return threading.current_thread() is threading.main_thread()

    await serve(
        {"echo": echo, "fails": fails, "in_thread": in_thread},
        before_task=diary.before,
        after_task=diary.after,
        retry=None,
        max_retries=1,
    )
    assert await ended(client, queue, "echo") == State.SUCCEEDED
    assert await ended(client, queue, "in_thread") == State.SUCCEEDED
    assert await ended(client, queue, "fails") == State.FAILED
    assert diary.lines == [
        ("before", "echo", "1"),
        ("after", "echo", "1", "succeeded", ""),
        ("before", "in_thread", "1"),
        ("after", "in_thread", "1", "succeeded", ""),
        ("before", "fails", "1"),
        ("after", "fails", "1", "retried", "ValueError"),
        ("before", "fails", "2"),
        ("after", "fails", "2", "failed", "KeyError"),
    ]


async def test_several_in_their_order(client: Client, serve: Serve, queue: str) -> None:
    said: list[str] = []
    await serve(
        {"echo": echo},
        on_startup=[lambda _s: said.append("startup 1"), lambda _s: said.append("startup 2")],
        before_task=[lambda _c: said.append("before 1"), lambda _c: said.append("before 2")],
        after_task=[lambda _c, _o: said.append("after 1"), lambda _c, _o: said.append("after 2")],
    )
    await ended(client, queue, "echo")
    assert said == [f"{name} {n}" for name in ("startup", "before", "after") for n in (1, 2)]


async def test_a_failing_before_hook_fails_the_attempt(
    client: Client, serve: Serve, queue: str
) -> None:
    """The error counts as the job's: the attempt is retried, and the job was not run."""
    ran, diary = [], Diary()

    async def job(ctx):
        ran.append(ctx.attempt)
        return ctx.attempt

    async def not_ready(ctx):
        if ctx.failures == 0:
            raise OSError("no licence")

    await serve(
        {"job": job}, before_task=[diary.before, not_ready], after_task=diary.after, max_retries=1
    )
    task_id = await client.enqueue_job(queue, "job")
    assert await client.wait_for_result(task_id, 30) == 2
    assert ran == [2]
    assert diary.lines[1] == ("after", "job", "1", "retried", "OSError"), (
        "it is called all the same"
    )


async def test_a_failing_after_hook_changes_nothing(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()

    def breaks(_ctx, _outcome):
        raise SystemExit("hook")

    worker = await serve({"echo": echo}, after_task=[breaks, diary.after])
    assert await ended(client, queue, "echo") == State.SUCCEEDED
    assert await ended(client, queue, "echo") == State.SUCCEEDED
    assert worker.counters.hook_errors == 2
    assert len(diary.lines) == 2, "the others are called"
    said = [r.getMessage() for r in caplog.records if r.exc_info]
    assert [text[:19] for text in said] == ["after_task hook of "] * 2


async def test_after_a_timeout_and_a_cancellation(client: Client, serve: Serve, queue: str) -> None:
    diary, started = Diary(), asyncio.Event()

    async def hangs(_ctx):
        started.set()
        await asyncio.Event().wait()

    await serve({"hangs": hangs}, after_task=diary.after, timeout_seconds=0.1)
    assert await ended(client, queue, "hangs") == State.FAILED
    started.clear()
    options = TaskOptions(timeout_seconds=60)
    task_id = await client.enqueue_job(queue, "hangs", task_options=options)
    await started.wait()
    await client.cancel(task_id)
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(task_id, 30)
    assert diary.lines == [
        ("after", "hangs", "1", "failed", "identtqueue.errors.TimedOut"),
        ("after", "hangs", "1", "cancelled", ""),
    ]


async def test_a_before_hook_that_hangs_is_within_the_timeout(
    client: Client, serve: Serve, queue: str
) -> None:
    async def hangs(_ctx):
        await asyncio.Event().wait()

    await serve({"echo": echo}, before_task=hangs, timeout_seconds=0.1)
    with pytest.raises(TaskFailed, match=r"echo ran longer than 0\.1 s"):
        await client.wait_for_result(await client.enqueue_job(queue, "echo"), 30)


async def test_after_a_cut_off_at_shutdown(
    client: Client, redis_server: RedisServer, raw: redis.Redis, queue: str
) -> None:
    diary, started = Diary(), asyncio.Event()

    async def hangs(_ctx):
        started.set()
        await asyncio.Event().wait()

    worker = Worker(
        {"hangs": hangs}, redis_server.address, queue, grace_seconds=0, after_task=diary.after
    )
    task_id = await client.enqueue_job(queue, "hangs")
    async with serving(worker):
        await started.wait()
    assert diary.lines == [("after", "hangs", "1", "released", "")]
    assert (await client.get_task(task_id)).losses == 0


async def test_a_hook_or_job_that_never_ends_does_not_keep_its_task(
    client: Client,
    redis_server: RedisServer,
    raw: redis.Redis,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a hook hangs or a job ignores its cancellation, the tasks are requeued uncharged."""
    monkeypatch.setattr("identtqueue.worker.attempts.CLEAN_UP_SECONDS", 0.2)
    started, for_ever = [], asyncio.Event()

    async def hangs(_ctx, _outcome):
        await for_ever.wait()

    async def refuses(_ctx):
        started.append(1)
        while not for_ever.is_set():
            try:
                await for_ever.wait()
            except asyncio.CancelledError:
                continue

    async def obeys(_ctx):
        started.append(1)
        await for_ever.wait()

    jobs = {"refuses": refuses, "obeys": obeys}
    worker = Worker(jobs, redis_server.address, queue, grace_seconds=0, after_task=hangs)
    ids = [await client.enqueue_job(queue, name) for name in jobs]
    async with serving(worker):
        await eventually(lambda: len(started) == 2, "both run")
    infos = [await client.get_task(task_id) for task_id in ids]
    assert {(i.state, i.losses, i.failures) for i in infos} == {(State.PENDING, 0, 0)}
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]
    for_ever.set()


async def test_no_hook_is_called_for_a_task_that_cannot_run(
    client: Client, serve: Serve, queue: str
) -> None:
    diary = Diary()
    hooks = {"before_task": diary.before, "after_task": diary.after}
    await serve({"echo": echo}, unrunnable_seconds=0, **hooks)
    assert await ended(client, queue, "nobody") == State.FAILED
    assert diary.lines == []


async def test_context_variables_of_a_before_hook_reach_the_job(
    client: Client, serve: Serve, queue: str
) -> None:
    trace = contextvars.ContextVar("trace")

    async def begins(ctx):
        trace.set(ctx.task_id)

    async def in_loop(ctx):
        return trace.get() == ctx.task_id

    def in_thread(ctx):
        return trace.get() == ctx.task_id

    await serve({"in_loop": in_loop, "in_thread": in_thread}, before_task=begins)
    for name in ("in_loop", "in_thread"):
        assert await client.wait_for_result(await client.enqueue_job(queue, name), 30) is True


async def test_as_decorators(redis_server: RedisServer, queue: str) -> None:
    app, said = App(redis_server.address, default_queue=queue), []

    @app.task
    async def job(ctx: Context) -> str:
        said.append("job")
        return ctx.state["model"]

    @app.on_startup
    async def load(state):
        state["model"] = "loaded"
        said.append("startup")

    @app.before_task
    def before(_ctx: Context) -> None:
        said.append("before")

    @app.after_task
    async def after(_ctx: Context, outcome: Outcome) -> None:
        said.append(outcome.name)

    @app.on_shutdown
    def close(_state):
        said.append("shutdown")

    async with app, serving(app.worker()):
        assert await (await job.enqueue()).result(30) == "loaded"
    assert said == ["startup", "before", "job", "succeeded", "shutdown"]
    assert callable(load)
    assert callable(before)


def test_invalid_hooks() -> None:
    with pytest.raises(InvalidInput, match="before_task: 'x' is not callable"):
        Worker({"echo": echo}, "redis://nowhere", "q", before_task=["x"])
