"""Docstrings as the reference page needs them.

The project's docstrings announce an example by `::`, give several arguments one text (`before,
after: hooks`), and let a list of errors go on in the next line. Markdown and griffe know none of
these, so each is written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SECTION = re.compile(r"^(Args|Attributes|Raises):$")
ENTRY = re.compile(r"^(?P<indent> {4})(?P<names>[\w*]+(?:, [\w*]+)+): ?(?P<text>.*)$")
OPEN_LIST = re.compile(r"^ {4}[\w*]+(?:, [\w*]+)*,$")


def written_out(docstring: str) -> str:
    """Rewrite a docstring, without changing what it says."""
    return "\n".join(_entries(_lines(docstring)))


def _lines(docstring: str) -> Iterator[str]:
    """Yield the lines; `::` is left out, and an unfinished list of names is joined."""
    begun = ""
    for line in docstring.splitlines():
        if line.strip() == "::":
            continue
        whole = f"{begun} {line.strip()}" if begun else line
        begun = whole if OPEN_LIST.match(whole) else ""
        if not begun:
            yield whole


def _entries(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines; an entry for several names becomes one for each."""
    inside = False
    pending: list[str] = []  # entries that get the text of the one that is being read
    for line in lines:
        if SECTION.match(line):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        goes_on = line.startswith(" " * 8)
        if pending and not goes_on:
            yield from pending
            pending = []
        found = ENTRY.match(line) if inside else None
        if found:
            names = found["names"].split(", ")
            yield f"{found['indent']}{names[0]}: {found['text']}"
            pending = [f"{found['indent']}{name}: see `{names[0]}`." for name in names[1:]]
        else:
            yield line
    yield from pending
