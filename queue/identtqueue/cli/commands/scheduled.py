"""Commands about tasks that are not due yet: `identtqueue scheduled list` and `start`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from identtqueue.admin import Admin
from identtqueue.cli.session import with_admin
from identtqueue.task import queue_of


@click.group()
def scheduled() -> None:
    """List tasks that are delayed or wait for a retry, or start them now."""


@scheduled.command("list")
@click.argument("queue")
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, help="How many of the next to leave out."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, help="How many tasks to show, at most."
)
@with_admin
async def scheduled_list(admin: Admin, queue: str, offset: int, limit: int) -> None:
    """Show the tasks and when they are due, the next one first."""
    for task in await admin.scheduled(queue, offset=offset, limit=limit):
        due = datetime.fromtimestamp(task.due_ms / 1000, UTC)
        click.echo(f"{task.task_id}  due {due.isoformat(timespec='seconds')}")


@scheduled.command("start")
@click.argument("task_ids", nargs=-1, required=True)
@with_admin
async def scheduled_start(admin: Admin, task_ids: tuple[str, ...]) -> None:
    """Make scheduled tasks due now."""
    for task_id in task_ids:
        queue_of(task_id)
    started = set(await admin.start_now(task_ids))
    for task_id in task_ids:
        click.echo(f"{task_id}  {'due now' if task_id in started else 'is not scheduled'}")
