"""Commands about dead letters: list, group, replay, move and discard them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from identtqueue.cli.acting import Deed, carry_out
from identtqueue.cli.display.rows import task_table
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.task import task_json
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import (
    acting_options,
    app_option,
    filter_options,
    json_option,
    utc_option,
)
from identtqueue.cli.selection import chosen, filter_of, find
from identtqueue.cli.session import clock, nothing, with_admin
from identtqueue.errors import TaskNotFound
from identtqueue.protocol.calls.listing import Place
from identtqueue.task import check_queue_name

if TYPE_CHECKING:
    from identtqueue.admin import Admin
    from identtqueue.protocol.calls.listing import TaskGroup

_NOT_DEAD: Final = "is not a dead letter"
_PLACES: Final = (Place.DEAD,)
REPLAY: Final = Deed(
    "replay", "replayed", f"{_NOT_DEAD}, or another task has its unique key", _PLACES
)
DISCARD: Final = Deed("discard", "discarded", _NOT_DEAD, _PLACES, destroys=True)
MOVE: Final = Deed(
    "move", "moved", f"{_NOT_DEAD}, or its id is taken there", _PLACES, destroys=True
)


@click.group()
def dead() -> None:
    """List, group, replay, move or discard dead letters: tasks that have failed for good."""


@dead.command("list")
@click.argument("queue")
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    help="How many dead letters to show, at most.",
)
@click.option("--oldest", is_flag=True, help="The oldest first.")
@click.option("--cursor", help="Go on where the command has ended that printed this.")
@app_option
@json_option("per dead letter, as `task` prints it")
@utc_option
@with_admin
async def dead_list(
    admin: Admin,
    /,
    queue: str,
    limit: int,
    oldest: bool,
    cursor: str | None,
    as_json: bool,
    utc: bool,
    **words: Any,
) -> None:
    """Show dead letters, the newest first. `identtqueue task ID` shows one with its traceback."""
    wanted = filter_of(words)
    found = await find(
        admin, queue, "dead", wanted, limit=limit, scan_limit=100_000, oldest=oldest, cursor=cursor
    )
    if as_json:
        for row in found.rows:
            with suppress(TaskNotFound):  # it may have been replayed or discarded meanwhile
                show_json(task_json(await admin.record(row.task_id)))
    else:
        task_table(found.rows, await clock(admin, utc=utc)).show()
        if not found.rows:
            nothing(f"No dead letters in {queue}{f' match {wanted}' if wanted else ''}.")
    if found.cursor is not None:
        nothing(f"{len(found.rows):,} of {found.total:,} shown; more: --cursor {found.cursor}")


@dead.command("groups")
@click.argument("queue")
@json_option("per group")
@utc_option
@with_admin
async def dead_groups(admin: Admin, queue: str, as_json: bool, utc: bool) -> None:
    """Count the dead letters by job and type of error, the largest group first."""
    found = await admin.dead_groups(queue)
    if as_json:
        for group in found.groups:
            show_json({"queue": queue, **_group_row(group)})
        return
    now = await clock(admin, utc=utc)
    table = Table(
        Column("number", right=True),
        "job",
        "error",
        "oldest",
        "newest",
        "newest task",
        Column("message", shrinks=True),
    )
    for group in found.groups:
        table.add(
            group.number,
            Styled(group.job, "name"),
            Styled(group.error_type, "bad"),
            now.moment(group.oldest_ms),
            now.moment(group.newest_ms),
            group.newest_id,
            group.sample.removeprefix(f"{group.error_type}: "),
        )
    table.show()
    if not found.groups:
        nothing(f"No dead letters in {queue}.")
    elif found.scanned < found.total:
        nothing(f"These are the newest {found.scanned:,} of {found.total:,} dead letters.")


def _group_row(group: TaskGroup) -> dict[str, Any]:
    return {
        "job": group.job,
        "error": group.error_type,
        "number": group.number,
        "oldest_ms": group.oldest_ms,
        "newest_ms": group.newest_ms,
        "newest_id": group.newest_id,
        "sample": group.sample,
    }


_acting: Final = acting_options("with what was done; with ids, one per task")


@dead.command("replay")
@_acting
@with_admin
async def dead_replay(admin: Admin, /, words: tuple[str, ...], **given: Any) -> None:
    """Put dead letters back into their queues to run again.

    Name them by their ids, or give a QUEUE with filters or --all.
    """
    await _change(admin, REPLAY, words, given)


@dead.command("discard")
@_acting
@with_admin
async def dead_discard(admin: Admin, /, words: tuple[str, ...], **given: Any) -> None:
    """Delete dead letters.

    Name them by their ids, or give a QUEUE with filters or --all.
    """
    await _change(admin, DISCARD, words, given)


@dead.command("move")
@click.option("--to", "to_queue", required=True, help="The queue that gets them.")
@_acting
@with_admin
async def dead_move(admin: Admin, /, words: tuple[str, ...], to_queue: str, **given: Any) -> None:
    """Move dead letters into another queue, to run there.

    Name them by their ids, or give a QUEUE with filters or --all.
    """
    deed = replace(MOVE, more={"to_queue": check_queue_name(to_queue)})
    await _change(admin, deed, words, given)


async def _change(
    admin: Admin, deed: Deed, words: tuple[str, ...], given: Mapping[str, Any]
) -> None:
    tasks = chosen(words, given)
    await carry_out(admin, deed, tasks, yes=given["yes"], as_json=given["as_json"])
