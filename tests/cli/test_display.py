"""The forms of the output: tables, times, JSON. On a terminal and in a pipe."""

from __future__ import annotations

import json
import math
import re

import pytest

from identtqueue.cli.awaiting import readable_json
from identtqueue.cli.display.sheet import Sheet
from identtqueue.cli.display.table import Column, Styled, Table
from identtqueue.cli.display.text import one_line, printable, shorten, width
from identtqueue.cli.display.times import Clock, duration, exact, rough
from identtqueue.cli.display.values import plain, show_json

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9b\u202e"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.fixture
def table() -> Table:
    table = Table("task", Column("tries", right=True), Column("error", shrinks=True))
    table.add(Styled("q:1", "name"), 1_234, Styled("ValueError: too dark to be read", "bad"))
    table.add("q:a-longer-one", 7, None)
    return table


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend that output goes to a terminal of 40 columns, as FORCE_COLOR does for users."""
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "40", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


# --- tables ---


def test_a_pipe_gets_aligned_text_without_colour(
    table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    table.show()
    assert capsys.readouterr().out.splitlines() == [
        "TASK            TRIES  ERROR",
        "q:1              1234  ValueError: too dark to be read",
        "q:a-longer-one      7  -",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_colour_and_its_own_width(
    table: Table, capsys: pytest.CaptureFixture[str]
) -> None:
    table.show()
    out = capsys.readouterr().out
    assert "\x1b[1mq:1 " in out
    lines = [line.rstrip() for line in without_colour(out).splitlines()]
    assert lines == [
        "TASK            TRIES  ERROR",
        "q:1             1,234  ValueError: too …",
        "q:a-longer-one      7  -",
    ]


@pytest.mark.usefixtures("terminal")
def test_no_color_is_respected(
    table: Table, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("NO_COLOR", "1")
    table.show()
    assert not re.search(r"\x1b\[[\d;]*3\dm", capsys.readouterr().out)


def test_an_id_is_folded_and_never_cut(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "12")
    table = Table("task", Column("error", shrinks=True))
    task_id = "queue:5f1c8a7be2d94c3f60a1b2c3"
    table.add(task_id, "x" * 50)
    table.show()
    first = [line.split(" ")[0] for line in without_colour(capsys.readouterr().out).splitlines()]
    assert "".join(first[1:]) == task_id


def test_an_empty_table_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Table("task").show()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_drawn", [False, True])
def test_texts_of_tasks_can_not_command_the_terminal(
    is_drawn: bool, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_drawn:
        terminal.delenv("FORCE_COLOR")
    terminal.setenv("COLUMNS", "200")
    table = Table("a")
    table.add(f"{EVIL}\n[bold red]x[/] :smile:")
    table.show()
    page = Sheet()
    page.field("a", EVIL)
    page.block(EVIL)
    page.show()
    out = without_colour(capsys.readouterr().out)
    assert out.count("owned") == 3
    assert "[bold red]x[/] :smile:" in out
    assert {char for char in out if not char.isprintable()} == {"\n"}


def test_wide_letters_keep_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a", "b")
    table.add("日本", "1")
    table.add("e\u0301", "2")
    table.show()
    assert capsys.readouterr().out.splitlines()[1:] == ["日本  1", "e\u0301     2"]


def test_a_page_has_its_tables_where_they_were_added(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("n")
    table.add(1)
    page = Sheet()
    page.line("q:1")
    page.table(table)
    page.field("arguments", "one\ntwo")
    page.show()
    assert capsys.readouterr().out.splitlines() == [
        "q:1",
        "N",
        "1",
        "  arguments  one",
        "             two",
    ]


# --- text, times, values ---


def test_text_is_made_harmless() -> None:
    assert printable("a\tb\nü") == "a\tb\nü"
    assert one_line("a\tb\nü") == "a\\tb\\nü"
    assert printable(EVIL) == "\\x1b[2J\\x1b]0;owned\\x07\\r\\x9b\\u202e"
    assert shorten("abcdef", 4) == "abc…"
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        *[(0, "0 ms"), (0.25, "0.2 ms"), (350, "350 ms"), (2_444, "2.44 s"), (59_000, "59 s")],
        *[(80_000, "1 min 20 s"), (5 * MINUTE, "5 min"), (3 * HOUR + 5 * MINUTE, "3 h 5 min")],
        *[(2 * DAY + HOUR, "2 d 1 h"), (40 * DAY, "40 d"), (-80_000, "-1 min 20 s")],
    ],
)
def test_durations(ms: float, text: str) -> None:
    assert duration(ms) == text


def test_times_as_seen_from_now() -> None:
    clock = Clock(1_800_000_000_000)
    now = clock.now_ms
    assert clock.moment(None) is None
    assert clock.moment(now + 400) == "now"
    assert clock.moment(now - 90_000) == "90 s ago"
    assert clock.moment(now - 180_000) == "3 min ago"
    assert clock.moment(now + 5 * HOUR) == "in 5 h"
    assert rough(3 * DAY) == "3 d"
    assert Clock(now, utc=True).moment(now + 7) == "2027-01-15 08:00:00.007 UTC"
    assert exact(1 << 62) == f"{1 << 62} ms since 1970"  # written by something else


def test_values_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": (1, b"\0"), 2: {3}, "nan": math.nan, "x": object, "ü": EVIL}
    row = plain(value)
    assert (row["a"], row["2"], row["nan"]) == ([1, "AA=="], [3], "nan")
    show_json(value)
    out = capsys.readouterr().out
    assert out.strip().isascii()
    assert json.loads(out) == row


def test_results_are_json_that_a_person_can_read() -> None:
    text = readable_json({"straße": EVIL})
    assert "straße" in text
    assert text.isprintable()
    assert json.loads(text) == {"straße": EVIL}
