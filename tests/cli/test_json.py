"""`--json`: what docs/reference/json.md says is what the commands print, on a real Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.terminal import Run
from identtqueue import Client, Cron, Job, RateLimit, TaskFailed, TaskOptions, Worker
from identtqueue.admin import Admin
from identtqueue.cli import main
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
KINDS: dict[str, Any] = {
    "text": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "any": object,
}

BY_ID, BY_FILTER = "acts-by-id", "acts-by-filter"

Fields = dict[str, str]


def documented() -> dict[str, Fields]:
    """Read the page: for each of its tables the types of the fields."""
    tables = {}
    for chapter in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title, _, text = chapter.partition("\n")
        rows = re.findall(r"^\| (`.+?`) \| (.+?) \| ", text, re.MULTILINE)
        tables[title] = {name: kind for names, kind in rows for name in re.findall(r"\w+", names)}
    return tables


TABLES = documented()


def misfits(where: str, value: object, kind: str) -> Iterator[str]:
    """Yield how a value differs from the type that the page gives it."""
    if value is None and (kind.endswith(" or null") or kind == "any"):
        return
    kind = kind.removesuffix(" or null")
    inner = kind.removeprefix("list of ")
    if inner != kind:
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for each in value:
            yield from misfits(f"{where}[]", each, inner)
    elif link := re.fullmatch(r"\[(\w+)\]\(#\w+\)", kind):
        yield from misfits_of_row(where, value, TABLES[link[1]])
    elif not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind == "integer"):
        yield f"{where} is {value!r}, not {kind}"


def misfits_of_row(where: str, row: Any, fields: Fields) -> Iterator[str]:
    if row.keys() != fields.keys():
        yield f"{where} has {sorted(row.keys() ^ fields.keys())} in one place only"
    for name, kind in fields.items():
        yield from misfits(f"{where}.{name}", row.get(name), kind)


def commands_with_json() -> list[str]:
    found, todo = [], [((), main)]
    for words, command in todo:
        if isinstance(command, click.Group):
            todo += [((*words, name), below) for name, below in command.commands.items()]
        elif any(parameter.name == "as_json" for parameter in command.params):
            found.append("-".join(words))
    return found


@pytest.fixture
async def full_queue(client: Client, redis_server: RedisServer, queue: str) -> Any:
    """Fill a queue with one of everything, while a worker serves it."""

    async def read(_ctx, path, _data=b"", page=0):
        if path == "bad":
            raise ValueError("too dark")
        return {"path": path}

    async def echo(_ctx, text):
        return text

    jobs = [
        Job(name="read", function=read),
        Job(name="echo", function=echo),
        Job(name="limited", function=read, max_running=1, rate_limit=RateLimit(1, 3600)),
    ]
    cron = [Cron(name="nightly", function_name="read", expression="0 3 * * *", args=("x",))]
    async with serving(Worker(jobs, redis_server.address, queue, cron=cron)):
        good = await client.enqueue_job(queue, "read", "good", b"\0", page=3)
        bad = await client.enqueue_job(queue, "read", "bad")
        later = await client.enqueue_job(
            queue, "read", "later", task_options=TaskOptions(delay_seconds=600)
        )
        await client.wait_for_result(good, 30)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(bad, 30)
        for _ in range(3):
            await client.enqueue_job(queue, "limited", "good")
        async with Admin(redis_server.address) as admin:
            await eventually(lambda: _is_counted(admin, queue), "the worker has reported")
        yield {"good": good, "bad": bad, "later": later}


async def _is_counted(admin: Admin, queue: str) -> bool:
    """Return whether the worker has reported what it ran, and what it holds back."""
    series = await admin.series(queue, step="minute")
    held = (await admin.depths([queue]))[queue].held
    return sum(point.total.failed for point in series.points) > 0 and held > 0


async def test_each_command_prints_what_the_page_says(
    run: Run, queue: str, full_queue: dict[str, str]
) -> None:
    good, bad = full_queue["good"], full_queue["bad"]
    later = full_queue["later"]
    calls = {
        "queues": [("queues", queue)],
        "jobs": [("jobs", queue)],
        "tasks": [("tasks", queue)],
        "task": [("task", task_id) for task_id in full_queue.values()],
        "result": [("result", good), ("result", bad)],
        "workers": [("workers", queue)],
        "limits": [("limits", queue)],
        "cron-list": [("cron", "list", queue)],
        "cron-next": [("cron", "next", queue)],
        "dead-list": [("dead", "list", queue)],
        "dead-groups": [("dead", "groups", queue)],
        "stats": [("stats", queue), ("stats", queue, "--points")],
        "doctor": [("doctor", "--queue", queue)],
        "selftest": [("selftest", "--queue", queue)],
        "enqueue": [("enqueue", queue, "read", "--arg", "x")],
        "reschedule": [("reschedule", later, "--at", "2100-01-01T00:00Z")],
        "cancel": [("cancel", later), ("cancel", queue, "--job", "limited", "--yes")],
        "dead-move": [("dead", "move", f"{queue}:no", "--to", f"{queue}-b")],
        "dead-replay": [("dead", "replay", bad)],
        "dead-discard": [("dead", "discard", queue, "--all", "--yes")],
        "purge": [("purge", queue, "--yes")],
        "audit": [("audit", queue)],
    }
    assert set(calls) == set(commands_with_json())
    for name, each in calls.items():
        for words in each:
            said = await run(*words, "--json")
            assert said.json, (words, said.err)
            for row in said.json:
                assert list(misfits_of_row(name, row, fields_of(name, row))) == [], words


def fields_of(name: str, row: dict[str, Any]) -> Fields:
    """Return the fields that the page gives a line of a command."""
    if name == "dead-list":
        return TABLES["task"]
    if name == "stats" and "job" not in row:
        left = {
            key: kind for key, kind in TABLES["stats"].items() if key not in ("job", "since_ms")
        }
        return {**left, "at_ms": "integer"}
    return TABLES[name] if name in TABLES else TABLES[BY_ID if "task_id" in row else BY_FILTER]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "text"),
        (True, "integer"),
        (None, "text"),
        ([1], "list of text"),
        ({}, "[failure](#failure)"),
    ],
)
def test_a_wrong_type_is_found(value: object, kind: str) -> None:
    assert list(misfits("x", value, kind))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "integer"),
        (None, "any"),
        (None, "text or null"),
        (["a"], "list of text"),
        (1.5, "number"),
    ],
)
def test_a_right_type_is_accepted(value: object, kind: str) -> None:
    assert list(misfits("x", value, kind)) == []
