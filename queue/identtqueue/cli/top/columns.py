"""Tables in a window of any width: the least important columns are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from identtqueue.cli.display.text import one_line, width

GAP: Final = 1


@dataclass(frozen=True, slots=True)
class Heading:
    """A column.

    Attributes:
        title: what stands above it.
        least: its least width.
        rank: the columns with the largest ranks are left out first; 0: never.
        left: align to the left. Such a column takes what room is left over.
        sort: the sort that this column shows; empty: none.
    """

    title: str
    least: int = 4
    rank: int = 0
    left: bool = False
    sort: str = ""


Words = tuple[str, str]
"""A text, and the name of its style; empty: none."""


def fitting(headings: Sequence[Heading], room: int) -> list[int]:
    """Return which columns fit into so many characters, in their order."""
    shown = list(range(len(headings)))
    while sum(headings[i].least + GAP for i in shown) - GAP > room:
        worst = max(shown, key=lambda i: (headings[i].rank, i))
        if headings[worst].rank == 0:
            break
        shown.remove(worst)
    return shown


def widths(
    headings: Sequence[Heading], shown: Sequence[int], rows: Sequence[Sequence[Words]], room: int
) -> list[int]:
    """Return the width of each column that is shown; those to the left share what is left over."""
    found = [headings[i].least for i in shown]
    spare = room - sum(found) - GAP * (len(found) - 1)
    for place, i in enumerate(shown):
        if headings[i].left and spare > 0:
            longest = max((width(one_line(row[i][0])) for row in rows), default=0)
            more = min(spare, max(0, longest - found[place]))
            found[place] += more
            spare -= more
    return found


def head(headings: Sequence[Heading], shown: Sequence[int], wide: Sequence[int], sort: str) -> Text:
    """Return the line of titles; the column by which is sorted stands out."""
    line = Text(style="heading", no_wrap=True)
    for place, i in enumerate(shown):
        heading = headings[i]
        style = "sorted" if sort and heading.sort == sort else ""
        _append(line, place, cut(heading.title, wide[place], left=heading.left), style)
    return line


def body(
    headings: Sequence[Heading],
    shown: Sequence[int],
    wide: Sequence[int],
    row: Sequence[Words],
    style: str = "",
) -> Text:
    """Return the line of one row."""
    line = Text(style=style, no_wrap=True)
    for place, i in enumerate(shown):
        text, own = row[i]
        _append(line, place, cut(text, wide[place], left=headings[i].left), own)
    return line


def cut(text: str, columns: int, *, left: bool) -> str:
    """Bring a text to a width: fill it with blanks, or cut it with an ellipsis."""
    text = one_line(text)
    missing = columns - width(text)
    if missing >= 0:
        return text + " " * missing if left else " " * missing + text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…" + " " * (columns - 1 - width(text))


def _append(line: Text, place: int, text: str, style: str) -> None:
    line.append(" " * GAP if place else "")
    line.append(text, style or None)
