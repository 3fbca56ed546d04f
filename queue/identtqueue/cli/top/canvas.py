"""The cells of a terminal, and the bytes that change them into others.

Over a slow link, a screen that is sent anew each time flickers and lags. So each character is
compared with the one that stands there, and only those that differ are sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.color import ColorSystem
from rich.style import Style
from rich.text import Text

from identtqueue.cli.display.text import width

Cell = tuple[str, Style]
"""A character and its style. A wide character is followed by a cell with an empty text."""

BLANK: Final = (" ", Style())
GAP: Final = 6
"""Up to so many equal cells between two that differ are sent too: moving the cursor costs more."""

CLEAR: Final = "\x1b[0m\x1b[2J"
_REST: Final = "\x1b[K"
"""Clears the rest of the line."""


class Canvas:
    """The content of a terminal.

    Args:
        styles: the styles of texts, by name.
        coloured: whether colours are used; bold and reverse always are.
    """

    def __init__(self, styles: dict[str, Style], *, coloured: bool = True) -> None:
        self._styles = {
            name: style if coloured else style.without_color for name, style in styles.items()
        }
        self._rows: list[list[Cell]] = []
        self._size = (0, 0)

    def forget(self) -> None:
        """Forget what stands there, because something else has written to the terminal."""
        self._size = (0, 0)

    def change(self, lines: Sequence[Text], columns: int, rows: int) -> str:
        """Return what to send so that these lines stand there.

        Args:
            lines: the lines from the top; those beyond the last row are left out.
            columns: width of the terminal.
            rows: height of the terminal.
        """
        wanted = [self._cells(line, columns) for line in lines[:rows]]
        wanted += [[BLANK] * columns for _ in range(rows - len(wanted))]
        sent = ""
        if self._size != (columns, rows):
            sent, self._size = CLEAR, (columns, rows)
            self._rows = [[BLANK] * columns for _ in range(rows)]
        for number, (old, new) in enumerate(zip(self._rows, wanted, strict=True)):
            for start, end in _differences(old, new):
                sent += f"\x1b[{number + 1};{start + 1}H{_drawn(new, start, end)}"
        self._rows = wanted
        return sent

    def _cells(self, line: Text, columns: int) -> list[Cell]:
        """Return the cells of a line, cut or filled to the width of the terminal."""
        cells: list[Cell] = []
        base = self._style(line.style)
        styles = [base] * len(line.plain)
        for span in line.spans:
            for place in range(span.start, min(span.end, len(styles))):
                styles[place] += self._style(span.style)
        for char, style in zip(map(_safe, line.plain), styles, strict=True):
            wide = width(char)
            if wide == 0 and cells:  # an accent: it belongs to the character before
                cells[-1] = (cells[-1][0] + char, cells[-1][1])
            elif len(cells) + wide > columns:
                break
            else:
                cells += [(char, style), *[("", style)] * (wide - 1)]
        return cells + [(" ", base)] * (columns - len(cells))

    def _style(self, style: str | Style) -> Style:
        if isinstance(style, Style):
            return style
        return self._styles[style] if style else BLANK[1]


def _safe(char: str) -> str:
    """Return a character that moves no cursor. Names come from jobs and hosts, and may hold any."""
    return char if char.isprintable() else "·"


def _differences(old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Find the parts of a line that differ, as pairs of a first column and one after the last."""
    start = end = -1
    for column, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if start >= 0 and column - end > GAP:
            yield _whole(new, start, end)
            start = -1
        if start < 0:
            start = column
        end = column + 1
    if start >= 0:
        yield _whole(new, start, end)


def _whole(cells: Sequence[Cell], start: int, end: int) -> tuple[int, int]:
    """Extend a part so that it does not begin or end within a wide character."""
    while start and cells[start][0] == "":
        start -= 1
    while end < len(cells) and cells[end][0] == "":
        end += 1
    return start, end


def _drawn(cells: Sequence[Cell], start: int, end: int) -> str:
    """Return the part of a line as text with escape sequences."""
    last = end
    while last > start and cells[last - 1] == BLANK:
        last -= 1
    clears = end - last > len(_REST) and all(cell == BLANK for cell in cells[end:])
    parts: list[tuple[str, Style]] = []
    for text, style in cells[start : last if clears else end]:
        if parts and parts[-1][1] == style:
            parts[-1] = (parts[-1][0] + text, style)
        else:
            parts.append((text, style))
    drawn = "".join(style.render(text, color_system=ColorSystem.STANDARD) for text, style in parts)
    return drawn + _REST * clears
