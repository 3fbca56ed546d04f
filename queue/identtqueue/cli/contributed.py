"""Commands that other packages contribute, by entry points of the group `identtqueue.commands`.

The operator contributes `identtqueue local` so, and this package imports nothing of it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

import click

GROUP: Final = "identtqueue.commands"


def names() -> list[str]:
    """List the names of these commands."""
    return [point.name for point in entry_points(group=GROUP)]


def load(name: str) -> click.Command | None:
    """Load a command; None if no package contributes one of this name.

    Raises:
        ClickException: its package cannot be imported, or has something else under its name.
    """
    points = tuple(entry_points(group=GROUP, name=name))
    return _load(points[0]) if points else None


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except (ImportError, AttributeError) as error:
        text = f"the command {point.name} ({point.value}) cannot be loaded: {error}"
        raise click.ClickException(text) from error
    if not isinstance(command, click.Command):
        raise click.ClickException(f"{point.value} is no click command")
    return command
