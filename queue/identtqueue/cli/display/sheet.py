"""One thing on a sheet: named values below each other, blocks of text, and small tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from identtqueue.cli.display.table import Styled, Table
from identtqueue.cli.display.terminal import console, is_terminal
from identtqueue.cli.display.text import printable

INDENT: Final = 2
NAME: Final = 10
"""Width of the names of values."""

Part = str | Styled


class Sheet:
    """Lines that are collected, and printed on standard output at the end."""

    def __init__(self) -> None:
        self._lines: list[Sequence[Part]] = []
        self._tables: dict[int, Table] = {}

    def line(self, *parts: Part) -> None:
        """Add a line that consists of parts."""
        self._lines.append(parts)

    def field(self, name: str, value: Part | None) -> None:
        """Add a value with its name; nothing if it is None. Further lines of it are indented."""
        if value is None:
            return
        text, style = (value, "") if isinstance(value, str) else (value.text, value.style)
        first, *more = printable(text).splitlines() or [""]
        label = f"{'':{INDENT}}{name:<{NAME}} "
        self.line(Styled(label, "quiet"), Styled(first, style))
        for line in more:
            self.line(" " * len(label), Styled(line, style))

    def block(self, text: str, style: str = "") -> None:
        """Add lines that are indented."""
        for line in printable(text).splitlines():
            self.line(" " * 2 * INDENT, Styled(line, style))

    def table(self, table: Table) -> None:
        """Add a table; it is printed where it was added."""
        self._tables[len(self._lines)] = table
        self._lines.append(())

    def show(self) -> None:
        """Print it. On a terminal long lines are not broken, so that they can be copied."""
        drawing = console() if is_terminal() else None
        for number, parts in enumerate(self._lines):
            if number in self._tables:
                self._tables[number].show()
            elif drawing is None:
                click.echo("".join(map(_text, parts)).rstrip())
            else:
                from rich.text import Text  # noqa: PLC0415 - only for a terminal

                pieces = [p if isinstance(p, str) else (p.text, p.style) for p in parts]
                drawing.print(Text.assemble(*pieces), soft_wrap=True)


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part.text
