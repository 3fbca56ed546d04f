"""Jobs that return, raise, hang or block: what happens to the worker and what the caller gets."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from identtqueue import Client, Context, Job, RetryPolicy, TaskFailed, TaskOptions
from testing.serving import Serve
from testing.waiting import eventually


async def fine(_ctx):
    return "fine"


async def ran(client: Client, queue: str, name: str, *args: object) -> object:
    return await client.wait_for_result(await client.enqueue_job(queue, name, *args), 30)


async def failed(client: Client, queue: str, name: str, *args: object) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        await ran(client, queue, name, *args)
    return caught.value


async def test_the_context(client: Client, serve: Serve, queue: str) -> None:
    seen: list[Context] = []

    async def job(ctx):
        seen.append(ctx)

    await serve([Job(name="job", function=job, timeout_seconds=20)])
    before = datetime.now(UTC)
    task_id = await client.enqueue_job(queue, "job")
    await client.wait_for_result(task_id, 30)
    (ctx,) = seen
    assert (ctx.task_id, ctx.queue, ctx.function_name) == (task_id, queue, "job")
    assert (ctx.attempt, ctx.failures) == (1, 0)
    assert ctx.fencing_token == (await client.get_task(task_id)).fencing_token > 0
    assert abs((ctx.enqueued_at - before).total_seconds()) < 30
    assert 0 < ctx.deadline - time.monotonic() <= 20
    assert ctx.logger.name == "identtqueue.job.job"
    with pytest.raises(AttributeError):
        ctx.attempt = 2


def raising(error: Callable[[], BaseException]) -> Callable[[object], object]:
    async def job(_ctx):
        raise error()

    return job


async def test_a_job_that_cancels_itself(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    await serve({"job": job, "fine": fine})
    assert (await failed(client, queue, "job")).remote_type.endswith("CancelledError")
    assert await ran(client, queue, "fine") == "fine"


TEXTS = {
    "lone surrogate": ("caf\udce9", "caf\\udce9"),
    "nul": ("a\0b", "a\0b"),
    "empty": ("", ""),
    "umlauts": ("Prüfziffer ✗", "Prüfziffer ✗"),
}


@pytest.mark.parametrize(("text", "told"), TEXTS.values(), ids=TEXTS.keys())
async def test_texts_of_failures(
    client: Client,
    serve: Serve,
    queue: str,
    text: str,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def job(_ctx):
        raise ValueError(text)

    await serve({"job": job})
    assert (await failed(client, queue, "job")).remote_message == told
    caplog.text.encode()  # a log file can take it


async def test_a_huge_failure_is_cut(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx):
        raise ValueError("x" * 5_000_000)

    await serve({"job": job})
    told = await failed(client, queue, "job")
    assert 1000 < len(told.remote_message) < 64 * 1024


async def test_a_message_of_many_lines_is_one_line_in_the_log(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(_ctx):
        raise ValueError("one\ntwo\n" + "x" * 3_000)

    await serve({"job": job})
    await failed(client, queue, "job")
    (text,) = [r.getMessage() for r in caplog.records if " failed: " in r.getMessage()]
    line, first, *_ = text.splitlines()
    assert "ValueError: one two xxx" in line
    assert len(line) < 2000
    assert first == "Traceback (most recent call last):"


UNSERIALISABLE = {"object": object(), "huge number": 2**70, "lone surrogate": "\ud800"}


@pytest.mark.parametrize("value", UNSERIALISABLE.values(), ids=UNSERIALISABLE.keys())
async def test_a_result_that_cannot_be_serialised(
    client: Client, serve: Serve, queue: str, value: object
) -> None:
    async def job(_ctx):
        return value

    await serve({"job": job})
    told = await failed(client, queue, "job")
    assert told.remote_type == "identtqueue.errors.NotSerializable"
    assert told.remote_message.startswith("the result can't be serialised")


async def test_an_oversize_result(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx, size):
        return "x" * size

    await serve({"job": job}, max_payload_bytes=1000)
    assert len(await ran(client, queue, "job", 900)) == 900
    told = await failed(client, queue, "job", 1000)
    assert told.remote_type == "identtqueue.errors.PayloadTooLarge"
    assert "the limit is 1,000" in told.remote_message


async def test_wrong_arguments(client: Client, serve: Serve, queue: str) -> None:
    async def job(_ctx, path):
        return path

    await serve({"job": job, "fine": fine}, unrunnable_seconds=0)
    told = await failed(client, queue, "job")
    assert told.remote_type == "identtqueue.errors.BadArguments"
    assert "path" in told.remote_message
    assert await ran(client, queue, "fine") == "fine"


async def test_an_async_job_is_cut_off_at_its_deadline(
    client: Client, serve: Serve, queue: str
) -> None:
    cleaned = asyncio.Event()

    async def job(_ctx):
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    await serve({"job": job, "fine": fine}, timeout_seconds=0.1)
    told = await failed(client, queue, "job")
    assert told.remote_type.endswith("TimedOut")
    assert told.remote_message == "job ran longer than 0.1 s"
    assert cleaned.is_set()
    assert await ran(client, queue, "fine") == "fine"


async def test_which_timeout_applies(client: Client, serve: Serve, queue: str) -> None:
    """The task's timeout overrides the job's, which overrides the worker's."""

    async def job(ctx):
        return ctx.deadline - time.monotonic()

    jobs = [
        Job(name="with", function=job, timeout_seconds=100),
        Job(name="without", function=job),
    ]
    await serve(jobs, timeout_seconds=1000)
    assert 900 < await ran(client, queue, "without") <= 1000
    assert 90 < await ran(client, queue, "with") <= 100
    options = TaskOptions(timeout_seconds=10)
    task_id = await client.enqueue_job(queue, "with", task_options=options)
    assert 0 < await client.wait_for_result(task_id, 30) <= 10


async def test_jobs_in_threads(client: Client, serve: Serve, queue: str) -> None:
    """They run in parallel with each other and with the event loop."""
    both = threading.Barrier(2)

    def job(_ctx, n):
        both.wait(timeout=30)
        return (n, threading.current_thread() is threading.main_thread())

    await serve({"job": job}, concurrency=2)
    ids = [await client.enqueue_job(queue, "job", n) for n in range(2)]
    assert [r.value for r in await client.wait_many(ids, 30)] == [[0, False], [1, False]]


async def test_a_thread_that_hangs_is_left_behind_and_counted(
    client: Client, serve: Serve, queue: str
) -> None:
    release = threading.Event()

    def job(_ctx):
        release.wait(60)

    def quick(_ctx):
        return "quick"

    jobs = [
        Job(name="job", function=job, timeout_seconds=0.2),
        Job(name="quick", function=quick),
    ]
    worker = await serve(jobs, concurrency=1)
    told = await failed(client, queue, "job")
    assert told.remote_message == "job ran longer than 0.2 s"
    assert worker.gauges.abandoned_threads == 1
    assert await ran(client, queue, "quick") == "quick", "its slot is free again"
    release.set()
    await eventually(lambda: worker.gauges.abandoned_threads == 0, "the thread has ended")


async def test_the_log_says_how_long_it_waited_and_ran(
    client: Client, serve: Serve, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "identtqueue")

    async def slow(_ctx):
        await asyncio.sleep(0.05)

    await serve({"slow": slow, "bad": raising(lambda: ValueError("too dark"))})
    good = await client.enqueue_job(queue, "slow")
    await client.wait_for_result(good, 30)
    bad = (await failed(client, queue, "bad")).task_id
    lines = [record.getMessage() for record in caplog.records]
    (line,) = [text for text in lines if text.startswith(f"{good} ")]
    found = re.fullmatch(
        rf"{good} attempt 1 succeeded: waited (\d+\.\d{{3}}) s, ran (\d+\.\d{{3}}) s", line
    )
    assert found
    assert float(found[2]) >= 0.05
    (line,) = [text for text in lines if text.startswith(f"{bad} ")]
    assert line.splitlines()[0].endswith(" s: ValueError: too dark")


async def test_retries_with_back_off(client: Client, serve: Serve, queue: str) -> None:
    starts = []

    async def job(ctx):
        starts.append((ctx.attempt, ctx.failures, time.monotonic()))
        if ctx.failures < 3:
            raise ValueError(ctx.attempt)
        return "at last"

    policy = RetryPolicy(
        max_retries=3, first_delay_seconds=0.1, floor_fraction=1.0, max_delay_seconds=0.2
    )
    await serve({"job": job}, retry=policy)
    task_id = await client.enqueue_job(queue, "job")
    assert await client.wait_for_result(task_id, 30) == "at last"
    assert [(attempt, failures) for attempt, failures, _ in starts] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 3),
    ]
    pauses = [b[2] - a[2] for a, b in itertools.pairwise(starts)]
    for pause, least in zip(pauses, (0.1, 0.2, 0.2), strict=True):
        assert pause >= least - 0.01
    info = await client.get_task(task_id)
    assert (info.attempt, info.failures) == (4, 3)


async def test_which_errors_are_retried(client: Client, serve: Serve, queue: str) -> None:
    def policy(**more: object) -> RetryPolicy:
        return RetryPolicy(max_retries=2, first_delay_seconds=0.01, **more)

    async def attempts(client: Client, name: str) -> int:
        told = await failed(client, queue, name)
        return (await client.get_task(told.task_id)).attempt

    await serve(
        [
            Job(name=name, function=raising(error), retry=retry)
            for name, error, retry in (
                ("plain", lambda: ValueError(1), policy()),
                ("given up", lambda: KeyError(1), policy(give_up_on=(LookupError,))),
                ("retried", lambda: OSError(1), policy(retry_on=(OSError,))),
                ("not retried", lambda: ValueError(1), policy(retry_on=(OSError,))),
                ("exit", lambda: SystemExit(1), policy()),
            )
        ]
    )
    assert await attempts(client, "plain") == 3
    assert await attempts(client, "given up") == 1
    assert await attempts(client, "retried") == 3
    assert await attempts(client, "not retried") == 1
    assert await attempts(client, "exit") == 1
