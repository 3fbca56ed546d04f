"""Blocks of code on the pages of the documentation, with the marks that say what to do with them.

A mark is a comment in the line above a block: `<!-- file: tasks.py -->` gives the block the name of
the file that a reader saves it as, so that a test can do the same.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(
    r"(?:^ *<!-- file: (?P<file>[\w./-]+) -->\n)?"
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w-]*)[^\n]*\n"
    r"(?P<text>.*?)"
    r"^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code.

    Attributes:
        page: the page, from the root of the repository.
        line: of the page, on which the block begins.
        language: as the fence names it; "" if it does not.
        text: without the indentation of the whole block.
        file: the file that a reader saves it as; "" for none.
    """

    page: str
    line: int
    language: str
    text: str
    file: str = ""

    @property
    def place(self) -> str:
        """The page and the line, for messages."""
        return f"{self.page}:{self.line}"


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, given from the root of the repository."""
    text = (ROOT / page).read_text("utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(
            page, line, found["language"], textwrap.dedent(found["text"]), found["file"] or ""
        )


def files(page: str) -> dict[str, str]:
    """Return the text of each file that the reader of a page saves, by its name."""
    return {block.file: block.text for block in blocks(page) if block.file}


def pages() -> list[str]:
    """Return the pages that users and developers read, from the root of the repository."""
    found = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"]
    for folder in ("examples", "charts"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(str(path.relative_to(ROOT)) for path in found)
