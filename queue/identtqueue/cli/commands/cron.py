"""Commands about schedules: list them, see when they fire, run, pause and resume one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from identtqueue.cli.display.table import Styled, Table
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue.cli.options import json_option, utc_option
from identtqueue.cli.session import clock, nothing, with_admin
from identtqueue.errors import InvalidInput, InvalidQueueName

if TYPE_CHECKING:
    from identtqueue.admin import Admin, CronInfo


@click.group()
def cron() -> None:
    """List the schedules of a queue, see when they fire, run one now, pause or resume one."""


@cron.command("list")
@click.argument("queue")
@json_option("per schedule")
@utc_option
@with_admin
async def cron_list(admin: Admin, queue: str, as_json: bool, utc: bool) -> None:
    """Show the schedules of a queue, with their last and next firing."""
    found = await admin.cron(queue)
    if as_json:
        for entry in found:
            show_json(_row(queue, entry))
        return
    now = await clock(admin, utc=utc)
    table = Table("schedule", "job", "expression", "time zone", "last", "next", "state")
    for entry in found:
        table.add(
            Styled(entry.name, "name"),
            entry.job,
            entry.expression,
            entry.zone,
            now.moment(entry.last_ms),
            now.moment(entry.next_ms),
            Styled("paused", "warn") if entry.paused else _planned(entry),
        )
    table.show()
    if not found:
        nothing(f"No worker has declared a schedule on {queue}.")


def _planned(entry: CronInfo) -> Styled:
    return Styled("planned", "good") if entry.next_ms else Styled("no worker plans it", "bad")


def _row(queue: str, entry: CronInfo) -> dict[str, object]:
    return {
        "queue": queue,
        "name": entry.name,
        "job": entry.job,
        "expression": entry.expression,
        "zone": entry.zone,
        "last_ms": entry.last_ms,
        "next_ms": entry.next_ms,
        "paused": entry.paused,
        "declared_ms": entry.declared_ms,
    }


@cron.command("next")
@click.argument("queue")
@click.argument("name", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, help="How many firings, at most."
)
@json_option("per firing")
@utc_option
@with_admin
async def cron_next(
    admin: Admin, queue: str, name: str | None, limit: int, as_json: bool, utc: bool
) -> None:
    """Show the next firings of all schedules of a queue, or of one."""
    found = [entry for entry in await admin.cron(queue) if name in (None, entry.name)]
    if name is not None and not found:
        text = f"queue {queue} has no schedule {name!r}: `identtqueue cron list {queue}` lists them"
        raise CommandFailed(text, Exit.NOTHING)
    now = await clock(admin, utc=utc)
    fires = sorted(
        (at_ms, entry.name, entry.job)
        for entry in found
        if not entry.paused
        for at_ms in _firings(entry, now.now_ms, limit)
    )[:limit]
    if as_json:
        for at_ms, schedule, job in fires:
            show_json({"queue": queue, "name": schedule, "job": job, "at_ms": at_ms})
        return
    table = Table("fires", "schedule", "job")
    for at_ms, schedule, job in fires:
        table.add(now.moment(at_ms), Styled(schedule, "name"), job)
    table.show()
    if not fires:
        nothing(f"No schedule of {queue} fires: it has none, or all are paused.")


def _firings(entry: CronInfo, now_ms: int, most: int) -> list[int]:
    """Return the next times at which a schedule fires, in ms since 1970."""
    from identtqueue.schedule import CronExpression  # noqa: PLC0415 - only this command needs it

    expression = CronExpression(entry.expression, entry.zone)
    found: list[int] = []
    at: float | None = now_ms / 1000
    while at is not None and len(found) < most:
        at = expression.next_after(at)
        if at is not None:
            found.append(int(at * 1000))
    return found


_queue = click.argument("queue")
_name = click.argument("name")


@contextmanager
def _missing_is_nothing() -> Iterator[None]:
    """Let an unknown schedule end the command with the code for what does not exist."""
    try:
        yield
    except InvalidQueueName:
        raise
    except InvalidInput as error:
        raise CommandFailed(str(error), Exit.NOTHING) from error


@cron.command("run")
@_queue
@_name
@with_admin
async def cron_run(admin: Admin, queue: str, name: str) -> None:
    """Enqueue a task of a schedule now, and print its id. Its firings stay as they are."""
    with _missing_is_nothing():
        click.echo(await admin.run_cron_now(queue, name))


@cron.command("pause")
@_queue
@_name
@with_admin
async def cron_pause(admin: Admin, queue: str, name: str) -> None:
    """Let a schedule fire no more, until it is resumed."""
    with _missing_is_nothing():
        click.echo("paused" if await admin.pause_cron(queue, name) else "was paused already")


@cron.command("resume")
@_queue
@_name
@with_admin
async def cron_resume(admin: Admin, queue: str, name: str) -> None:
    """Let a schedule fire again, from its next time on."""
    with _missing_is_nothing():
        click.echo("resumed" if await admin.resume_cron(queue, name) else "was not paused")
