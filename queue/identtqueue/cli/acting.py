"""Acts on tasks that are named, and on all that match a filter, in bounded steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from identtqueue.cli.confirm import confirm
from identtqueue.cli.display.progress import Advance, progress_bar
from identtqueue.cli.display.values import show_json
from identtqueue.cli.exits import CommandFailed, Exit
from identtqueue.cli.selection import Chosen
from identtqueue.cli.session import nothing
from identtqueue.errors import InvalidInput
from identtqueue.protocol.calls.listing import Place

if TYPE_CHECKING:
    from identtqueue.admin import Act, ActProgress, Admin


@dataclass(frozen=True, slots=True)
class Deed:
    """An act, and the words for it.

    Attributes:
        verb, done: what is done, as in "replay 3 tasks" and "3 tasks replayed".
        refusal: why a task that was named may not have been changed.
        places: where the tasks are.
        destroys: whether to ask before it is done to all that match.
        more: what else `Admin.act` is told.
    """

    verb: str
    done: str
    refusal: str
    places: Sequence[Place]
    destroys: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


async def carry_out(admin: Admin, deed: Deed, chosen: Chosen, *, yes: bool, as_json: bool) -> None:
    """Do something to the tasks that were chosen, and say what was done.

    Args:
        admin: does it.
        deed: what is done.
        chosen: to which tasks.
        yes: do not ask.
        as_json: print JSON: a line per task that was named, or one for all that match.

    Raises:
        CommandFailed: nothing matches, or there is no terminal to ask on.
        Exit: a task that was named was not changed.
    """
    if chosen.task_ids:
        changed = set(await admin.act_on(_act(deed), chosen.task_ids, **deed.more))
        _say_for_each(deed, chosen.task_ids, changed, as_json=as_json)
        return
    if len(deed.places) > 1 and chosen.cursor is not None:
        raise InvalidInput("--cursor belongs to one list: give the --state that it was printed for")
    if deed.destroys and not yes:
        await _ask(admin, deed, chosen)
    await _change_all(admin, deed, chosen, as_json=as_json)


async def _ask(admin: Admin, deed: Deed, chosen: Chosen) -> None:
    counts = [await admin.count(chosen.queue, place, chosen.wanted) for place in deed.places]
    number, is_exact = sum(map(int, counts)), all(count.exact for count in counts)
    if is_exact and not number:
        raise CommandFailed(_nothing(deed, chosen), Exit.NOTHING)
    about = "" if is_exact else "at least "
    which = f" ({chosen.wanted})" if chosen.wanted else ""
    verb = deed.verb.capitalize()
    confirm(f"{verb} {about}{_tasks(number)} of {chosen.queue}{which}?", yes=False)


async def _change_all(admin: Admin, deed: Deed, chosen: Chosen, *, as_json: bool) -> None:
    matched = changed = 0
    with progress_bar(deed.verb) as advance:
        for place in deed.places:
            last = await _change_place(admin, deed, chosen, place, advance)
            matched, changed = matched + last.matched, changed + last.changed
    if as_json:
        row = {"queue": chosen.queue, "act": deed.verb, "places": deed.places}
        show_json(row | {"matched": matched, "changed": changed})
    elif matched:
        left = f", of {matched:,} that matched" if matched != changed else ""
        click.echo(f"{_tasks(changed)} {deed.done}{left}")
    if not matched:
        raise CommandFailed(_nothing(deed, chosen), Exit.NOTHING)


async def _change_place(
    admin: Admin, deed: Deed, chosen: Chosen, place: Place, advance: Advance
) -> ActProgress:
    """Act on the tasks of one place. If it is broken off, say where to go on."""
    last: ActProgress | None = None
    steps = _steps(admin, deed, chosen, place)
    try:
        async for last in steps:
            advance(last.scanned, last.total, f"{last.changed:,} {deed.done}")
    except asyncio.CancelledError:
        if last is None:
            nothing(f"stopped in the first step: {deed.verb} again from the start")
        elif last.cursor is not None:
            hint = f"to go on, add --cursor {last.cursor}"
            nothing(f"stopped: {_tasks(last.changed)} of {place} {deed.done}; {hint}")
        raise
    assert last is not None
    return last


def _steps(admin: Admin, deed: Deed, chosen: Chosen, place: Place) -> AsyncIterator[ActProgress]:
    """Begin to act on the tasks of one place."""
    if deed.verb == "purge":
        return admin.purge(chosen.queue, place)
    return admin.act(
        _act(deed), chosen.queue, place, chosen.wanted, cursor=chosen.cursor, **deed.more
    )


def _act(deed: Deed) -> Act:
    from identtqueue.admin import Act  # noqa: PLC0415 - as in `session.with_admin`

    return Act.START_NOW if deed.verb == "start" else Act(deed.verb)


def _say_for_each(deed: Deed, task_ids: Sequence[str], changed: set[str], *, as_json: bool) -> None:
    for task_id in task_ids:
        is_changed = task_id in changed
        if as_json:
            show_json({"task_id": task_id, "act": deed.verb, "changed": is_changed})
        else:
            click.echo(f"{task_id}  {deed.done if is_changed else deed.refusal}")
    if len(changed) < len(task_ids):
        raise click.exceptions.Exit(Exit.FAILED if changed else Exit.NOTHING)


def _tasks(number: int) -> str:
    return f"{number:,} {'task' if number == 1 else 'tasks'}"


def _nothing(deed: Deed, chosen: Chosen) -> str:
    what = f"no {' or '.join(deed.places)} task of {chosen.queue}"
    end = f"matches {chosen.wanted}" if chosen.wanted else "is there"
    return f"{what} {end}: nothing was changed"
