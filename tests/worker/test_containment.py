"""An attempt ends, and ends alone: exits in its tasks, swallowed cancellations, hooks that hang."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine

import pytest
import redis

from identtqueue import Client, State, TaskFailed, TaskOptions, Worker
from testing.accounts import left_over
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually


async def fine(_ctx):
    return "fine"


async def ran(client: Client, queue: str, name: str, *args: object) -> object:
    return await client.wait_for_result(await client.enqueue_job(queue, name, *args), 30)


# --- an exit in one of an attempt's tasks ---

Run = Callable[[Coroutine[None, None, None]], Coroutine[None, None, None]]


async def in_gather(part):
    await asyncio.gather(part, asyncio.sleep(60))


async def in_gather_of_errors(part):
    await asyncio.gather(part, return_exceptions=True)
    await asyncio.sleep(60)


async def in_task_group(part):
    async with asyncio.TaskGroup() as group:
        group.create_task(part)
        group.create_task(asyncio.sleep(60))


async def in_wait_for(part):
    await asyncio.wait_for(part, 60)


async def in_a_task(part):
    task = asyncio.create_task(part)
    await asyncio.wait([task])
    await asyncio.sleep(60)


async def in_a_task_of_a_task(part):
    await asyncio.gather(in_a_task(part))


async def in_a_shielded_task(part):
    await asyncio.shield(part)


WAYS = [
    *(in_gather, in_gather_of_errors, in_task_group, in_wait_for, in_a_task, in_a_task_of_a_task),
    in_a_shielded_task,
]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_an_exit_in_a_task_ends_its_attempt_alone(
    client: Client, serve: Serve, queue: str, way: Run, error: type[BaseException]
) -> None:
    """A `sys.exit`, as of a command-line helper, fails its attempt and no other."""
    gate = asyncio.Event()

    async def part():
        await asyncio.sleep(0)
        raise error("no such file")

    async def culprit(_ctx):
        await way(part())

    async def neighbour(_ctx):
        await gate.wait()
        return "went on"

    await serve({"culprit": culprit, "neighbour": neighbour})
    waiting = await client.enqueue_job(queue, "neighbour")
    with pytest.raises(TaskFailed, match="no such file") as caught:
        await ran(client, queue, "culprit")
    assert caught.value.remote_type == error.__name__
    gate.set()
    assert await client.wait_for_result(waiting, 30) == "went on"
    info = await client.get_task(waiting)
    assert (info.attempt, info.losses) == (1, 0)


async def test_an_exit_in_a_task_of_a_hook(client: Client, serve: Serve, queue: str) -> None:
    """A `before_task` hook belongs to the attempt as well."""

    async def exits():
        sys.exit(3)

    async def before(ctx):
        if ctx.function_name == "culprit":
            await asyncio.gather(exits())

    async def culprit(_ctx):
        return "it is not run"

    await serve({"culprit": culprit, "fine": fine}, before_task=before)
    with pytest.raises(TaskFailed, match="3"):
        await ran(client, queue, "culprit")
    assert await ran(client, queue, "fine") == "fine"


async def test_an_exit_in_a_task_that_outlives_its_attempt(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt has its outcome already, so the exit is only logged."""
    go, tasks = asyncio.Event(), []

    async def later():
        await go.wait()
        sys.exit("late")

    async def leaves(_ctx):
        tasks.append(asyncio.create_task(later()))

    await serve({"leaves": leaves, "fine": fine})
    await ran(client, queue, "leaves")
    go.set()
    await asyncio.wait(tasks)
    assert await ran(client, queue, "fine") == "fine"
    assert "ignoring SystemExit in a task that the ended attempt left in the event" in caplog.text


async def test_tasks_of_the_application_are_left_alone(
    client: Client, serve: Serve, queue: str
) -> None:
    """Only tasks of an attempt are wrapped. The wrapper has the attributes of its coroutine."""
    seen = {}

    async def child():
        return asyncio.current_task().get_coro()

    async def job(_ctx):
        coroutine = await asyncio.create_task(child())
        seen["name"], seen["code"] = type(coroutine).__name__, coroutine.cr_code
        return "done"

    await serve({"job": job})
    assert type(await asyncio.create_task(child())).__name__ == "coroutine"
    assert await ran(client, queue, "job") == "done"
    assert seen == {"name": "Contained", "code": child.__code__}


@pytest.mark.parametrize("first", [0, 1])
async def test_the_task_factory_of_the_application_stays(
    redis_server: RedisServer, client: Client, queue: str, first: int
) -> None:
    """It still makes all tasks. After two workers in one loop have ended, it is installed again."""
    loop, made = asyncio.get_running_loop(), []

    def factory(loop_, coroutine, **options):
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop_, **options)

    loop.set_task_factory(factory)
    queues = (queue, f"{queue}-2")
    workers = [Worker({"fine": fine}, redis_server.address, q) for q in queues]
    tasks = [asyncio.create_task(worker.serve()) for worker in workers]
    for n in (first, 1 - first):
        assert await ran(client, queues[n], "fine") == "fine"
        assert loop.get_task_factory() is not factory
        workers[n].stop()
        await tasks[n]
    assert made
    assert loop.get_task_factory() is factory
    loop.set_task_factory(None)


# --- a cancellation that a job swallows ---


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identtqueue.worker.attempts.CLEAN_UP_SECONDS", 0.3)
    monkeypatch.setattr("identtqueue.worker.attempts.LOOK_SECONDS", 0.05)


class Stubborn:
    """Job that ignores a number of cancellations before it ends."""

    def __init__(self, times: float) -> None:
        self.times = times
        self.caught = 0
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, _ctx):
        self.started.set()
        try:
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.caught += 1
                    if self.caught > self.times:
                        raise
            return "released"
        finally:
            self.ended.set()


@pytest.mark.usefixtures("short_patience")
async def test_a_swallowed_timeout_is_delivered_again(
    client: Client, serve: Serve, queue: str
) -> None:
    job = Stubborn(times=1)
    await serve({"job": job}, timeout_seconds=0.1)
    with pytest.raises(TaskFailed, match=r"ran longer than 0\.1 s"):
        await ran(client, queue, "job")
    assert job.caught == 2


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("how", ["time-out", "cancelled"])
async def test_an_attempt_that_never_ends_is_left_behind(
    client: Client, serve: Serve, queue: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its slot is freed, its outcome is recorded, and it is counted as abandoned until it ends."""
    job = Stubborn(times=float("inf"))
    worker = await serve({"job": job, "fine": fine}, concurrency=1)
    options = TaskOptions(timeout_seconds=0.1 if how == "time-out" else 60)
    task_id = await client.enqueue_job(queue, "job", task_options=options)
    await job.started.wait()
    if how == "cancelled":
        await client.cancel(task_id)
    (result,) = await client.wait_many([task_id], 30)
    assert result.state is (State.FAILED if how == "time-out" else State.CANCELLED)
    if how == "time-out":
        assert result.failure.type.endswith("TimedOut")
    assert job.caught == 2, "it was told twice"
    assert await ran(client, queue, "fine") == "fine", "in the only slot"
    assert (worker.gauges.abandoned_attempts, worker.counters.left_attempts) == (1, 1)
    assert f"{task_id} attempt 1: does not end although it was cancelled" in caplog.text
    job.release.set()
    await eventually(lambda: worker.gauges.abandoned_attempts == 0, "it has ended")
    assert worker.counters.left_attempts == 1
    assert await ran(client, queue, "fine") == "fine", "its slot was given back once"


@pytest.mark.usefixtures("short_patience")
async def test_a_retry_runs_beside_the_attempt_that_was_left_behind(
    client: Client, serve: Serve, queue: str
) -> None:
    """The retry runs in the same worker while the first attempt still runs. Its outcome counts."""
    first = Stubborn(times=float("inf"))

    async def job(ctx):
        return await first(ctx) if ctx.attempt == 1 else "second"

    await serve({"job": job}, timeout_seconds=0.1, max_retries=1, concurrency=1)
    assert await ran(client, queue, "job") == "second"
    first.release.set()
    await first.ended.wait()


@pytest.mark.usefixtures("short_patience")
async def test_attempts_left_behind_are_bounded(
    client: Client, serve: Serve, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound the worker takes no tasks and the probes say so, until some attempts end."""
    monkeypatch.setattr("identtqueue.worker.leftovers.LEAST_MOST_LEFT", 2)
    job = Stubborn(times=float("inf"))
    worker = await serve({"job": job, "fine": fine}, concurrency=1, timeout_seconds=0.1)
    ids = [await client.enqueue_job(queue, "job") for _ in range(2)]
    await client.wait_many(ids, 30)
    waiting = await client.enqueue_job(queue, "fine")
    why = "2 cancelled attempts have not ended"
    await eventually(lambda: worker.ready_problem() == why, "it is not ready")
    assert worker.live_problem() == f"nothing runs, and {why}"
    assert await client.get_status(waiting) is State.PENDING
    job.release.set()
    assert await client.wait_for_result(waiting, 30) == "fine"
    assert worker.live_problem() is worker.ready_problem() is None


@pytest.mark.slow
@pytest.mark.usefixtures("short_patience")
async def test_attempts_left_behind_count_after_a_lost_lease_too(
    client: Client,
    raw: redis.Redis,
    serve: Serve,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One was left behind by the incarnation that lost its lease, one by the next incarnation."""
    monkeypatch.setattr("identtqueue.worker.leftovers.LEAST_MOST_LEFT", 2)
    job = Stubborn(times=float("inf"))
    worker = await serve({"job": job}, concurrency=2, lease_seconds=5)
    await client.enqueue_job(queue, "job")
    await job.started.wait()
    raw.delete(f"idtq:{{{queue}}}:workers")
    await eventually(lambda: worker.gauges.abandoned_attempts == 1, "it is left behind")
    late = await client.enqueue_job(queue, "job", task_options=TaskOptions(timeout_seconds=0.1))
    await client.wait_many([late], 30)
    why = "2 cancelled attempts have not ended"
    await eventually(lambda: worker.ready_problem() == why, "it takes no more tasks")
    assert worker.gauges.abandoned_attempts == 2
    job.release.set()
    await eventually(lambda: worker.ready_problem() is None, "it takes tasks again")


async def test_a_job_that_returns_although_it_was_cancelled(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The returned value is its result, and the log says so."""

    async def job(_ctx):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "half of it"

    await serve({"job": job}, timeout_seconds=0.1)
    assert await ran(client, queue, "job") == "half of it"
    assert "ran longer than its timeout of 0.1 s, but its job caught the Can" in caplog.text


@pytest.mark.parametrize("how", ["on request", "because the worker stops"])
async def test_a_job_that_returns_although_it_was_cut_off(
    client: Client,
    redis_server: RedisServer,
    queue: str,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says why it was cancelled."""
    started = asyncio.Event()

    async def job(_ctx):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "half of it"

    worker = Worker({"job": job}, redis_server.address, queue, grace_seconds=0)
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "job")
        await started.wait()
        if how == "on request":
            await client.cancel(task_id)
            assert await client.wait_for_result(task_id, 30) == "half of it"
    assert await client.wait_for_result(task_id, 30) == "half of it"
    assert f"was cancelled {how}, but its job caught the CancelledError" in caplog.text
    if how != "on request":
        assert f"cutting off the attempt that is still running, {how}" in caplog.text


# --- hooks ---


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("obeys", [True, False])
async def test_after_task_without_end(
    client: Client, serve: Serve, queue: str, obeys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome of the job is recorded, and the slot is freed."""
    monkeypatch.setattr("identtqueue.worker.execute.AFTER_TASK_SECONDS", 0.2)
    hook = Stubborn(times=0 if obeys else float("inf"))

    async def after(ctx, _outcome):
        if ctx.function_name == "hooked":
            await hook(ctx)

    worker = await serve({"hooked": fine, "fine": fine}, concurrency=1, after_task=after)
    assert await ran(client, queue, "hooked") == "fine"
    assert await ran(client, queue, "fine") == "fine"
    assert worker.counters.left_attempts == (0 if obeys else 1)
    hook.release.set()


async def test_a_request_to_cancel_does_not_harm_the_hooks_of_a_job_that_has_ended(
    client: Client, serve: Serve, queue: str
) -> None:
    hook = Stubborn(times=0)

    async def after(ctx, _outcome):
        await hook(ctx)

    await serve({"fine": fine}, after_task=after)
    task_id = await client.enqueue_job(queue, "fine")
    await hook.started.wait()
    await client.cancel(task_id)
    await asyncio.sleep(0.1)
    hook.release.set()
    assert await client.wait_for_result(task_id, 30) == "fine"
    assert hook.caught == 0


async def test_on_shutdown_hooks_end_whatever_they_do(
    redis_server: RedisServer, raw: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next hook is called even if one exits, hangs or ignores its cancellation."""
    monkeypatch.setattr("identtqueue.worker.hooks.SHUTDOWN_SECONDS", 0.2)
    refusing, called = Stubborn(times=float("inf")), []

    def exits(_state):
        sys.exit("hook")

    async def cancels(_state):
        raise asyncio.CancelledError

    async def hangs(_state):
        await asyncio.Event().wait()

    hooks = [exits, cancels, hangs, refusing, called.append]
    async with serving(Worker({"fine": fine}, redis_server.address, queue, on_shutdown=hooks)):
        await eventually(lambda: raw.zcard(f"idtq:{{{queue}}}:workers"), "it is registered")
    assert called == [{}]
    assert left_over(raw, queue) == []
    refusing.release.set()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, OSError])
async def test_any_error_of_on_startup_ends_the_worker(
    redis_server: RedisServer, raw: redis.Redis, queue: str, error: type[BaseException]
) -> None:
    def raises(_state):
        raise error("no model")

    with pytest.raises(error):
        await Worker({"fine": fine}, redis_server.address, queue, on_startup=raises).serve()
    assert left_over(raw, queue) == []


class Odd(Exception):
    """Exception whose text can't be made."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def __str__(self) -> str:
        raise self.error("in __str__")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, OSError])
@pytest.mark.parametrize("where", ["job", "before_task", "after_task"])
async def test_an_exception_that_can_not_be_shown(
    client: Client, serve: Serve, queue: str, where: str, error: type[BaseException]
) -> None:
    """Wherever it is raised, the attempt gets an outcome and its slot is freed."""

    async def hook(ctx, _outcome=None):
        if ctx.function_name == "odd":
            raise Odd(error)

    async def odd(_ctx):
        if where == "job":
            raise Odd(error)

    hooks = {} if where == "job" else {where: hook}
    await serve({"odd": odd, "fine": fine}, concurrency=1, **hooks)
    (result,) = await client.wait_many([await client.enqueue_job(queue, "odd")], 30)
    assert result.state is (State.SUCCEEDED if where == "after_task" else State.FAILED)
    assert await ran(client, queue, "fine") == "fine"
