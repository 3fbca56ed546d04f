"""`identtqueue task`: look at one task."""

from __future__ import annotations

import click

from identtqueue.admin import Admin
from identtqueue.cli.display.task import show_task
from identtqueue.cli.session import with_admin


@click.command()
@click.argument("task_id")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@with_admin
async def task(admin: Admin, task_id: str, as_json: bool) -> None:
    """Show one task: its job and arguments, its times and why it failed."""
    await show_task(admin, await admin.task(task_id), as_json=as_json)
