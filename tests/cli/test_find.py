"""`identtqueue tasks`, `jobs`, `stats`, `cron` and `dead`: what is found, and how it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from cli.terminal import Run, one_line
from identtqueue import App, Client, Context, TaskOptions
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually


async def _wait(client: Client, *task_ids: str) -> None:
    for task_id in task_ids:
        await client.wait(task_id, 30)


@pytest.fixture
def app(redis_server: RedisServer, queue: str) -> App:
    """Make an application with a job that may fail."""
    app = App(redis_server.address, default_queue=queue)

    @app.task(max_retries=0)
    async def read(_ctx: Context, path: str, password: str = "") -> str:
        if path.startswith("bad"):
            raise (ValueError if path == "bad value" else KeyError)(path)
        return path

    @app.task
    async def forget(_ctx: Context) -> None:
        return None

    return app


@pytest.fixture
async def filled(app: App, client: Client, queue: str) -> dict[str, str]:
    """Fill the queue: three tasks that ended, two of them badly, one scheduled, two that wait."""

    def named(name: str, **options: object) -> TaskOptions:
        return TaskOptions(task_id=name, **options)

    async def enqueue(name: str, path: str, **options: object) -> str:
        return await client.enqueue_job(queue, "read", path, task_options=named(name, **options))

    async with serving(app.worker(concurrency=1)):
        ids = [await enqueue("good", "good", tags=("tenant:42",))]
        await _wait(client, *ids)
        for name, path in (("bad-1", "bad value"), ("bad-2", "bad key")):
            ids.append(await enqueue(name, path))
            await _wait(client, ids[-1])
    ids.append(await enqueue("later", "x", at=datetime(2100, 1, 1, tzinfo=UTC)))
    ids += [await enqueue("w-1", "first"), await enqueue("w-2", "second")]
    return {task_id.rpartition(":")[2]: task_id for task_id in ids}


def ids(out: str) -> list[str]:
    """The unique parts of the ids in the first column of a table."""
    return [line.split()[0].partition(":")[2] for line in out.splitlines()[1:]]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ["w-2", "w-1", "later", "bad-2", "bad-1", "good"]),
        (("--state", "pending"), ["w-2", "w-1"]),
        (("--state", "pending", "--oldest"), ["w-1", "w-2"]),
        (("--state", "scheduled"), ["later"]),
        (("--state", "dead"), ["bad-2", "bad-1"]),
        (("--state", "failed", "--error", "ValueError"), ["bad-1"]),
        (("--state", "succeeded"), ["good"]),
        (("--state", "ended", "--oldest"), ["good", "bad-1", "bad-2"]),
        (("--id", "bad"), ["bad-2", "bad-1"]),
        (("--tag", "tenant:42"), ["good"]),
        (("--text", "second"), ["w-2"]),
        (("--job", "read", "--older", "1h"), []),
        (("--job", "other"), []),
    ],
)
async def test_tasks_are_found(
    run: Run, queue: str, filled: dict[str, str], words: tuple[str, ...], found: list[str]
) -> None:
    said = await run("tasks", queue, *words)
    assert said.code == 0
    assert ids(said.out) == found
    rows = [
        json.loads(line) for line in (await run("tasks", queue, *words, "--json")).out.splitlines()
    ]
    assert [row["task_id"] for row in rows] == [filled[name] for name in found]
    if not found:
        assert said.err.startswith(f"No tasks in {queue} match job=")


async def test_a_list_is_paged_by_what_the_command_prints(
    run: Run, queue: str, filled: dict[str, str]
) -> None:
    said = await run("tasks", queue, "--state", "pending", "--limit", "1")
    assert ids(said.out) == ["w-2"]
    match = re.fullmatch(
        r"pending: 1 shown, of 2; more: (--state pending --cursor \S+)\n", said.err
    )
    assert match, said.err
    said = await run("tasks", queue, *match[1].split())
    assert (ids(said.out), said.err) == (["w-1"], "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--job", ""), "--job is empty: give a value, or leave it out"),
        (("--cursor", "abc"), "give the --state that it was printed for"),
        (("--state", "pending", "--cursor", "abc"), "the cursor is not one"),
        (("--since", "soon"), "must be a duration such as 90s"),
        (("--state", "lost"), "'lost' is not one of"),
    ],
)
async def test_a_wrong_filter(run: Run, queue: str, words: tuple[str, ...], why: str) -> None:
    said = await run("tasks", queue, *words)
    assert why in one_line(said)
    assert said.code == 2


async def test_a_table_has_the_columns_that_say_something(
    run: Run, queue: str, filled: dict[str, str]
) -> None:
    title = (await run("tasks", queue, "--state", "pending")).out.splitlines()[0]
    assert title.split() == ["TASK", "STATE", "JOB", "WAITS", "SINCE", "TRIES"]
    title, row = (
        await run("tasks", queue, "--error", "KeyError", "--state", "dead")
    ).out.splitlines()
    assert title.split() == ["TASK", "STATE", "JOB", "DIED", "TRIES", "WORKER", "ERROR"]
    assert row.endswith("KeyError: 'bad key'")
    utc = (await run("tasks", queue, "--state", "scheduled", "--utc")).out
    assert "2100-01-01 00:00:00.000 UTC" in utc


async def test_dead_letters(run: Run, queue: str, filled: dict[str, str]) -> None:
    said = await run("dead", "list", queue)
    assert ids(said.out) == ["bad-2", "bad-1"]
    said = await run("dead", "list", queue, "--error", "ValueError", "--json")
    row = json.loads(said.out)
    assert (row["task_id"], row["args"]) == (filled["bad-1"], ["bad value"])
    assert "in read" in row["failure"]["traceback"]
    said = await run("dead", "list", queue, "--job", "other")
    assert (said.code, said.out) == (0, "")
    assert said.err == f"No dead letters in {queue} match job=other.\n"
    said = await run("dead", "list", queue, "--limit", "1")
    cursor = re.fullmatch(r"1 of 2 shown; more: --cursor (\S+)\n", said.err)
    assert ids((await run("dead", "list", queue, "--cursor", cursor[1])).out) == ["bad-1"]


async def test_dead_letters_by_error(run: Run, queue: str, filled: dict[str, str]) -> None:
    rows = (await run("dead", "groups", queue)).rows
    assert sorted(row[:3] for row in rows) == [
        ["1", "read", "KeyError"],
        ["1", "read", "ValueError"],
    ]
    said = await run("dead", "groups", f"{queue}-b")
    assert (said.code, said.out, said.err) == (0, "", f"No dead letters in {queue}-b.\n")


async def test_jobs_and_stats(run: Run, queue: str, filled: dict[str, str]) -> None:
    rows = {row[0]: row for row in (await run("jobs", queue)).rows}
    assert set(rows) == {"read", "forget"}
    assert rows["read"][1] == "open"
    assert "path," in rows["read"]

    async def counted() -> dict[str, int]:
        rows = (await run("stats", queue, "--job", "read", "--json")).json
        return rows[0] if rows else {}

    row = await eventually(_when(counted, lambda row: row.get("failed") == 2), "two have failed")
    assert (row["enqueued"], row["succeeded"]) == (6, 1)
    assert row["errors"] == {"ValueError": 1, "KeyError": 1}
    (shown,) = (await run("stats", queue, "--job", "read")).rows
    assert shown[0] == "read"
    points = (await run("stats", queue, "--points", "--since", "5m", "--json")).json
    assert sum(point["failed"] for point in points) == 2
    said = await run("stats", f"{queue}-b")
    assert (said.code, said.out) == (0, "")
    assert said.err == f"Nothing has happened in {queue}-b in that time.\n"


def _when(look: Callable, is_right: Callable) -> Callable:
    async def see() -> object:
        found = await look()
        return found if is_right(found) else None

    return see


async def test_schedules(run: Run, app: App, client: Client, queue: str) -> None:
    app.cron("0 3 * * *", app.jobs["forget"], name="nightly", timezone="Europe/Berlin")
    said = await run("cron", "list", queue)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"No worker has declared a schedule on {queue}.\n"
    async with serving(app.worker()):
        row = await eventually(_when(lambda: _schedule(run, queue), bool), "it is planned")
        assert " ".join(row[:8]) == "nightly forget 0 3 * * * Europe/Berlin"
        fires = [
            json.loads(line)
            for line in (await run("cron", "next", queue, "--json")).out.splitlines()
        ]
        assert len(fires) == 10
        assert (
            fires[0]["at_ms"]
            == json.loads((await run("cron", "list", queue, "--json")).out)["next_ms"]
        )
        task_id = (await run("cron", "run", queue, "nightly")).out.strip()
        await _wait(client, task_id)
        assert (await run("cron", "pause", queue, "nightly")).out == "paused\n"
        assert (await run("cron", "pause", queue, "nightly")).out == "was paused already\n"
        assert (await run("cron", "list", queue)).out.rstrip().endswith("paused")
        said = await run("cron", "next", queue)
        assert said.err == f"No schedule of {queue} fires: it has none, or all are paused.\n"
        assert (await run("cron", "resume", queue, "nightly")).out == "resumed\n"
        assert (await run("cron", "resume", queue, "nightly")).out == "was not paused\n"
    for words in (("run", queue, "daily"), ("pause", queue, "daily"), ("next", queue, "daily")):
        said = await run("cron", *words)
        assert said.code == 3
        assert "has no schedule 'daily'" in one_line(said)


async def _schedule(run: Run, queue: str) -> list[str]:
    rows = (await run("cron", "list", queue)).rows
    return rows[0] if rows and rows[0][-1] == "planned" else []


async def test_all_queues_and_workers(
    new_redis_server: Callable[..., RedisServer], run: Run
) -> None:
    server = new_redis_server()
    environ = {"IDENTTQUEUE_REDIS_ADDRESS": server.address}
    said = await run("queues", **environ)
    assert (said.code, said.out) == (0, "")
    assert said.err == "No queue was in use within 30 days.\n"
    assert (await run("workers", **environ)).err == "No worker is registered on any queue.\n"
    async with Client(server.address) as client:
        for name in ("b", "a"):
            await client.enqueue_job(name, "read")
    assert [row[:2] for row in (await run("queues", **environ)).rows] == [["a", "1"], ["b", "1"]]
