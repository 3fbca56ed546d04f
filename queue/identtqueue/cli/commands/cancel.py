"""Commands about tasks that have not ended: cancel them, or change when they start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from identtqueue.cli.acting import Deed, carry_out
from identtqueue.cli.options import acting_options, moment, states_option
from identtqueue.cli.selection import chosen
from identtqueue.cli.session import clock, with_admin
from identtqueue.errors import InvalidInput
from identtqueue.protocol.calls.listing import Place

if TYPE_CHECKING:
    from identtqueue.admin import Admin

CANCEL: Final = Deed(
    "cancel",
    "cancelled",
    "has ended already, or there is no such task",
    (Place.SCHEDULED, Place.HELD, Place.PENDING, Place.RUNNING),
    destroys=True,
)
_NOT_SCHEDULED: Final = "is not scheduled"
START: Final = Deed("start", "due now", _NOT_SCHEDULED, (Place.SCHEDULED,))
RESCHEDULE: Final = Deed("reschedule", "rescheduled", _NOT_SCHEDULED, (Place.SCHEDULED,))


@click.command()
@states_option(
    CANCEL.places, "With a QUEUE: only tasks in this state. Repeatable. Default: all four."
)
@acting_options("with what was done; with ids, one per task")
@with_admin
async def cancel(
    admin: Admin, /, words: tuple[str, ...], states: Sequence[str], **given: Any
) -> None:
    """Cancel tasks. For a task that runs, its worker is asked to cancel it.

    Name them by their ids, or give a QUEUE with filters or --all.
    """
    places = [place for place in CANCEL.places if place in states] or CANCEL.places
    deed = replace(CANCEL, places=places)
    tasks = chosen(words, given)
    if tasks.task_ids and states:
        raise InvalidInput("--state goes with a queue, not with ids of tasks")
    await carry_out(admin, deed, tasks, yes=given["yes"], as_json=given["as_json"])


@click.command()
@click.option("--now", is_flag=True, help="Make them due now.")
@click.option("--at", type=moment, metavar="TIME", help="Make them due at this time.")
@click.option(
    "--delay-seconds", type=click.FloatRange(min=0), help="Make them due so long from now."
)
@acting_options("with what was done; with ids, one per task")
@with_admin
async def reschedule(
    admin: Admin,
    /,
    words: tuple[str, ...],
    now: bool,
    at: datetime | None,
    delay_seconds: float | None,
    **given: Any,
) -> None:
    """Change when scheduled tasks are due: delayed ones, and those that wait for a retry.

    Name them by their ids, or give a QUEUE with filters or --all.
    """
    if sum((now, at is not None, delay_seconds is not None)) != 1:
        raise InvalidInput("when are they due? Give one of --now, --at and --delay-seconds")
    tasks = chosen(words, given)
    if delay_seconds is not None:
        now_ms = (await clock(admin)).now_ms
        at = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(seconds=delay_seconds)
    deed = START if at is None else replace(RESCHEDULE, more={"at": at})
    await carry_out(admin, deed, tasks, yes=given["yes"], as_json=given["as_json"])
