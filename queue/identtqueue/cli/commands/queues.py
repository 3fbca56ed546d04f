"""Commands about whole queues: how full they are, pause and resume."""

from __future__ import annotations

from typing import Final

import click

from identtqueue.admin import Admin, QueueDepth
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import duration
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option
from identtqueue.cli.session import with_admin

_NUMBERS: Final = ("pending", "held", "running", "scheduled", "dead")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUES...")
@json_option("per queue")
@with_admin
async def queues(admin: Admin, names: tuple[str, ...], as_json: bool) -> None:
    """Show how many tasks the queues have, by state."""
    depths = await admin.depths(list(dict.fromkeys(names)))
    if as_json:
        for name, depth in depths.items():
            show_json(_row(name, depth))
        return
    table = Table(
        "queue",
        *(Column(title, right=True) for title in _NUMBERS),
        Column("oldest wait", right=True),
        Column("workers", right=True),
        "state",
    )
    for name, depth in depths.items():
        table.add(Styled(name, "name"), *_cells(depth))
    table.show()


def _row(name: str, depth: QueueDepth) -> dict[str, object]:
    return {
        "queue": name,
        "pending": depth.queued - depth.held,
        "held": depth.held,
        "running": depth.in_flight,
        "scheduled": depth.scheduled,
        "dead": depth.dead,
        "workers": depth.workers,
        "oldest_wait_ms": depth.oldest_wait_ms,
        "next_due_in_ms": depth.next_due_in_ms,
        "paused": depth.paused,
    }


def _cells(depth: QueueDepth) -> list[str | int | Styled | None]:
    oldest = depth.oldest_wait_ms
    return [
        depth.queued - depth.held,
        _warned(depth.held, "warn"),
        depth.in_flight,
        depth.scheduled,
        _warned(depth.dead, "bad"),
        None if oldest is None else duration(oldest),
        depth.workers,
        Styled("paused", "warn") if depth.paused else "open",
    ]


def _warned(number: int, style: str) -> int | Styled:
    return Styled(str(number), style) if number else number


@click.command()
@click.argument("queue")
@with_admin
async def pause(admin: Admin, queue: str) -> None:
    """Stop all claims from a queue; running tasks go on."""
    click.echo("paused" if await admin.pause(queue) else "was paused already")


@click.command()
@click.argument("queue")
@with_admin
async def resume(admin: Admin, queue: str) -> None:
    """Allow claims from a queue again."""
    click.echo("resumed" if await admin.resume(queue) else "was not paused")
