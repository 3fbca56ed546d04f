"""Code that a page quotes from a file: `<!-- from FILE -->` stands in front of it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTATION = re.compile(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "<!-- from " in page.read_text()]


def misquoted(text: str) -> list[str]:
    """Return the files that do not contain what the text quotes from them, line by line."""
    return [
        f"{path}: {code.splitlines()[0]}"
        for path, code in QUOTATION.findall(text)
        if not contains((ROOT / path).read_text("utf-8"), code)
    ]


def contains(source: str, code: str) -> bool:
    """Return whether the lines stand in the source one after the other, indented or not."""
    wanted, lines = code.splitlines(), source.splitlines()
    return any(
        textwrap.dedent("\n".join(lines[n : n + len(wanted)])).splitlines() == wanted
        for n in range(len(lines))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_quotes_what_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert misquoted(text) == []
    assert len(QUOTATION.findall(text)) == text.count("<!-- from ")


def test_a_wrong_quotation_is_found() -> None:
    page = "<!-- from testing/pages.py -->\n```python\ndef nothing_of_that_name():\n```\n"
    assert misquoted(page) == ["testing/pages.py: def nothing_of_that_name():"]
