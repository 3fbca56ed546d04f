"""`identtqueue purge`: empty a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from identtqueue.cli.acting import Deed, carry_out
from identtqueue.cli.options import json_option, states_option, yes_option
from identtqueue.cli.selection import all_of
from identtqueue.cli.session import with_admin
from identtqueue.protocol.calls.listing import Place

if TYPE_CHECKING:
    from identtqueue.admin import Admin

PURGE: Final = Deed(
    "purge",
    "purged",
    "",
    (Place.SCHEDULED, Place.HELD, Place.PENDING, Place.DEAD),
    destroys=True,
)


@click.command()
@click.argument("queue")
@states_option(PURGE.places, "Only tasks in this state. Repeatable. Default: all four.")
@yes_option
@json_option("with what was done")
@with_admin
async def purge(admin: Admin, queue: str, states: Sequence[str], yes: bool, as_json: bool) -> None:
    """Cancel all tasks of a queue that wait, and delete its dead letters.

    Tasks that run go on; `identtqueue cancel QUEUE --state running --all` ends them. Callers that
    wait for a task that is cancelled get TaskCancelled.
    """
    places = [place for place in PURGE.places if place in states] or PURGE.places
    deed = replace(PURGE, places=places)
    await carry_out(admin, deed, all_of(queue), yes=yes, as_json=as_json)
