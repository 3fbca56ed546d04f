"""The pages of the site: those of docs/, and what they link to elsewhere in the repository.

The pages are written for the repository, so their links are paths in it. On the site, a page of
docs/ keeps its path below docs/. Anything else is below `project/`: another Markdown page as it is,
any other file as a page that shows its text, and a folder as a page that lists its files.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OTHERS = Path("project")
"""Folder of the site with what is not in docs/."""

LINK = re.compile(r"(\]\()(?!https?:|mailto:)([^)\s]+)(\))")
FENCE = re.compile(r"^ *(```|~~~)")
COPIED = {".css", ".png", ".svg"}
LANGUAGES = {
    ".conf": "ini",
    ".lua": "lua",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".txt": "text",
    ".yaml": "yaml",
    ".yml": "yaml",
}
SEARCHED = {"SECURITY.md", "charts/identtqueue/README.md", "examples/README.md"}
"""Pages outside docs/ that a search finds. It is for users, so decisions are left out too."""
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def stage(folder: Path) -> int:
    """Write all pages and pictures of the site into a folder, with links that are right there.

    Args:
        folder: is emptied first.

    Returns:
        The number of files.
    """
    shutil.rmtree(folder, ignore_errors=True)
    todo = sorted(path for path in DOCS.rglob("*") if path.is_file())
    done: set[Path] = set()
    while todo:
        source = todo.pop()
        if source in done:
            continue
        done.add(source)
        target = folder / place(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in COPIED:
            shutil.copyfile(source, target)
            continue
        text, linked = page_of(source)
        target.write_text(text, "utf-8")
        todo += linked
    return len(done)


def place(source: Path) -> Path:
    """Return the path on the site of a file or folder of the repository."""
    if source.is_relative_to(DOCS):
        inner = source.relative_to(DOCS)
    else:
        inner = OTHERS / source.relative_to(ROOT)
    if source.is_dir():
        return inner / "index.md"
    if source.suffix in COPIED | {".md"}:
        return inner.with_name("index.md") if inner.name == "README.md" else inner
    return inner.with_name(inner.name.lstrip(".") + ".md")  # Zensical leaves hidden files out


def page_of(source: Path) -> tuple[str, list[Path]]:
    """Make the page of a file or folder.

    Returns:
        Its text, and the files and folders that it links to.
    """
    if source.is_dir():
        return _listing(source)
    if source.suffix == ".md":
        return _relinked(source)
    return _source(source), []


def _relinked(page: Path) -> tuple[str, list[Path]]:
    linked: list[Path] = []

    def move(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path, hash_sign, anchor = target.partition("#")
        if not path:
            return match[0]
        aim = (page.parent / path).resolve()
        if aim.is_dir() and (aim / "README.md").exists():
            aim /= "README.md"
        linked.append(aim)
        return f"{before}{_from(page, aim)}{hash_sign}{anchor}{after}"

    lines = (_outside_code(line, move) for line in with_code(page.read_text("utf-8")))
    return ("" if _is_searched(page) else NOT_SEARCHED) + "".join(lines), linked


def _is_searched(page: Path) -> bool:
    if page.is_relative_to(DOCS):
        return page.parent.name != "adr" and page.name != "dependencies.md"
    return str(page.relative_to(ROOT)) in SEARCHED


def with_code(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is part of a block of code."""
    inside = False
    for line in text.splitlines(keepends=True):
        fence = FENCE.match(line) is not None
        yield line, inside or fence
        inside ^= fence


def _outside_code(line: tuple[str, bool], change: Callable[[re.Match[str]], str]) -> str:
    text, is_code = line
    return text if is_code else LINK.sub(change, text)


def _from(page: Path, aim: Path) -> str:
    return os.path.relpath(place(aim), place(page).parent)


def _source(file: Path) -> str:
    text = file.read_text("utf-8")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    language = LANGUAGES.get(file.suffix, "text")
    name = file.relative_to(ROOT)
    head = f"{NOT_SEARCHED}# {file.name}\n\n`{name}`\n\n"
    return f"{head}{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _listing(folder: Path) -> tuple[str, list[Path]]:
    names = [path for path in sorted(folder.iterdir()) if path.name[0] not in "._"]
    shown = [path for path in names if path.is_file() and path.suffix in {*LANGUAGES, ".md"}]
    index = folder / "README.md"  # where the page of the folder stands, for relative links
    rows = [
        f"- [{path.name}]({_from(index, path)})" if path in shown else f"- {path.name}"
        for path in names
    ]
    title = f"# {folder.name}/\n\n`{folder.relative_to(ROOT)}/`\n\n"
    return NOT_SEARCHED + title + "\n".join(rows) + "\n", shown
