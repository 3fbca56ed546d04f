"""`identtqueue audit`: who did what to a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.values import plain, show_json
from identtqueue.cli.options import json_option, utc_option
from identtqueue.cli.session import clock, nothing, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin


@click.command()
@click.argument("queue")
@click.option(
    "--limit", type=click.IntRange(min=1, max=1000), default=50, help="How many acts, at most."
)
@json_option("per act")
@utc_option
@with_admin
async def audit(admin: Admin, queue: str, limit: int, as_json: bool, utc: bool) -> None:
    """Show who did what to a queue and its tasks, the newest first."""
    entries = await admin.audit(queue, limit=limit)
    if as_json:
        for entry in entries:
            show_json({"queue": queue, **plain(entry)})
        return
    now = await clock(admin, utc=utc)
    table = Table(
        "when",
        "who",
        "act",
        Column("what", shrinks=True),
        Column("matched", right=True),
        Column("changed", right=True),
    )
    for entry in entries:
        table.add(
            now.moment(entry.at_ms),
            Styled(entry.who, "name"),
            entry.act,
            entry.what,
            entry.matched,
            entry.changed,
        )
    table.show()
    if not entries:
        nothing(f"Nobody has acted on {queue}.")
