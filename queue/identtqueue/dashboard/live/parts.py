"""The parts of a page that are pushed: whole blocks, or single rows of their tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Final, Self

_ROW: Final = re.compile(r'<tr id="([^"]+)".*?</tr>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page, with the rows of its tables that have an id.

    Attributes:
        html: all of it.
        frame: what is left without the content of the rows: it tells which rows there are, in
            which order.
        rows: the rows by their id.
    """

    html: str
    frame: str
    rows: Mapping[str, str]

    @classmethod
    def of(cls, html: str) -> Self:
        """Find the rows in a block. Ids in it are escaped, as all that templates print."""
        rows: dict[str, str] = {}

        def cut(found: re.Match[str]) -> str:
            rows[unescape(found[1])] = found[0]
            return f"<{found[1]}>"

        return cls(html, _ROW.sub(cut, html), rows)


def changes(before: Mapping[str, Block], after: Mapping[str, Block]) -> dict[str, str]:
    """Return what a browser that shows one has to replace to show the other.

    Returns:
        HTML by the id of the element: of whole blocks (`live-<block>`, its content), and of rows
        (the row itself) where the rows are the same ones in the same order.
    """
    found: dict[str, str] = {}
    for block, part in after.items():
        old = before.get(block)
        if old is None or old.frame != part.frame:
            found[f"live-{block}"] = part.html
        elif old.html != part.html:
            found |= {key: row for key, row in part.rows.items() if old.rows[key] != row}
    return found
