"""Each of the TaskOptions, and values that break their rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import redis

from identtqueue import (
    Client,
    InvalidInput,
    State,
    TaskCancelled,
    TaskExists,
    TaskExpired,
    TaskFailed,
    TaskOptions,
)
from identtqueue.errors import InvalidTaskId
from identtqueue.protocol.answers import Enqueued
from identtqueue.protocol.submission import Submission
from testing.packing import is_awaited
from testing.serving import Serve
from testing.waiting import eventually


async def echo(_ctx, value=None):
    return value


async def test_task_id_makes_it_one_task(client: Client, raw: redis.Redis, queue: str) -> None:
    options = TaskOptions(task_id="page-1")
    first = await client.submit(Submission(queue, "echo", (1,), options=options))
    second = await client.submit(Submission(queue, "echo", (2,), options=options))
    assert first.task_id == second.task_id == f"{queue}:page-1"
    assert (first.status, second.status) == (Enqueued.OK, Enqueued.EXISTS)
    assert raw.llen(f"idtq:{{{queue}}}:pending") == 1


async def test_task_id_may_carry_the_queue(client: Client, queue: str) -> None:
    full = f"{queue}:page:2"
    assert await client.enqueue_job(queue, "echo", task_options=TaskOptions(task_id=full)) == full


NATURAL = ["order:42", "index/http://a.b/c?d=e%20f", "two words", "Müller", "🦉", "a}:b{", ":"]


@pytest.mark.parametrize("own", NATURAL)
async def test_natural_ids(client: Client, serve: Serve, queue: str, own: str) -> None:
    """The id is the same everywhere, exactly as the caller has spelled it."""
    go = asyncio.Event()

    async def slow(ctx, n):
        await ctx.report_progress(n)
        await go.wait()
        return ctx.task_id

    options = TaskOptions(task_id=own, unique_key=own)
    task_id = await client.enqueue_job(queue, "slow", 1, task_options=options)
    assert task_id == f"{queue}:{own}"
    again = await client.submit(Submission(queue, "slow", (2,), options=options))
    assert (again.task_id, again.created) == (task_id, False)
    rival = TaskOptions(unique_key=own)
    assert await client.enqueue_job(queue, "slow", 3, task_options=rival) == task_id
    await serve({"slow": slow})
    seen = aiter(client.watch(task_id, 30))
    assert await anext(seen) == 1
    info = await client.get_task(task_id)
    assert (info.task_id, info.queue, info.state) == (task_id, queue, State.RUNNING)
    go.set()
    assert await client.wait_for_result(task_id, 30) == task_id
    go.clear()
    running = await client.enqueue_job(
        queue, "slow", 4, task_options=TaskOptions(task_id=own + "!")
    )
    watch = client.watch(running, 30)
    assert await anext(watch) == 4
    assert await client.cancel(running) is True
    with pytest.raises(TaskCancelled):
        await client.wait_for_result(running, 30)


async def test_on_existing(client: Client, serve: Serve, raw: redis.Redis, queue: str) -> None:
    """An ended task is kept when its id is used again, unless `on_existing` says otherwise."""
    await serve({"echo": echo})
    keep = TaskOptions(task_id="report")
    replace = TaskOptions(task_id="report", on_existing="replace")
    refuse = TaskOptions(task_id="report", on_existing="raise")
    task_id = await client.enqueue_job(queue, "echo", 1, task_options=refuse)
    assert await client.wait_for_result(task_id, 30) == 1

    assert await client.enqueue_job(queue, "echo", 2, task_options=keep) == task_id
    assert await client.wait_for_result(task_id, 30) == 1
    with pytest.raises(TaskExists, match=f"task {task_id} exists already") as caught:
        await client.enqueue_job(queue, "echo", 3, task_options=refuse)
    assert caught.value.task_id == task_id
    receipt = await client.submit(Submission(queue, "echo", (4,), options=replace))
    assert (receipt.task_id, receipt.created) == (task_id, True)
    assert await client.wait_for_result(task_id, 30) == 4
    assert (await client.get_task(task_id)).attempt == 2, "the fencing number goes on"


async def test_on_existing_in_a_batch(client: Client, queue: str) -> None:
    """All others of the batch are enqueued when the error is raised."""
    once = TaskOptions(task_id="once", on_existing="raise")
    with pytest.raises(TaskExists, match=f"{queue}:once"):
        await client.submit_many(
            [Submission(queue, "echo", (n,), options=once if n < 2 else None) for n in range(4)]
        )
    assert await client.queue_length(queue) == 3


async def test_on_existing_for_a_task_that_has_not_ended(client: Client, queue: str) -> None:
    replace = TaskOptions(task_id="a", on_existing="replace")
    receipts = [
        await client.submit(Submission(queue, "echo", (n,), options=replace)) for n in range(2)
    ]
    assert [receipt.created for receipt in receipts] == [True, False]


@pytest.mark.parametrize("bad", ["", "a\nb", "x" * 256, "caf\udce9"])
async def test_task_id_breaks_the_rule(client: Client, queue: str, bad: str) -> None:
    with pytest.raises(InvalidTaskId, match="is not valid"):
        await client.enqueue_job(queue, "echo", task_options=TaskOptions(task_id=bad))
    assert await client.queue_length(queue) == 0


async def test_delay(client: Client, serve: Serve, queue: str) -> None:
    options = TaskOptions(delay_seconds=0.3)
    task_id = await client.enqueue_job(queue, "echo", 7, task_options=options)
    assert await client.get_status(task_id) is State.SCHEDULED
    await serve({"echo": echo})
    assert await client.wait_for_result(task_id, 30) == 7
    info = await client.get_task(task_id)
    assert info.started_at_ms - info.enqueued_at_ms >= 300


async def test_at(client: Client, serve: Serve, queue: str) -> None:
    await serve({"echo": echo})
    at = datetime.now(UTC) + timedelta(seconds=0.4)
    task_id = await client.enqueue_job(queue, "echo", 7, task_options=TaskOptions(at=at))
    assert await client.wait_for_result(task_id, 30) == 7
    info = await client.get_task(task_id)
    assert info.started_at_ms >= int(at.timestamp() * 1000)


async def test_at_in_the_past_is_now(client: Client, queue: str) -> None:
    options = TaskOptions(at=datetime(2020, 1, 1, tzinfo=UTC))
    task_id = await client.enqueue_job(queue, "echo", task_options=options)
    assert await client.get_status(task_id) is State.PENDING


async def test_timeout_of_one_task(client: Client, serve: Serve, queue: str) -> None:
    async def for_ever(_ctx):
        await asyncio.Event().wait()

    await serve({"for_ever": for_ever})
    options = TaskOptions(timeout_seconds=0.1)
    task_id = await client.enqueue_job(queue, "for_ever", task_options=options)
    with pytest.raises(TaskFailed, match=r"for_ever ran longer than 0\.1 s"):
        await client.wait_for_result(task_id, 30)


async def test_max_retries_of_one_task(client: Client, serve: Serve, queue: str) -> None:
    async def fails(ctx):
        raise ValueError(ctx.attempt)

    await serve({"fails": fails}, max_retries=5)
    task_id = await client.enqueue_job(queue, "fails", task_options=TaskOptions(max_retries=0))
    with pytest.raises(TaskFailed, match="ValueError: 1"):
        await client.wait_for_result(task_id, 30)


async def test_expires(client: Client, serve: Serve, queue: str) -> None:
    options = TaskOptions(expires_seconds=0.05)
    late = await client.enqueue_job(queue, "echo", task_options=options)
    info = await client.get_task(late)
    # The server's own clock decides, so ask it.
    await eventually(lambda: _passed(client, queue, info.enqueued_at_ms + 60), "it expires")
    await serve({"echo": echo})
    with pytest.raises(TaskExpired, match="expired before a worker took it"):
        await client.wait_for_result(late, 30)
    assert await client.get_status(late) is State.CANCELLED


async def _passed(client: Client, queue: str, at_ms: int) -> bool:
    probe = await client.enqueue_job(queue, "echo")
    return (await client.get_task(probe)).enqueued_at_ms > at_ms


async def test_expires_does_not_cut_off_what_has_started(
    client: Client, serve: Serve, queue: str
) -> None:
    go = asyncio.Event()
    started = asyncio.Event()

    async def slow(ctx):
        started.set()
        await go.wait()
        return "done"

    await serve({"slow": slow, "echo": echo})
    options = TaskOptions(expires_seconds=10)
    task_id = await client.enqueue_job(queue, "slow", task_options=options)
    await started.wait()
    go.set()
    assert await client.wait_for_result(task_id, 30) == "done"


async def test_unique_key(client: Client, serve: Serve, queue: str) -> None:
    go = asyncio.Event()

    async def slow(_ctx, n):
        await go.wait()
        return n

    unique = TaskOptions(unique_key="document-9")
    first = await client.enqueue_job(queue, "slow", 1, task_options=unique)
    assert await client.enqueue_job(queue, "slow", 2, task_options=unique) == first
    await serve({"slow": slow})
    assert await client.enqueue_job(queue, "slow", 3, task_options=unique) == first
    go.set()
    assert await client.wait_for_result(first, 30) == 1
    again = await client.enqueue_job(queue, "slow", 4, task_options=unique)
    assert again != first, "it has ended: the key is free"
    assert await client.wait_for_result(again, 30) == 4


async def test_unique_seconds(client: Client, raw: redis.Redis, queue: str) -> None:
    options = TaskOptions(unique_key="k", unique_seconds=0.05)
    first = await client.enqueue_job(queue, "echo", task_options=options)
    await eventually(lambda: not raw.exists(f"idtq:{{{queue}}}:unique:k"), "the key's TTL")
    assert await client.enqueue_job(queue, "echo", task_options=options) != first


async def test_result_ttl(client: Client, raw: redis.Redis, serve: Serve, queue: str) -> None:
    options = TaskOptions(result_ttl_seconds=0.2)
    task_id = await client.enqueue_job(queue, "echo", 5, task_options=options)
    waiting = asyncio.create_task(client.wait_for_result(task_id, 30))
    await eventually(lambda: is_awaited(raw, task_id), "the wait is registered")
    await serve({"echo": echo})
    assert await waiting == 5
    await eventually(lambda: _forgotten(client, task_id), "the result has expired")


async def _forgotten(client: Client, task_id: str) -> bool:
    return await client.get_status(task_id) is None


BAD = {
    "delay and at": {"delay_seconds": 1, "at": datetime(2030, 1, 1, tzinfo=UTC)},
    "naive at": {"at": datetime(2030, 1, 1)},  # noqa: DTZ001
    "negative delay": {"delay_seconds": -1},
    "endless delay": {"delay_seconds": float("inf")},
    "no number": {"delay_seconds": float("nan")},
    "no number of seconds": {"timeout_seconds": float("nan")},
    "no time": {"timeout_seconds": 0},
    "endless timeout": {"timeout_seconds": float("inf")},
    "expired from the start": {"expires_seconds": 0},
    "kept for longer than Redis can count": {"result_ttl_seconds": 1e18},
    "negative retries": {"max_retries": -1},
    "key of two lines": {"unique_key": "a\nb"},
    "key held for no time": {"unique_key": "a", "unique_seconds": 0},
}


@pytest.mark.parametrize("options", BAD.values(), ids=BAD.keys())
def test_bad_options(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        TaskOptions(**options)
    assert next(iter(options)).split("_")[0] in str(caught.value)
