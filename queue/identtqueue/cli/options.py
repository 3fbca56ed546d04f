"""Options and arguments that several commands share, with the same meaning in each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(each: str) -> Callable[[F], F]:
    """Make `--json`.

    Args:
        each: what one line of JSON is about, as in "per task".
    """
    text = f"Print one line of JSON {each}."
    return click.option("--json", "as_json", is_flag=True, help=text)


utc_option: Final = click.option(
    "--utc", is_flag=True, help="Show times in UTC, and not as seen from now."
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


def wait_options(command: F) -> F:
    """Add `--wait` and `--wait-seconds`."""
    seconds = click.option(
        "--wait-seconds",
        type=click.FloatRange(min=0),
        help="Wait at most this long. The task goes on.",
    )
    return click.option("--wait", is_flag=True, help="Wait until the task has ended.")(
        seconds(command)
    )
