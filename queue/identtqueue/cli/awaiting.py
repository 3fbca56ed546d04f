"""The result of a task, for the commands that wait for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.text import printable
from identtqueue.cli.display.values import failure_row, plain, show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue.errors import ResultTimeout
from identtqueue.task import Result, State

if TYPE_CHECKING:
    from identtqueue.client.client import Client


async def show_result(
    client: Client, task_id: str, wait_seconds: float | None, *, as_json: bool
) -> None:
    """Wait for the end of a task, and print its result.

    Without `as_json` only the value is printed, as JSON, so that it can be piped on.

    Args:
        client: asks for the result.
        task_id: the task.
        wait_seconds: how long to wait; 0 looks once, None waits until the task has ended.
        as_json: print how the task has ended, too.

    Raises:
        CommandFailed: the task has not ended, or it has no value.
    """
    try:
        result = await client.wait(task_id, wait_seconds)
    except ResultTimeout:
        state = await client.get_status(task_id)
        hint = "wait longer" if wait_seconds else "--wait waits for its end"
        text = f"task {task_id} has not ended yet, it is {state}: {hint}"
        raise CommandFailed(text, Exit.LATE) from None
    if as_json:
        show_json(_row(result))
        if result.state is not State.SUCCEEDED:
            raise click.exceptions.Exit(Exit.FAILED)
        return
    if result.state is State.FAILED and result.failure and result.failure.traceback:
        click.echo(printable(result.failure.traceback), err=True)
    click.echo(readable_json(result.unwrap()))


def readable_json(value: object) -> str:
    """Write a value as JSON, with letters of all languages as they are."""
    text = json.dumps(plain(value), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _row(result: Result) -> dict[str, object]:
    return {
        "task_id": result.task_id,
        "state": result.state,
        "value": result.value,
        "failure": failure_row(result.failure),
    }
