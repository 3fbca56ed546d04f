"""The pages of the documentation: what they link to exists, and every picture is linked."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"build", "dist", "__pycache__"}
MOST_README_WORDS = 700
"""A stranger reads it once, in a few minutes. What is longer has a page in docs/."""
FOR_DEVELOPERS = ("CONTRIBUTING.md", "docs/first-change.md")
FOLDERS = "queue|operator|tests|e2e|benchmarks|charts|docs|examples|manifests|requirements"
MADE_IN_THE_EXERCISE = {
    "queue/identtqueue/protocol/lua/erase.lua",
    "operator/identtqueue_operator/strategies/oldest_task.py",
}
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


@cache
def files(*suffixes: str) -> list[Path]:
    """Files of the repository with one of the suffixes, without hidden and generated folders."""
    found: list[Path] = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in LEFT_OUT]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix in suffixes)


PAGES = files(".md")


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page, and those that it sets itself."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = set(re.findall(r'<a id="([^"]+)">', text))
    return named | {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles
    }


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#other) [c](page.md#a-title) [d](none.md)\n")
    assert broken_links(page) == ["#other", "none.md"]


def test_every_picture_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text("utf-8"))
    }
    pictures = [path for path in files(".svg", ".png") if ROOT / "queue" not in path.parents]
    unused = [path for path in pictures if path not in shown]
    assert [str(path.relative_to(ROOT)) for path in unused] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in LINK.findall(page.read_text("utf-8")):
            path = target.partition("#")[0]
            aim = (page.parent / path).resolve() if path else page
            children = sorted(aim.rglob("*.md")) if aim.is_dir() else [aim]
            todo += [child for child in children if child in PAGES and child not in reached]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS)
def test_the_files_that_a_developer_is_sent_to_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text))
    missing = {path for path in named if not (ROOT / path).exists()}
    assert len(named) > 5
    assert missing <= MADE_IN_THE_EXERCISE


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= MOST_README_WORDS
