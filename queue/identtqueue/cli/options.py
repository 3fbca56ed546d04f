"""Options and arguments that several commands share, with the same meaning in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from identtqueue.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])


def json_option(each: str) -> Callable[[F], F]:
    """Make `--json`.

    Args:
        each: what one line of JSON is about, as in "per task".
    """
    text = f"Print one line of JSON {each}."
    return click.option("--json", "as_json", is_flag=True, help=text)


def states_option(places: Iterable[str], text: str) -> Callable[[F], F]:
    """Make `--state` of a command that acts on tasks.

    Args:
        places: the states that it takes.
        text: its help.
    """
    kind = click.Choice([str(place) for place in places])
    return click.option("--state", "states", type=kind, multiple=True, help=text)


utc_option: Final = click.option(
    "--utc", is_flag=True, help="Show times in UTC, and not as seen from now."
)
yes_option: Final = click.option(
    "--yes",
    is_flag=True,
    help="Do not ask. Without a terminal, nothing is done unless this is given.",
)
app_option: Final = click.option(
    "--app",
    "target",
    metavar="MODULE:APP",
    help="Import this app, and show arguments as its `redact` lets them be shown.",
)


def moment(text: str) -> datetime:
    """Read a point in time: ISO 8601 with an offset from UTC.

    Raises:
        BadParameter: it is no time, or it does not say in which time zone.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 2026-01-31T12:00:00Z") from None
    if found.utcoffset() is None:
        raise click.BadParameter(f"{text!r} has no time zone: write {text}Z for UTC")
    return found


def seconds(text: str) -> float:
    """Read a duration: `90s`, `15m`, `2h30m`, `7d`.

    Raises:
        BadParameter: it is no duration.
    """
    from identtqueue.admin.filters import parse_duration  # noqa: PLC0415 - few commands need it

    try:
        return parse_duration("duration", text)
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from None


def filter_options(command: F) -> F:
    """Add the options that select tasks. All that are given must hold."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


FILTER_NAMES: Final = ("job", "error", "tag", "id", "worker", "text", "since", "older")
"""The parameters that `filter_options` adds to a command."""

_FILTERS: Final = (
    click.option("--job", help="Only tasks of this job."),
    click.option(
        "--error",
        metavar="TYPE",
        help="Only tasks whose last failure is of this type, such as ValueError.",
    ),
    click.option("--tag", help="Only tasks with this tag."),
    click.option(
        "--id", "id", metavar="PREFIX", help="Only tasks whose id begins like this, after QUEUE:."
    ),
    click.option("--worker", help="Only tasks of this worker or pod."),
    click.option("--text", help="Only tasks with this text in their arguments."),
    click.option(
        "--since",
        metavar="DURATION",
        help="Only tasks that came into their state within this time: 90s, 15m, 2h30m, 7d.",
    ),
    click.option(
        "--older",
        "--until",
        "older",
        metavar="DURATION",
        help="Only tasks that have been in their state for at least this time.",
    ),
)


def acting_options(each: str) -> Callable[[F], F]:
    """Make what acts share: ids, or a queue with filters and `--all`, and how it is done.

    Args:
        each: see `json_option`.
    """

    def add(command: F) -> F:
        command = yes_option(json_option(each)(command))
        for option in reversed(_TARGETS):
            command = option(command)
        return command

    return add


_TARGETS: Final = (
    click.argument("words", nargs=-1, required=True, metavar="{QUEUE | TASK_IDS...}"),
    click.option("--all", "all_", is_flag=True, help="All of the queue, without a filter."),
    *_FILTERS,
    click.option("--cursor", help="Go on where the command was stopped that printed this."),
)


def wait_options(command: F) -> F:
    """Add `--wait` and `--wait-seconds`."""
    limit = click.option(
        "--wait-seconds",
        type=click.FloatRange(min=0),
        help="Wait at most this long. The task goes on.",
    )
    return click.option("--wait", is_flag=True, help="Wait until the task has ended.")(
        limit(command)
    )
