"""Checks of the site as it was rendered: each link and anchor leads somewhere, offline."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Elements that a browser loads by itself, with the attribute that says from where."""
NOT_LOADED = {"canonical", "prev", "next"}


class Page(HTMLParser):
    """One page: the ids that it has, where it links to, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element says."""
        given = {name: value for name, value in attrs if value}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in NOT_LOADED:
            self.loads.add(given[LOADED[tag]])


@cache
def read(path: Path) -> Page:
    """Read a page of HTML."""
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site: dead links, and whatever is loaded from elsewhere."""
    for path in sorted(site.rglob("*.html")):
        page, name = read(path), path.relative_to(site)
        for link in sorted(page.links):
            if not _leads_somewhere(site, path, link):
                yield f"{name}: the link {link} leads nowhere"
        for load in sorted(page.loads):
            if urlsplit(load).netloc:
                yield f"{name}: {load} is loaded from another server"
            elif not _leads_somewhere(site, path, load):
                yield f"{name}: {load} is missing"


def _leads_somewhere(site: Path, path: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True  # another site
    inner = unquote(parts.path)
    start = site if inner.startswith("/") else path.parent
    aim = (start / inner.lstrip("/")).resolve() if inner else path
    aim = aim / "index.html" if aim.is_dir() else aim
    if not aim.is_file():
        return path.name == "404.html"  # its links are relative to wherever it is shown
    anchor = unquote(parts.fragment)
    is_page = aim.suffix == ".html"
    return not anchor or not is_page or anchor.startswith("__") or anchor in read(aim).ids
