"""Rows as a table: drawn by `rich` on a terminal, and as aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from identtqueue.cli.display.terminal import console, is_terminal
from identtqueue.cli.display.text import one_line, width

GAP: Final = 2
"""Blanks between two columns."""
EMPTY: Final = "-"
"""The text of a cell without a value, so that each row has as many words as columns."""
NARROWEST: Final = 12
"""Width to which a column that shrinks is cut at most."""


@dataclass(frozen=True, slots=True)
class Styled:
    """A text with one of the styles of `terminal.STYLES`."""

    text: str
    style: str


Cell = str | int | Styled | None
"""A cell in a row of a table; None: there is no value."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: is shown in capitals.
        right: align to the right, as numbers are.
        shrinks: in a window that is too narrow, this column is cut, with an ellipsis. The others
            are folded if need be, so that an id can be copied. Outside a terminal nothing is cut.
    """

    title: str
    right: bool = False
    shrinks: bool = False


class Table:
    """Rows that are shown below the titles of their columns.

    Args:
        *columns: the columns; a plain text is the title of one that is aligned to the left.
    """

    def __init__(self, *columns: Column | str) -> None:
        self._columns = [Column(c) if isinstance(c, str) else c for c in columns]
        self._rows: list[Sequence[Cell]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, *cells: Cell) -> None:
        """Add a row, with one cell for each column."""
        assert len(cells) == len(self._columns)
        self._rows.append(cells)

    def show(self) -> None:
        """Print it on standard output; nothing if it has no rows."""
        if not self._rows:
            return
        if is_terminal():
            drawing = console()
            drawing.print(self.drawn(drawing.width))
        else:
            for line in self.lines():
                click.echo(line)

    def lines(self) -> list[str]:
        """Return aligned text: nothing is cut, and nothing is drawn."""
        rows = [[column.title.upper() for column in self._columns]]
        rows += [[_text(cell).text for cell in row] for row in self._rows]
        widths = [max(width(row[i]) for row in rows) for i in range(len(self._columns))]
        return [(" " * GAP).join(self._padded(row, widths)).rstrip() for row in rows]

    def _padded(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        return [
            " " * (wide - width(text)) + text if column.right else text + " " * (wide - width(text))
            for column, text, wide in zip(self._columns, row, widths, strict=True)
        ]

    def drawn(self, most: int) -> Any:
        """Return it as a table of `rich`.

        Args:
            most: the width that there is.
        """
        from rich.table import Table as Drawn  # noqa: PLC0415 - only for a terminal
        from rich.text import Text  # noqa: PLC0415

        rows = [[_text(cell, grouped=True) for cell in row] for row in self._rows]
        widths = self._fitting(rows, most)
        table = Drawn(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="heading")
        for column in self._columns:
            table.add_column(
                column.title.upper(), justify="right" if column.right else "left", overflow="fold"
            )
        for row in rows:
            texts = [Text(cell.text, cell.style) for cell in row]
            for text, wide in zip(texts, widths, strict=True):
                text.truncate(wide, overflow="ellipsis")
            table.add_row(*texts)
        return table

    def _fitting(self, rows: Sequence[Sequence[Styled]], most: int) -> list[int]:
        """Return the widths to which the cells are cut: the columns that shrink make the room."""
        widths = [
            max(width(column.title), *(width(row[i].text) for row in rows))
            for i, column in enumerate(self._columns)
        ]
        excess = sum(widths) + GAP * (len(widths) - 1) - most
        shrinking = [i for i, column in enumerate(self._columns) if column.shrinks]
        for _ in range(excess):
            widest = max(shrinking, key=widths.__getitem__, default=None)
            if widest is None or widths[widest] <= NARROWEST:
                break
            widths[widest] -= 1
        return widths


def _text(cell: Cell, *, grouped: bool = False) -> Styled:
    """Return a cell as text.

    Args:
        cell: the cell.
        grouped: write numbers with commas, as a person reads them best.
    """
    if cell is None or cell == "":
        return Styled(EMPTY, "quiet")
    if isinstance(cell, Styled):
        return Styled(one_line(cell.text), cell.style)
    if isinstance(cell, int):
        return Styled(f"{cell:,}" if grouped else str(cell), "")
    return Styled(one_line(cell), "")
