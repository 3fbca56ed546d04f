"""Values as people read them, and text that cannot mislead."""

from __future__ import annotations

import hashlib
import re

import pytest
from markupsafe import Markup

from identtqueue.dashboard import words
from identtqueue.dashboard.board import STATIC
from identtqueue.dashboard.links import Links
from identtqueue.dashboard.rendering import Rendering


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "\u2013"),
        (0, "0 ms"),
        (380.4, "380 ms"),
        (3_200, "3.2 s"),
        (59_940, "60 s"),
        (59_960, "1 min"),
        (250_000, "4 min 10 s"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
        (-1_500, "-1.5 s"),
    ],
)
def test_durations(milliseconds: float | None, text: str) -> None:
    assert words.duration(milliseconds) == text


def test_other_values() -> None:
    assert [words.number(n) for n in (None, 0, 1234, 0.2531, 12.34, 1234.6)] == [
        *("\u2013", "0", "1,234", "0.25", "12.3", "1,235")
    ]
    assert [words.size(n) for n in (None, 512, 1536, 240_000_000, 3e15)] == [
        *("\u2013", "512 B", "1.5 KiB", "229 MiB", "2728 TiB")
    ]
    assert words.plural(1, "task") == "1 task"
    assert words.plural(2_000, "query", "queries") == "2,000 queries"
    assert words.fold("a" * 50 + "the end", 30) == "a" * 19 + "…" + "aaathe end"
    moment = words.moment(1_700_000_000_123)
    assert moment == (
        '<time datetime="2023-11-14T22:13:20.123Z" data-ms="1700000000123">'
        "2023-11-14 22:13:20 UTC</time>"
    )
    assert words.moment(10**20) == f"{10**20} ms"


def test_what_is_printed_shows_what_it_holds() -> None:
    made = Rendering().page("error.html", _frame("a\u202eb\x00\x1b[31m\ud800</p><script>alert(1)"))
    text = made.decode()
    assert r"a\u202eb\x00\x1b[31m\ud800&lt;/p&gt;&lt;script&gt;alert(1)" in text
    assert words.plain(Markup("<b>")) == Markup("<b>")
    assert words.plain(3) == 3


def _frame(text: str) -> dict[str, object]:
    links = Links({"overview": "/"}, "", "v")
    board = type("Nobody", (), {"title": "", "navigation": ()})
    return {
        "board": board,
        "can_act": False,
        "csrf": "",
        "links": links,
        "live": "",
        "notice": "",
        "page_name": "",
        "text": text,
        "title": "x",
        "user": None,
    }


def test_links_quote_what_they_are_given() -> None:
    links = Links({"task": "/tasks/{task_id:path}", "queue": "/queues/{queue}"}, "/sub", "v")
    assert links.to("task", task_id="q:a/b?c#d%") == "/sub/tasks/q%3Aa%2Fb%3Fc%23d%25"
    assert links.to("queue", queue="q", tag=["a b", "&"], none=None, empty="") == (
        "/sub/queues/q?tag=a+b&tag=%26"
    )
    assert links.static("dashboard.css") == "/sub/static/v/dashboard.css"


def test_vendored_files_are_as_released() -> None:
    folder = STATIC / "vendor"
    listed = re.findall(r"\| (\S+) \|.*`([0-9a-f]{64})`", (folder / "README.md").read_text())
    assert len(listed) == 3
    for name, digest in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {path.name for path in folder.iterdir()} == {
        *(name for name, _ in listed),
        *("README.md", "htmx.LICENSE", "uPlot.LICENSE"),
    }


def test_templates_have_no_script_and_no_style_inside() -> None:
    """The browser would refuse them, and a payload that gets in could not tell itself from them."""
    for path in (STATIC.parent / "templates").glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), path
        assert "|safe" not in text, path
    for path in STATIC.glob("*.js"):
        assert not re.search(r"\beval\(|new Function|https?://", path.read_text()), path
