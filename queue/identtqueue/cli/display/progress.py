"""A bar on standard error that shows how far an act on many tasks has come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from identtqueue.cli.display.terminal import console, is_terminal


class Advance(Protocol):
    """A function that moves the bar on."""

    def __call__(self, done: int, total: int, text: str, /) -> None:
        """Show that so much of the total is done, with a text behind the bar."""


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """Show a bar while the block runs, if standard error is a terminal.

    Args:
        title: stands before the bar.
    """
    if not is_terminal(sys.stderr):
        yield _nowhere
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task(title, total=None, text="")

        def advance(done: int, total: int, text: str) -> None:
            bars.update(bar, completed=done, total=max(total, done), text=text)

        yield advance


def _nowhere(_done: int, _total: int, _text: str) -> None:
    """Show nothing."""
