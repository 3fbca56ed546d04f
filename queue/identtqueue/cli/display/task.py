"""One task whole: as lines for people, and as one line of JSON."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from identtqueue.admin import Admin
from identtqueue.cli.display.text import printable
from identtqueue.cli.display.times import exact
from identtqueue.cli.display.values import plain
from identtqueue.errors import PayloadUndecodable
from identtqueue.task import Failure, State, Task, TaskInfo

LONGEST_ARGUMENTS: Final = 4_000
"""Upper bound for the characters of arguments in the text form. JSON shows them all."""

GONE: Final = "(deleted: arguments are kept until a task has succeeded or was cancelled)"

Called = Task | PayloadUndecodable | None
"""The call of a task: its job and arguments, or why they can't be read, or None if they are no
longer kept."""


async def show_task(admin: Admin, info: TaskInfo, *, as_json: bool) -> None:
    """Print a task with its arguments.

    Args:
        admin: reads the arguments.
        info: the task.
        as_json: print one line of JSON instead of text.
    """
    called: Called
    try:
        called = await admin.arguments(info.task_id)
    except PayloadUndecodable as error:
        called = error
    click.echo(task_json(info, called) if as_json else "\n".join(task_lines(info, called)))


def task_lines(info: TaskInfo, called: Called) -> list[str]:
    """Describe a task for people: its id, then one line for each thing that is known.

    Args:
        info: the task.
        called: the job and arguments of the task, from `Admin.arguments`.

    Returns:
        Lines of printable text.
    """
    rows: dict[str, str | None] = {
        "job": info.function_name,
        "state": "failed (a dead letter)" if info.state is State.FAILED else str(info.state),
        "arguments": _arguments(called),
        "attempts": f"{info.attempt}  (failures {info.failures}, losses {info.losses})",
        "enqueued": exact(info.enqueued_at_ms),
        "started": _started(info),
        "ended": _ended(info),
        "worker": info.owner,
        "progress": None if info.progress is None else _short(repr(info.progress)),
        "failure": f"{info.failure.type}: {info.failure.message}" if info.failure else None,
    }
    lines = [info.task_id]
    for name, value in rows.items():
        if value is not None:
            first, *more = printable(value).splitlines() or [""]
            lines += [f"  {name:<10} {first}".rstrip(), *(f"{'':13}{line}" for line in more)]
    if info.failure is not None and info.failure.traceback:
        lines += [f"    {line}" for line in printable(info.failure.traceback).splitlines()]
    return lines


def task_json(info: TaskInfo, called: Called) -> str:
    """Describe a task in one line of JSON. Times are ms since 1970, bytes are base64.

    Args:
        info: the task.
        called: the job and arguments of the task, from `Admin.arguments`.
    """
    row: dict[str, Any] = {
        "task_id": info.task_id,
        "queue": info.queue,
        "job": info.function_name,
        "state": str(info.state),
        "args": None,
        "kwargs": None,
        "attempt": info.attempt,
        "failures": info.failures,
        "losses": info.losses,
        "enqueued_at_ms": info.enqueued_at_ms,
        "started_at_ms": info.started_at_ms,
        "finished_at_ms": info.finished_at_ms,
        "worker": info.owner,
        "progress": info.progress,
        "failure": _failure(info.failure),
    }
    if isinstance(called, Task):
        row |= {"args": called.args, "kwargs": called.kwargs}
    elif called is not None:
        row["payload_error"] = str(called)
    return json.dumps(plain(row))


def _failure(failure: Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}


def _arguments(called: Called) -> str:
    if called is None:
        return GONE
    if isinstance(called, PayloadUndecodable):
        return f"({called})"
    words = [repr(value) for value in called.args]
    words += [f"{name}={value!r}" for name, value in called.kwargs.items()]
    return _short(", ".join(words)) or "(none)"


def _short(text: str) -> str:
    if len(text) <= LONGEST_ARGUMENTS:
        return text
    return f"{text[:LONGEST_ARGUMENTS]}… ({len(text)} characters; --json shows all)"


def _started(info: TaskInfo) -> str | None:
    if info.started_at_ms is None:
        return None
    which = "" if info.attempt < 2 else f"  (attempt {info.attempt})"
    return f"{exact(info.started_at_ms)}{which}"


def _ended(info: TaskInfo) -> str | None:
    if info.finished_at_ms is None:
        return None
    if info.started_at_ms is None:
        return exact(info.finished_at_ms)
    ran = (info.finished_at_ms - info.started_at_ms) / 1000
    return f"{exact(info.finished_at_ms)}  ({ran:.3f} s after the last start)"
