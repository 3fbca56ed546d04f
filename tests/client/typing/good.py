"""Code that type checkers must accept, and the types that they must find."""

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict, assert_type

from identtqueue import (
    App,
    AppJob,
    Client,
    Context,
    Cron,
    Job,
    JobCall,
    Outcome,
    RateLimit,
    Receipt,
    Result,
    RetryPolicy,
    Submission,
    SyncTaskHandle,
    TaskHandle,
    TaskOptions,
    Worker,
)
from identtqueue.testing import Inline, Recorder, make_context

app = App("redis://redis")


# 1. A job with options, and one without.
@app.task(queue="mrz", timeout_seconds=30, max_retries=3)
async def read_mrz(ctx: Context, path: str, *, dpi: int = 300) -> list[str]:
    return [path] * dpi


@app.task
def in_a_thread(ctx: Context, n: int) -> float:
    return n / 2


# 2. Every option of a job.
@app.task(
    name="limited",
    run_in="process",
    retry=RetryPolicy(max_retries=2),
    max_running=4,
    rate_limit=RateLimit(100, per_seconds=60),
)
def with_every_option(ctx: Context, n: int = 0) -> int:
    return n


# 3. A job without an app.
job = Job(name="limited", function=in_a_thread.function, run_in="thread", max_running=4)
assert_type(job.max_running, int | None)


# 4. A context under another name, or declared as something more general.
@app.task
async def general(_ctx: object, n: int) -> int:
    return n


# 5. A state with a type: jobs and hooks see the same.
@dataclass
class Services:
    pool: str = ""


typed = App("redis://redis", state=Services, retry_for_seconds=5, max_payload_bytes=1_000)
assert_type(typed, App[Services])


@typed.on_startup
async def connect(state: Services) -> None:
    state.pool = "open"


@typed.on_shutdown
def disconnect(state: Services) -> None:
    assert_type(state.pool, str)


@typed.before_task
def begin(ctx: Context[Services]) -> None:
    assert_type(ctx.state, Services)


@typed.after_task
async def count(ctx: Context, outcome: Outcome) -> None:
    assert_type(outcome.name, str)


@typed.task
async def with_state(ctx: Context[Services], path: str) -> str:
    assert_type(ctx.state, Services)
    return ctx.state.pool + path


@typed.task(queue="mrz")
async def needs_no_state(ctx: Context, path: str) -> str:
    return path


class HasPool(Protocol):
    @property
    def pool(self) -> str: ...


@typed.task
async def with_a_part_of_the_state(ctx: Context[HasPool]) -> str:
    return ctx.state.pool


# 6. A state that is a dict.
class Shared(TypedDict):
    pool: str


dicts = App[Shared]("redis://redis")


@dicts.on_startup
async def fill(state: Shared) -> None:
    state["pool"] = "open"


@dicts.task
async def with_a_dict(ctx: Context[Shared]) -> str:
    return ctx.state["pool"]


# 7. An app takes hooks as settings, and finds the type of its state there too.
hooked = App("redis://redis", on_startup=connect, on_shutdown=disconnect, default_queue="mrz")
assert_type(hooked, App[Services])


# 8. An app includes another one.
typed.include(App(default_queue="orders"))
typed.include(App(state=Services))


# 9. Schedules.
def plan(at: datetime) -> None:
    app.cron("0 3 * * *", read_mrz, "a.png")
    app.cron("0 3 * * *", read_mrz, "a.png", dpi=600)
    app.cron("0 3 * * *", read_mrz.options(max_retries=1), path="a.png")
    app.cron("0 3 * * *", with_every_option, timezone="Europe/Berlin", name="nightly")
    entry = app.cron("0 3 * * *", in_a_thread.call(3), timezone="Europe/Berlin")
    assert_type(entry, Cron)


# 10. Workers: every kind of setting.
def work() -> Worker:
    typed.worker(["mrz"], concurrency=3, before_task=[begin], max_retries=2, http_port=None).run()
    Worker(
        {"read": read_mrz.function, "job": job},
        "redis://redis",
        queue_names=["mrz", "default"],
        queue_weights={"mrz": 3},
        queue_order="fair",
        grace_seconds=5,
        retry=RetryPolicy(max_retries=2),
        state=Services,
        on_startup=[connect],
        after_task=count,
    )
    return app.worker(queues=["mrz"], redis_address="redis://other", timeout_seconds=2.5)


async def use(at: datetime) -> None:
    # 11. Enqueue and await: the types of arguments and result.
    task = await read_mrz.enqueue("s3://bucket/document.jpg", dpi=600)
    assert_type(task, TaskHandle[list[str]])
    assert_type(await task.result(timeout_seconds=10), list[str])
    assert_type(await (await in_a_thread.enqueue(3)).result(), float)
    assert_type(task.progress(), AsyncIterator[Any])

    # 12. Many at once.
    tasks = await app.enqueue_many(read_mrz.call(path) for path in ("a", "b"))
    assert_type(tasks, list[TaskHandle[list[str]]])

    # 13. Every option of a task.
    delayed = await read_mrz.options(delay_seconds=60).enqueue("c")
    assert_type(delayed, TaskHandle[list[str]])
    read_mrz.options(task_id="1", on_existing="replace", unique_key="k", unique_seconds=60)
    read_mrz.options(at=at, expires_seconds=None, result_ttl_seconds=60.5, timeout_seconds=1)
    TaskOptions(at=datetime.now(UTC), max_retries=3)

    # 14. A handle from an id.
    found = read_mrz.handle("mrz:42")
    assert_type(found, TaskHandle[list[str]])
    assert_type(await found.result(), list[str])
    assert_type(await (await with_every_option.enqueue(3)).result(), int)


# 15. A direct call: the type of the function's own result.
async def directly(ctx: Context) -> None:
    assert_type(await read_mrz(ctx, "a.png", dpi=72), list[str])
    assert_type(in_a_thread(ctx, 3), float)
    started = read_mrz.options(max_retries=1)(ctx, "a")
    await assert_type(started, Coroutine[Any, Any, list[str]])


# 16. Without an event loop.
def use_without_a_loop() -> None:
    task = read_mrz.enqueue_sync("s3://bucket/document.jpg", dpi=600)
    assert_type(task, SyncTaskHandle[list[str]])
    assert_type(task.result(timeout_seconds=10), list[str])
    assert_type(read_mrz.handle_sync("mrz:42").result(), list[str])
    tasks = app.enqueue_many_sync(in_a_thread.call(n) for n in (1, 2))
    assert_type(tasks, list[SyncTaskHandle[float]])


# 17. Functions that take any job of a kind.
def double(job: AppJob[[int], float]) -> list[JobCall[float]]:
    return [job.call(1), job.call(2)]


calls = double(in_a_thread)


# 18. The lower level.
async def plainly(client: Client, submission: Submission) -> None:
    receipt = await client.submit(submission)
    assert_type(receipt, Receipt)
    assert_type(await client.wait_many([receipt.task_id]), list[Result])


# 19. A job of another app.
borrowed = App("redis://other").task(read_mrz)


# 20. The context in a job: what it offers.
@app.task
async def follow(ctx: Context, path: str) -> str:
    await ctx.report_progress(0.5)
    ctx.logger.info("follow %s", path)
    then = await in_a_thread.options(task_id=ctx.follow_up_id("then")).enqueue(1)
    return then.task_id


# 21. Any app, where the state does not matter.
def jobs_of(any_app: App) -> list[str]:
    return list(any_app.jobs)


jobs_of(app)
jobs_of(typed)


# 22. Tests of jobs.
async def in_a_test() -> None:
    ctx = make_context(with_state, state=Services("test"), attempt=2)
    assert_type(await with_state(ctx, "a"), str)
    with Inline(typed, concurrency=3) as inline:
        assert_type(await (await with_state.enqueue("a")).result(), str)
        await inline.run()
    with Recorder(app) as recorder:
        recorder.assert_enqueued(read_mrz, "a", dpi=600)
