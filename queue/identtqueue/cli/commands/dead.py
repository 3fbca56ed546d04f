"""Commands about dead letters: `identtqueue dead list`, `replay` and `discard`."""

from __future__ import annotations

import click

from identtqueue.admin import Admin
from identtqueue.cli.display.task import show_task
from identtqueue.cli.session import run, with_admin
from identtqueue.task import queue_of


@click.group()
def dead() -> None:
    """List, replay or discard dead letters."""


@dead.command("list")
@click.argument("queue")
@click.option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    help="How many of the newest dead letters to leave out.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    help="How many dead letters to show, at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per dead letter.")
@with_admin
async def dead_list(admin: Admin, queue: str, offset: int, limit: int, as_json: bool) -> None:
    """Show dead letters, the newest first, in the form of `identtqueue task`."""
    async for info in admin.dead_letters(queue, offset=offset, limit=limit):
        await show_task(admin, info, as_json=as_json)


@dead.command("replay")
@click.argument("task_ids", nargs=-1, required=True)
@click.pass_obj
def dead_replay(address: str, task_ids: tuple[str, ...]) -> None:
    """Put dead letters back into their queues to run again."""
    run(_change_dead(address, task_ids, "replay"))


@dead.command("discard")
@click.argument("task_ids", nargs=-1, required=True)
@click.pass_obj
def dead_discard(address: str, task_ids: tuple[str, ...]) -> None:
    """Delete dead letters."""
    run(_change_dead(address, task_ids, "discard"))


async def _change_dead(address: str, task_ids: tuple[str, ...], verb: str) -> None:
    for task_id in task_ids:
        queue_of(task_id)
    async with Admin(address) as admin:
        changed = set(await getattr(admin, verb)(task_ids))
    refusal = "is not a dead letter"
    if verb == "replay":
        refusal += ", or another task has its unique key"
    for task_id in task_ids:
        click.echo(f"{task_id}  {verb + 'ed' if task_id in changed else refusal}")
