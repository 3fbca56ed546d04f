"""Commands about whole queues: how full they are, pause and resume."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.times import duration
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option
from identtqueue.cli.session import clock, nothing, queue_names, with_admin

if TYPE_CHECKING:
    from identtqueue.admin import Admin, Counts, QueueDepth

RATES_MINUTES: Final = 5
"""The rates are means over so many minutes."""
AT_ONCE: Final = 50
"""How many queues are asked about at the same time."""


@click.command()
@click.argument("names", nargs=-1, metavar="[QUEUES]...")
@json_option("per queue")
@with_admin
async def queues(admin: Admin, names: tuple[str, ...], as_json: bool) -> None:
    """Show the queues that are named, or all: tasks by state, oldest wait, rates, workers.

    The rates are tasks per minute, over the last 5 minutes.
    """
    known = await queue_names(admin, names)
    depths: dict[str, QueueDepth] = {}
    rates: dict[str, Counts] = {}
    now_ms = (await clock(admin)).now_ms
    for start in range(0, len(known), AT_ONCE):
        some = known[start : start + AT_ONCE]
        depths |= await admin.depths(some)
        rates |= await _lately(admin, some, now_ms)
    if as_json:
        for name, depth in depths.items():
            show_json(_row(name, depth, rates[name]))
        return
    table = Table(
        "queue",
        *(Column(title, right=True) for title in _NUMBERS),
        Column("oldest wait", right=True),
        *(Column(f"{title}/min", right=True) for title in ("in", "done", "failed")),
        Column("workers", right=True),
        "state",
    )
    for name, depth in depths.items():
        table.add(Styled(name, "name"), *_cells(depth, rates[name]))
    table.show()
    if not depths:
        nothing("No queue was in use within 30 days.")


_NUMBERS: Final = ("pending", "held", "running", "scheduled", "dead")


async def _lately(admin: Admin, names: Sequence[str], now_ms: int) -> dict[str, Counts]:
    """Add up what happened in each queue lately."""
    from identtqueue.admin import Counts  # noqa: PLC0415 - as in `session.with_admin`

    since_ms = now_ms - RATES_MINUTES * 60_000
    found = await asyncio.gather(
        *(admin.series(name, step="minute", since_ms=since_ms) for name in names)
    )
    return {
        name: sum((point.total for point in series.points), Counts())
        for name, series in zip(names, found, strict=True)
    }


def _row(name: str, depth: QueueDepth, lately: Counts) -> dict[str, object]:
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
        "enqueued_per_minute": lately.enqueued / RATES_MINUTES,
        "succeeded_per_minute": lately.succeeded / RATES_MINUTES,
        "failed_per_minute": lately.failed / RATES_MINUTES,
        "paused": depth.paused,
    }


def _cells(depth: QueueDepth, lately: Counts) -> list[str | int | Styled | None]:
    oldest = depth.oldest_wait_ms
    return [
        depth.queued - depth.held,
        _warned(depth.held, "warn"),
        depth.in_flight,
        depth.scheduled,
        _warned(depth.dead, "bad"),
        None if oldest is None else duration(oldest),
        *(_rate(number) for number in (lately.enqueued, lately.succeeded)),
        _warned(_rate(lately.failed), "bad"),
        depth.workers,
        Styled("paused", "warn") if depth.paused else "open",
    ]


def _rate(number: int) -> str:
    """Write a number of the last minutes as a rate."""
    per_minute = number / RATES_MINUTES
    return f"{per_minute:.0f}" if per_minute >= 10 or number == 0 else f"{per_minute:.1f}"


def _warned(number: int | str, style: str) -> int | str | Styled:
    return Styled(str(number), style) if number not in (0, "0") else number


_queue = click.argument("queue")
_job = click.option("--job", help="Only this job of the queue.")


@click.command()
@_queue
@_job
@with_admin
async def pause(admin: Admin, queue: str, job: str | None) -> None:
    """Stop all claims from a queue, or those of one job; running tasks go on."""
    stopped = await (admin.pause(queue) if job is None else admin.pause_job(queue, job))
    click.echo("paused" if stopped else "was paused already")


@click.command()
@_queue
@_job
@with_admin
async def resume(admin: Admin, queue: str, job: str | None) -> None:
    """Allow claims from a queue again, or those of one job."""
    resumed = await (admin.resume(queue) if job is None else admin.resume_job(queue, job))
    click.echo("resumed" if resumed else "was not paused")
