"""The documentation site: its navigation, its generated page, the checks of what is rendered."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docsite import commands, pages, rendered, taskqueue
from docsite.plain import written_out

CONFIG = pages.ROOT / "docsite" / "zensical.toml"
NOT_LISTED = {"adr"}
"""Folders whose own list of pages is in the navigation."""


def listed(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else listed(value)


@pytest.fixture(scope="module")
def navigation() -> list[str]:
    return list(listed(tomllib.loads(CONFIG.read_text("utf-8"))["project"]["nav"]))


def test_every_page_is_in_the_navigation(navigation: list[str]) -> None:
    own = {
        str(pages.place(page))
        for page in pages.DOCS.rglob("*.md")
        if page.relative_to(pages.DOCS).parts[0] not in NOT_LISTED
    }
    assert own - set(navigation) == set(), "add them to docsite/zensical.toml"


def test_no_page_is_twice_in_the_navigation(navigation: list[str]) -> None:
    assert len(set(navigation)) == len(navigation)


def test_what_is_in_the_navigation_is_staged(navigation: list[str], tmp_path: Path) -> None:
    pages.stage(tmp_path / "docs")
    assert [path for path in navigation if not (tmp_path / "docs" / path).is_file()] == []
    front = (tmp_path / "docs/project/index.md").read_text("utf-8")
    assert "](../library.md)" in front  # the README's link to docs/library.md


def test_links_in_code_stay_as_they_are() -> None:
    lines = list(pages.with_code("[a](b.md)\n```\n[a](b.md)\n```\n[a](b.md)\n"))
    assert [code for _, code in lines] == [False, True, True, True, False]


def test_the_reference_of_the_resource_is_up_to_date() -> None:
    wanted = taskqueue.render()
    assert taskqueue.PAGE.read_text("utf-8") == wanted, "run `python -m docsite taskqueue`"


def test_the_reference_of_the_command_line_is_up_to_date() -> None:
    wanted = commands.render()
    assert commands.PAGE.read_text("utf-8") == wanted, "run `python -m docsite commands`"


def test_what_is_wrong_with_a_rendered_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text('<h1 id="top"></h1><a href="good.html#top">x</a>')
    assert list(rendered.problems(tmp_path)) == []
    bad = '<a href="none.html"></a><a href="good.html#no"></a><script src="//cdn/x.js"></script>'
    (tmp_path / "bad.html").write_text(bad)
    assert list(rendered.problems(tmp_path)) == [
        "bad.html: the link good.html#no leads nowhere",
        "bad.html: the link none.html leads nowhere",
        "bad.html: //cdn/x.js is loaded from another server",
    ]


def test_docstrings_are_written_out() -> None:
    docstring = """Does it.

::

    it()

Args:
    before, after: hooks,
        or none.
    more: other things.

Raises:
    InvalidInput,
    TaskExists: it cannot be done.
"""
    lines = written_out(docstring).splitlines()
    assert lines[:3] == ["Does it.", "", ""]
    assert lines[5:] == [
        "Args:",
        "    before: hooks,",
        "        or none.",
        "    after: see `before`.",
        "    more: other things.",
        "",
        "Raises:",
        "    InvalidInput: it cannot be done.",
        "    TaskExists: see `InvalidInput`.",
    ]
