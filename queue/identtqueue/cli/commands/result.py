"""`identtqueue result`: what a task has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from identtqueue.cli.awaiting import show_result
from identtqueue.cli.options import json_option, wait_options
from identtqueue.cli.session import with_client

if TYPE_CHECKING:
    from identtqueue.client.client import Client


@click.command()
@click.argument("task_id")
@wait_options
@json_option("with the state, and the failure if there is one")
@with_client
async def result(
    client: Client, task_id: str, wait: bool, wait_seconds: float | None, as_json: bool
) -> None:
    """Print the value that a task has returned, as JSON.

    Exit code 6 if the task has not ended, 1 if it failed or was cancelled.
    """
    seconds = wait_seconds if wait or wait_seconds is not None else 0
    await show_result(client, task_id, seconds, as_json=as_json)
