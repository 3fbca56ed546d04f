"""Commands that show something: queues, workers, limits, tasks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable

import pytest
import redis

from cli.apps import discreet
from cli.terminal import Run
from identtqueue import App, Client, Context, Job, RateLimit, TaskFailed, TaskOptions, Worker
from testing.packing import unpack
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

# --- queues and workers -----------------------------------------------------------------------


async def test_queues(client: Client, run: Run, queue: str) -> None:
    await client.enqueue_job(queue, "job")
    said = await run("queues", queue, f"{queue}-b", queue)
    assert (said.code, said.err) == (0, "")
    title, first, second = said.out.splitlines()
    assert title.split()[:6] == ["QUEUE", "PENDING", "HELD", "RUNNING", "SCHEDULED", "DEAD"]
    assert first.split()[:6] == [queue, "1", "0", "0", "0", "0"]
    assert re.search(r" \d+(\.\d+)? m?s +[\d.]+ +0 +0 +0  open$", first)
    assert second.endswith("-       0         0           0        0  open")
    await run("pause", queue)
    assert (await run("queues", queue)).out.endswith("paused\n")
    row = json.loads((await run("queues", "--json", queue)).out)
    assert (row["queue"], row["pending"], row["paused"]) == (queue, 1, True)


async def test_limits(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def job(_ctx):
        return 1

    jobs = [
        Job(name="both", function=job, max_running=2, rate_limit=RateLimit(1, 3600)),
        Job(name="free", function=job),
        Job(name="one", function=job, max_running=1),
    ]
    async with serving(Worker(jobs, redis_server.address, queue)):
        await client.wait_for_result(await client.enqueue_job(queue, "both"), 30)
        await client.enqueue_job(queue, "both")

        async def shown() -> list[str]:
            said = await run("limits", queue)
            assert said.code == 0
            return said.out.splitlines()[1:]

        both, one = await eventually(lambda: _when_held(shown()), "the second one is held")
    assert re.fullmatch(r"both +0/2  1 per 3600 s, burst 1 +1  in (59 min( \d+ s)?|1 h)", both)
    assert one.split() == ["one", "0/1", "-", "0", "now"]
    said = await run("limits", f"{queue}-b")
    assert (said.code, said.out, said.err) == (
        0,
        "",
        f"No job of {queue}-b has a limit, and none is paused.\n",
    )


async def _when_held(lines: Awaitable[list[str]]) -> list[str] | None:
    rows = await lines
    return rows if re.search(" 1  in ", rows[0]) else None


async def test_workers(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def job(_ctx):
        return 1

    other = f"{queue}-b"
    worker = Worker({"job": job}, redis_server.address, queue_names=[queue, other], concurrency=3)
    async with serving(worker):
        task_id = await client.enqueue_job(queue, "job")
        await client.wait_for_result(task_id, 30)
        owner = (await client.get_task(task_id)).owner
        (row,) = (await run("workers", queue, other)).rows
        utc = (await run("workers", queue, "--utc")).out
    assert row[:2] == [owner, os.uname().nodename]
    assert " ".join(row[2:6]) == f"{queue}, {other} 0/3 fetching"
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC\n", utc)
    said = await run("workers", queue)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"No worker is registered on {queue}.\n"


# --- tasks ------------------------------------------------------------------------------------


async def test_task(client: Client, run: Run, queue: str, dead_letter: str) -> None:
    said = await run("task", dead_letter)
    page, _, attempts = said.out.partition("\n\n")
    first, *rows = page.splitlines()
    assert first == dead_letter
    shown = {row[2:12].rstrip(): row[13:] for row in rows if row[2] != " "}
    assert shown["job"] == "read"
    assert shown["state"] == "failed (a dead letter)"
    assert shown["arguments"] == "'s3://bucket/a.jpg', b'\\x00', page=3"
    assert shown["attempts"] == "1  (failures 1, losses 0)"
    for name in ("enqueued", "started", "ended"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", shown[name])
    assert shown["worker"] == (await client.get_task(dead_letter)).owner
    assert shown["failure"] == "ValueError: too dark"
    below = said.out.partition("ValueError: too dark\n")[2]
    assert below.startswith("    Traceback (most recent call last):\n")
    assert "in read" in below
    assert below.partition("\n\n")[0].endswith("    ValueError: too dark")
    title, attempt = attempts.splitlines()
    assert title.split() == ["ATTEMPT", "STARTED", "WAITED", "RAN", "OUTCOME", "WORKER", "ERROR"]
    assert attempt.split()[0] == "1"
    assert re.search(r" failed +\S+ +ValueError: too dark$", attempt)


async def test_task_as_json(run: Run, queue: str, dead_letter: str) -> None:
    row = json.loads((await run("task", "--json", dead_letter)).out)
    assert (row["task_id"], row["queue"], row["job"]) == (dead_letter, queue, "read")
    assert (row["state"], row["attempt"], row["failures"], row["losses"]) == ("failed", 1, 1, 0)
    assert (row["args"], row["kwargs"]) == (["s3://bucket/a.jpg", "AA=="], {"page": 3})
    assert row["enqueued_at_ms"] <= row["started_at_ms"] <= row["finished_at_ms"]
    assert row["failure"]["type"] == "ValueError"
    assert "in read" in row["failure"]["traceback"]


async def test_what_the_application_hides(
    client: Client, redis_server: RedisServer, run: Run, queue: str
) -> None:
    async with serving(discreet.worker([queue], redis_address=redis_server.address)):
        task_id = await client.enqueue_job(queue, "log_in", "ada", pin="0815")
        await client.wait_for_result(task_id, 30)
    said = await run("task", task_id)
    assert "  arguments  (hidden by the application)\n" in said.out
    said = await run("task", task_id, "--app", "apps:discreet")
    assert "  arguments  'ada', pin='•••'  (some values are hidden)\n" in said.out
    row = json.loads((await run("task", task_id, "--app", "apps:discreet", "--json")).out)
    assert (row["args"], row["kwargs"]) == (["ada"], {"pin": "•••"})
    assert "0815" not in (await run("tasks", queue, "--json")).out


async def test_tags_parent_and_children(
    client: Client, redis_server: RedisServer, run: Run, queue: str
) -> None:
    app = App(redis_server.address, default_queue=queue)

    @app.task
    async def part(_ctx: Context) -> None:
        return None

    @app.task
    async def whole(_ctx: Context) -> None:
        await part.enqueue()

    async with serving(app.worker()):
        options = TaskOptions(tags=("tenant:42", "urgent"), unique_key="k")
        task_id = await client.enqueue_job(queue, "whole", task_options=options)
        await client.wait_for_result(task_id, 30)
    row = json.loads((await run("task", task_id, "--json")).out)
    (child,) = row["children"]
    said = await run("task", task_id)
    assert "  tags       tenant:42 urgent\n  unique key k\n" in said.out
    assert f"  children   {child}\n" in said.out
    assert f"  parent     {task_id}\n" in (await run("task", child)).out


async def test_a_task_that_waits(client: Client, run: Run, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job")
    said = await run("task", task_id)
    assert "  state      pending\n  arguments  (none)\n  attempts   0  (failures" in said.out
    assert not {"started", "ended", "worker", "failure"} & set(said.out.split())


async def test_nothing_that_a_task_holds_reaches_the_terminal_as_a_command(
    client: Client, redis_server: RedisServer, run: Run, queue: str
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\x9b"

    async def read(ctx, _text):
        await ctx.report_progress(evil)
        raise ValueError(evil)

    async with serving(Worker({evil: read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, evil, evil)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(task_id, 30)
    for words in (("task", task_id), ("dead", "list", queue), ("task", "--json", task_id)):
        out = (await run(*words)).out
        assert "owned" in out
        assert {char for char in out if not char.isprintable()} == {"\n"}


async def test_arguments_that_can_not_be_read(
    client: Client, run: Run, raw: redis.Redis, queue: str
) -> None:
    task_id = await client.enqueue_job(queue, "job")
    raw.hset(unpack(raw, task_id), "payload", b"\xc1")
    said = await run("task", task_id)
    assert "arguments  (the payload (1 bytes) is not a task envelope" in said.out
    row = json.loads((await run("task", "--json", task_id)).out)
    assert row["args"] is None
    assert "not a task envelope" in row["call_note"]


async def test_huge_arguments_are_cut_for_people_only(client: Client, run: Run, queue: str) -> None:
    task_id = await client.enqueue_job(queue, "job", "x" * 100_000)
    said = await run("task", task_id)
    assert len(said.out) < 6_000
    assert "… (100002 characters; --json shows all)" in said.out
    row = json.loads((await run("task", "--json", task_id)).out)
    assert row["args"] == ["x" * 100_000]


async def test_progress(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def read(ctx):
        await ctx.report_progress({"page": 3})

    async with serving(Worker({"read": read}, redis_server.address, queue)):
        task_id = await client.enqueue_job(queue, "read")
        await client.wait_for_result(task_id, 30)
    said = await run("task", task_id)
    assert "  progress   {'page': 3}\n" in said.out
    assert "  arguments  (none)\n  result     None\n" in said.out
    assert json.loads((await run("task", "--json", task_id)).out)["progress"] == {"page": 3}
