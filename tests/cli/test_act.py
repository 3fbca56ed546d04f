"""Commands that change something: enqueue, result, drain, pause, dead letters."""

from __future__ import annotations

import json

import pytest
import redis

from cli.terminal import Run, one_line
from identtqueue import Client, State, Worker
from testing.redis_server import RedisServer
from testing.serving import serving

# --- enqueue and result -----------------------------------------------------------------------


async def test_enqueue(client: Client, run: Run, queue: str) -> None:
    words = ("--arg", "s3://a?b=1", "--arg", "=x=y", "--arg", ":=[1, null]", "--arg", "page:=3")
    said = await run("enqueue", queue, "read", *words, "--arg", "name=3", "--task-id", "one")
    assert (said.code, said.out, said.err) == (0, f"{queue}:one\n", "")
    row = json.loads((await run("task", f"{queue}:one", "--json")).out)
    assert row["args"] == ["s3://a?b=1", "x=y", [1, None]]
    assert row["kwargs"] == {"page": 3, "name": "3"}
    again = await run("enqueue", queue, "read", "--task-id", "one")
    assert (again.code, again.out) == (0, f"{queue}:one\n")
    assert again.err == "It existed already, and was left as it is.\n"
    said = await run("enqueue", queue, "read", "--task-id", "one", "--on-existing", "raise")
    assert said.code == 1
    assert f"task {queue}:one exists already" in one_line(said)


async def test_options_of_a_task(client: Client, run: Run, queue: str) -> None:
    words = ("--at", "2100-01-01T00:00Z", "--unique-key", "k", "--max-retries", "0")
    said = await run("enqueue", queue, "read", *words, "--json")
    row = json.loads(said.out)
    assert row["created"]
    assert await client.get_status(row["task_id"]) is State.SCHEDULED
    second = json.loads((await run("enqueue", queue, "read", "--unique-key", "k", "--json")).out)
    assert second == {"task_id": row["task_id"], "created": False}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--arg", "page:=three"), "behind ':=' stands a JSON value"),
        (("--arg", "a=1", "--arg", "a=2"), "--arg a: it is given twice"),
        (("--at", "tomorrow"), "write 2026-01-31T12:00:00Z"),
        (("--at", "2026-01-31T12:00"), "has no time zone: write 2026-01-31T12:00Z"),
        (("--delay-seconds", "1", "--at", "2100-01-01T00:00Z"), "delay_seconds or at, not both"),
        (("--app", "apps:app"), "this worker has no job named 'read'"),
    ],
)
async def test_what_is_not_enqueued(run: Run, queue: str, words: tuple[str, ...], why: str) -> None:
    said = await run("enqueue", queue, "read", *words)
    assert why in one_line(said)
    assert said.code == (1 if "--app" in words else 2)
    assert (await run("queues", queue)).rows[0][1] == "0"


async def test_an_app_converts_and_checks_the_arguments(
    client: Client, run: Run, queue: str
) -> None:
    app = ("--app", "apps:app")
    said = await run(
        "enqueue", queue, "count", *app, "--arg", "3", "--arg", "at=2026-01-31", "--json"
    )
    assert said.code == 0, said.err
    row = json.loads((await run("task", json.loads(said.out)["task_id"], "--json")).out)
    assert (row["args"], row["kwargs"]) == ([3], {"at": "2026-01-31"})
    assert "count: number: " in one_line(await run("enqueue", queue, "count", *app, "--arg", "x"))
    said = await run("enqueue", queue, "count", *app, "--arg", "nmber=3")
    assert "missing a required argument: 'number'" in one_line(said)


async def test_results(client: Client, redis_server: RedisServer, run: Run, queue: str) -> None:
    async def read(_ctx, text):
        if not text:
            raise ValueError("empty")
        return {"text": text}

    late = await run("enqueue", queue, "read", "--arg", "straße", "--wait-seconds", "0.05")
    assert late.code == 6
    task_id, message = late.err.splitlines()
    assert message == f"Error: task {task_id} has not ended yet, it is pending: wait longer"
    said = await run("result", task_id)
    assert (said.code, said.out) == (6, "")
    assert said.err.endswith("it is pending: --wait waits for its end\n")
    async with serving(Worker({"read": read}, redis_server.address, queue)):
        said = await run("result", task_id, "--wait")
        assert (said.code, said.out, said.err) == (0, '{"text": "straße"}\n', "")
        said = await run("enqueue", queue, "read", "--arg", "a", "--wait", "--json")
        row = json.loads(said.out)
        assert (row["state"], row["value"], row["failure"]) == ("succeeded", {"text": "a"}, None)
        said = await run("enqueue", queue, "read", "--arg", "", "--wait")
        assert (said.code, said.out) == (1, "")
        task_id, *traceback, message = said.err.splitlines()
        assert message == f"Error: task {task_id} failed: ValueError: empty"
        assert any("in read" in line for line in traceback)
        said = await run("result", task_id, "--json")
        assert (said.code, json.loads(said.out)["failure"]["type"]) == (1, "ValueError")
    said = await run("result", f"{queue}:never")
    assert said.code == 3


# --- drain ------------------------------------------------------------------------------------


async def test_drain_and_undrain(
    client: Client, redis_server: RedisServer, run: Run, queue: str
) -> None:
    async def job(_ctx):
        return 1

    async with serving(Worker({"job": job}, redis_server.address, queue)):
        await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
        row = json.loads((await run("workers", queue, "--json")).out)
        worker, host = row["worker"], row["host"]
        said = await run("drain", worker, "--queue", queue)
        assert (said.code, said.out) == (0, f"{worker}  drains in {queue}\n")
        assert (
            await run("drain", host, "--queue", queue)
        ).out == f"{worker}  drained already in {queue}\n"
        assert " draining " in (await run("workers", queue)).out
        said = await run("undrain", host, "nobody", "--queue", queue)
        assert said.out == f"{worker}  fetches again in {queue}\n"
        assert said.code == 1
        assert "No worker, pod or host nobody" in said.err
        await client.wait_for_result(await client.enqueue_job(queue, "job"), 30)
    said = await run("drain", worker, "--queue", queue)
    assert said.code == 3
    assert f"No worker, pod or host {worker}" in one_line(said)


# --- dead letters, pause ----------------------------------------------------------------------


async def test_pause_and_resume(run: Run, raw: redis.Redis, queue: str) -> None:
    assert (await run("pause", queue)).out == "paused\n"
    assert raw.exists(f"idtq:{{{queue}}}:paused")
    assert (await run("pause", queue)).out == "was paused already\n"
    assert (await run("resume", queue)).out == "resumed\n"
    assert (await run("resume", queue)).out == "was not paused\n"
    assert not raw.exists(f"idtq:{{{queue}}}:paused")
