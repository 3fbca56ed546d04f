"""`--json`: what docs/reference/json.md says is what the commands print, on a real Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.terminal import Run
from identtqueue import Client, Job, RateLimit, TaskFailed, TaskOptions, Worker
from identtqueue.cli import main
from testing.redis_server import RedisServer
from testing.serving import serving

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
    async with serving(Worker(jobs, redis_server.address, queue)):
        good = await client.enqueue_job(queue, "read", "good", b"\0", page=3)
        bad = await client.enqueue_job(queue, "read", "bad")
        later = await client.enqueue_job(
            queue, "read", "later", task_options=TaskOptions(delay_seconds=600)
        )
        await client.wait_for_result(good, 30)
        with pytest.raises(TaskFailed):
            await client.wait_for_result(bad, 30)
        yield {"good": good, "bad": bad, "later": later}


async def test_each_command_prints_what_the_page_says(
    run: Run, queue: str, full_queue: dict[str, str]
) -> None:
    good, bad = full_queue["good"], full_queue["bad"]
    calls = {
        "queues": [("queues", queue)],
        "workers": [("workers", queue)],
        "limits": [("limits", queue)],
        "task": [("task", task_id) for task_id in full_queue.values()],
        "dead-list": [("dead", "list", queue)],
        "result": [("result", good), ("result", bad)],
        "doctor": [("doctor", "--queue", queue)],
        "selftest": [("selftest", "--queue", queue)],
        "enqueue": [("enqueue", queue, "read", "--arg", "x")],
    }
    assert set(calls) == set(commands_with_json())
    for name, each in calls.items():
        fields = TABLES[name] or TABLES["task"]  # "as `task` prints it"
        for words in each:
            said = await run(*words, "--json")
            rows = [json.loads(line) for line in said.out.splitlines()]
            assert rows, (words, said.err)
            found = [misfit for row in rows for misfit in misfits_of_row(name, row, fields)]
            assert found == [], words


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
