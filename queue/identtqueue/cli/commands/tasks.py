"""Commands about tasks: find them, and look at one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from identtqueue.cli.display.rows import task_row, task_table
from identtqueue.cli.display.task import task_json, task_page
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import app_option, filter_options, json_option, utc_option
from identtqueue.cli.selection import STATES, Found, filter_of, find
from identtqueue.cli.session import clock, nothing, with_admin
from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.admin import Admin, TaskRow

ALL: Final = ("running", "held", "pending", "scheduled", "dead", "ended")
"""The states that are shown if none is named, in this order."""


@click.command()
@click.argument("queue")
@click.option(
    "--state",
    "states",
    type=click.Choice(list(STATES)),
    multiple=True,
    help="Only tasks in this state. 'ended' are those that have ended recently, in any way. "
    "Repeatable. Default: all.",
)
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    help="How many tasks of each state to show, at most.",
)
@click.option(
    "--oldest",
    is_flag=True,
    help="The oldest first. Scheduled tasks are always shown in the order in which they are due.",
)
@click.option("--cursor", help="Go on where the command has ended that printed this. With --state.")
@click.option(
    "--scan-limit",
    type=click.IntRange(min=1),
    default=100_000,
    help="How many tasks of each state to look at, at most.",
)
@json_option("per task")
@utc_option
@with_admin
async def tasks(
    admin: Admin,
    /,
    queue: str,
    states: tuple[str, ...],
    limit: int,
    oldest: bool,
    cursor: str | None,
    scan_limit: int,
    as_json: bool,
    utc: bool,
    **words: Any,
) -> None:
    """Find tasks by their state, job, error, tag, id, worker, arguments or age."""
    if cursor is not None and len(states) != 1:
        raise InvalidInput("--cursor belongs to one list: give the --state that it was printed for")
    wanted = filter_of(words)
    found: dict[str, Found] = {}
    for state in states or ALL:
        found[state] = await find(
            admin,
            queue,
            state,
            wanted,
            limit=limit,
            scan_limit=scan_limit,
            oldest=oldest,
            cursor=cursor,
        )
    rows = _each_once(found.values())
    if as_json:
        for row in rows:
            show_json(task_row(row))
    else:
        task_table(rows, await clock(admin, utc=utc)).show()
        if not rows:
            nothing(f"No {_named(states)} in {queue}{f' match {wanted}' if wanted else ''}.")
    for state, each in found.items():
        if each.cursor is not None:
            _say_what_is_left(state, each, bool(wanted))


def _each_once(found: Iterable[Found]) -> list[TaskRow]:
    """List the tasks. A dead letter may be among those that have ended recently, too."""
    rows: dict[str, TaskRow] = {}
    for each in found:
        for row in each.rows:
            rows.setdefault(row.task_id, row)
    return list(rows.values())


def _named(states: tuple[str, ...]) -> str:
    return f"{' or '.join(states)} tasks" if states else "tasks"


def _say_what_is_left(state: str, found: Found, is_filtered: bool) -> None:
    shown = f"{len(found.rows):,} shown"
    if is_filtered:
        shown += f", {found.scanned:,} looked at"
    more = f"more: --state {state} --cursor {found.cursor}"
    click.echo(f"{state}: {shown}, of {found.total:,}; {more}", err=True)


@click.command()
@click.argument("task_id")
@app_option
@json_option("with all of it")
@utc_option
@with_admin
async def task(admin: Admin, task_id: str, as_json: bool, utc: bool) -> None:
    """Show one task: its job and arguments, its attempts, its result or why it failed."""
    record = await admin.record(task_id)
    if as_json:
        show_json(task_json(record))
    else:
        task_page(record, await clock(admin, utc=utc)).show()
