"""Inline mode: the real path of execution, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest

from identtqueue import (
    App,
    Client,
    InvalidInput,
    ResultTimeout,
    State,
    SyncClient,
    TaskCancelled,
    TaskExists,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
)
from identtqueue.testing import Inline, JobsFailed, cron_call, firings
from identtqueue.testing.inline_client import InlineClient, InlineSyncClient
from testing import process_jobs
from testing.typed_jobs import NOON, Document, new_app


async def test_a_job_gets_and_returns_what_its_types_say() -> None:
    app, _ = new_app()
    with Inline(app):
        task = await app.jobs["read"].enqueue(Document("a", 3, NOON))
        assert await task.result() == Document("A", 6, NOON)
        assert await app.client.wait_for_result(task.task_id) == {
            "path": "A",
            "pages": 6,
            "seen": NOON,
        }


@pytest.mark.parametrize("arguments", [("text",), (), (Document("a"), 2)])
async def test_wrong_arguments_are_refused_as_in_production(arguments: tuple[object, ...]) -> None:
    app, _ = new_app()
    with Inline(app) as inline:
        with pytest.raises(InvalidInput):
            await app.jobs["read"].enqueue(*arguments)
        assert inline.enqueued() == []


async def test_what_a_job_enqueues_runs_after_it() -> None:
    app, seen = new_app()
    with Inline(app) as inline:
        task = await app.jobs["read"].enqueue(Document("a"))
        ran = [entry for entry in seen.hooks if entry.startswith("before")]
        assert ran == ["before read", "before check"]
        assert [entry.job for entry in inline.enqueued()] == ["read", "check"]
        follow_up = f"checks:mrz/{task.task_id.partition(':')[2]}/check"
        assert await app.client.get_status(follow_up) is State.SUCCEEDED


async def test_hooks_are_called_once_around_all_tasks() -> None:
    app, seen = new_app()
    async with Inline(app):
        await app.enqueue_many(app.jobs["check"].call(n) for n in range(3))
        assert seen.hooks == ["startup", *["before check"] * 3]
    assert seen.hooks[-1] == "shutdown"


def test_hooks_are_called_at_the_end_of_the_event_loop() -> None:
    app, seen = new_app()

    async def body() -> None:
        await app.jobs["check"].enqueue(1)

    with Inline(app):
        asyncio.run(body())
        assert seen.hooks == ["startup", "before check", "shutdown"]


async def test_plain_functions_run_in_threads() -> None:
    app, seen = new_app()
    with Inline(app):
        await app.jobs["check"].enqueue(1)
    assert seen.threads
    assert threading.get_ident() not in seen.threads


@pytest.mark.slow
async def test_jobs_run_in_processes() -> None:
    async with Inline(process_jobs.app):
        task = await process_jobs.where.enqueue()
        pid, *_ = await task.result()
        assert os.getpid() != pid


async def test_tasks_may_wait_for_run() -> None:
    app, _ = new_app()
    with Inline(app, at_once=False) as inline:
        tasks = [await app.jobs["check"].enqueue(n) for n in (1, 2, 3)]
        assert await app.client.queue_length("checks") == 3
        assert (await inline.run(2)).outcomes == ["succeeded"] * 2
        assert await tasks[2].status() is State.PENDING
        assert (await inline.run()).jobs == ["check"]
        assert [r.value for r in await app.client.wait_many([t.task_id for t in tasks])] == [
            True,
            True,
            True,
        ]


async def test_a_failed_attempt_is_retried_by_the_policy() -> None:
    app, _ = new_app()
    with Inline(app, now=NOON) as inline:
        task = await app.jobs["flaky"].enqueue()
        assert await task.status() is State.SCHEDULED
        with pytest.raises(ResultTimeout):
            await task.result(timeout_seconds=0.4)  # the first delay is 0.5 to 1 s
        ran = await inline.advance(3)
        assert ran.outcomes == ["retried", "succeeded"]
        assert ran[0].retry_seconds is not None
        assert 1 <= ran[0].retry_seconds <= 2
        assert await task.result() == 3
        assert inline.now == NOON + timedelta(seconds=3.4)


async def test_waiting_for_a_result_passes_time() -> None:
    app, _ = new_app()
    with Inline(app, now=NOON) as inline:
        task = await app.jobs["later"].options(delay_seconds=3600).enqueue(60)
        assert await task.result() == round(NOON.timestamp() * 1000)
        assert inline.now == NOON + timedelta(seconds=3660)


async def test_a_delayed_task_runs_when_its_time_has_come() -> None:
    app, _ = new_app()
    with Inline(app, now=NOON) as inline:
        at = NOON + timedelta(minutes=5)
        second = await app.jobs["check"].options(at=at).enqueue(2)
        first = await app.jobs["check"].options(delay_seconds=60).enqueue(1)
        assert not await inline.advance(59)
        ran = await inline.advance(600)
        assert [attempt.task_id for attempt in ran] == [first.task_id, second.task_id]


async def test_a_job_that_fails_for_good_shows_its_error() -> None:
    app, _ = new_app()
    with Inline(app):
        task = await app.jobs["fail"].enqueue()
        with pytest.raises(TaskFailed, match="ValueError: it is broken") as caught:
            await task.result()
        assert 'raise ValueError("it is broken")' in caught.value.remote_traceback


async def test_failures_are_raised_on_request() -> None:
    app, _ = new_app()
    with Inline(app, raise_failures=True), pytest.raises(JobsFailed, match="it is broken"):
        await app.jobs["fail"].enqueue()


async def test_an_attempt_is_cut_off_at_its_time_out() -> None:
    app, _ = new_app()

    @app.on_startup
    def set_up(state: dict[str, object]) -> None:
        state["forever"] = asyncio.Event()

    with Inline(app):
        task = await app.jobs["hang"].enqueue()
        with pytest.raises(TaskFailed, match="ran longer than"):
            await task.result()


async def test_a_running_task_is_cancelled() -> None:
    app, _ = new_app()
    begun = asyncio.Event()

    @app.task
    async def wait(ctx: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    with Inline(app):
        enqueueing = asyncio.ensure_future(wait.options(task_id="1").enqueue())
        await begun.wait()
        assert await app.client.cancel("default:1")
        with pytest.raises(TaskCancelled):
            await (await enqueueing).result()


async def test_what_waits_is_cancelled_or_expires() -> None:
    app, _ = new_app()
    check = app.jobs["check"]
    with Inline(app, at_once=False) as inline:
        cancelled = await check.enqueue(1)
        expired = await check.options(expires_seconds=5, delay_seconds=9).enqueue(2)
        assert await cancelled.cancel()
        assert not await cancelled.cancel()
        assert not await inline.advance(10)
        for task, error in ((cancelled, TaskCancelled), (expired, TaskExpired)):
            with pytest.raises(error):
                await task.result()


async def test_ids_and_unique_keys_are_taken_once() -> None:
    app, _ = new_app()
    check = app.jobs["check"]
    with Inline(app, at_once=False) as inline:
        one = await check.options(task_id="1").enqueue(1)
        assert not (await check.options(task_id="1").enqueue(2)).created
        with pytest.raises(TaskExists):
            await check.options(task_id="1", on_existing="raise").enqueue(3)
        held = await check.options(unique_key="k").enqueue(4)
        assert (await check.options(unique_key="k").enqueue(5)).task_id == held.task_id
        await inline.run()
        assert (await check.options(unique_key="k").enqueue(6)).created
        replaced = await check.options(task_id="1", on_existing="replace").enqueue(7)
        assert (replaced.task_id, replaced.created) == (one.task_id, True)
        assert [task.args for task in inline.enqueued()] == [(1,), (4,), (6,), (7,)]


async def test_progress_is_what_a_client_would_see() -> None:
    app, _ = new_app()
    with Inline(app):
        task = await app.jobs["read"].enqueue(Document("a", 7))
        assert [value async for value in task.progress()] == [{"page": 7}]
        assert await app.client.get_progress(task.task_id) == {"page": 7}
        assert await app.client.get_arguments(task.task_id) is None  # it has succeeded
        failed = await app.jobs["fail"].enqueue()
        arguments = await app.client.get_arguments(failed.task_id)
        assert arguments is not None
        assert arguments.function_name == "fail"
        info = await app.client.get_task(task.task_id)
        assert info is not None
        assert (info.state, info.attempt, info.progress) == (State.SUCCEEDED, 1, {"page": 7})


async def test_a_job_may_wait_for_another_one() -> None:
    app, _ = new_app()
    with Inline(app):
        assert await (await app.jobs["parent"].enqueue()).result() == 1
        assert await (await app.jobs["parent_in_thread"].enqueue()).result() == 1


def test_a_test_without_an_event_loop() -> None:
    app, seen = new_app()
    with Inline(app) as inline:
        task = app.jobs["read"].enqueue_sync(Document("a"))
        assert task.result() == Document("A", 2)
        assert task.status() is State.SUCCEEDED
        assert list(task.progress()) == [{"page": 1}]
        slow = app.jobs["check"].options(delay_seconds=5).enqueue_sync(1)
        assert inline.advance_sync(5).jobs == ["check"]
        assert slow.result() is True
        ids = [t.task_id for t in app.enqueue_many_sync([app.jobs["check"].call(0)] * 2)]
        assert [r.value for r in app.sync_client.wait_many(ids)] == [False, False]
        assert len(list(app.sync_client.as_completed(ids))) == 2
        with pytest.raises(TaskNotFound):
            app.sync_client.wait("mrz:none")
    assert seen.hooks[-1] == "shutdown"


async def test_schedules_fire_when_time_passes() -> None:
    app, _ = new_app()
    with Inline(app, now=datetime(2026, 3, 1, 23, 30, tzinfo=UTC)) as inline:
        ran = await inline.advance(4 * 3600)
        values = [task.args for task in inline.enqueued("check")]
        assert values == [(4,), (4,), (4,), (4,), (3,)]
        assert len(ran) == 5
        assert (await inline.fire("nightly")).outcomes == ["succeeded"]
        with pytest.raises(InvalidInput, match="its schedules: hourly, nightly"):
            await inline.fire("weekly")


def test_the_firings_of_a_schedule_are_listed() -> None:
    app, _ = new_app()
    found = firings(app, NOON, NOON + timedelta(days=2), "nightly")
    assert [firing.at for firing in found] == [
        datetime(2026, 3, day, 3, tzinfo=UTC) for day in (2, 3)
    ]
    assert (found[0].job, found[0].queue, found[0].args) == ("check", "checks", (3,))
    assert len(firings(app, NOON, NOON + timedelta(days=1))) == 25
    with pytest.raises(InvalidInput, match="aware"):
        firings(app, datetime(2026, 3, 1), NOON)  # noqa: DTZ001 - that is the point
    app.cron("* * * * * *", app.jobs["check"].call(5), name="each-second")
    with pytest.raises(InvalidInput, match="each-second fires more than 10,000 times"):
        firings(app, NOON, NOON + timedelta(days=1), "each-second")
    assert cron_call(app, "hourly").submission.kwargs == {"strict": True}


async def test_a_job_without_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identtqueue.testing.inline.MOST_ATTEMPTS", 50)
    app, _ = new_app()
    with Inline(app), pytest.raises(InvalidInput, match="again: does it enqueue itself"):
        await app.jobs["again"].enqueue()


async def test_the_jobs_of_an_included_app() -> None:
    orders, (app, _) = App(default_queue="orders"), new_app()

    @orders.task
    async def ship(ctx: object, number: int) -> int:
        return number + 1

    app.include(orders)
    with Inline(app) as inline:
        assert await (await ship.enqueue(1)).result() == 2
        inline.assert_enqueued(ship, 1)


async def test_an_unknown_job_fails_at_once() -> None:
    app, _ = new_app()
    with Inline(app):
        task_id = await app.client.enqueue_job("mrz", "no_such_job")
        with pytest.raises(TaskFailed, match="no_such_job"):
            await app.client.wait_for_result(task_id)


async def test_the_app_is_as_before_afterwards() -> None:
    app, _ = new_app()
    with Inline(app):
        async with app:  # as in the lifespan of a web service
            await app.jobs["check"].enqueue(1)
    with pytest.raises(Exception, match="connect first"):
        await app.jobs["check"].enqueue(1)


@pytest.mark.parametrize(("real", "ours"), [(Client, InlineClient), (SyncClient, InlineSyncClient)])
def test_no_method_of_a_client_asks_redis(real: type, ours: type) -> None:
    """Methods that inline mode does not replace are made of those that it does replace."""
    for name, method in vars(real).items():
        if inspect.isfunction(method) and not name.startswith("_") and name not in vars(ours):
            code = inspect.getsource(method)
            assert not re.search(r"self\._(home|here|redis|subscriber)", code), name


def test_the_clock_needs_a_timezone() -> None:
    app, _ = new_app()
    with pytest.raises(InvalidInput, match="now must be an aware datetime"):
        Inline(app, now=datetime(2026, 3, 1))  # noqa: DTZ001 - that is the point
