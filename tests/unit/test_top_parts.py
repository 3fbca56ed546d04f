"""The parts of `identtqueue top` that need no terminal."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style
from rich.text import Text

from identtqueue.cli.display.text import width
from identtqueue.cli.top import short
from identtqueue.cli.top.canvas import Canvas
from identtqueue.cli.top.columns import Heading, cut, fitting, widths
from identtqueue.cli.top.keys import Keys
from identtqueue.cli.top.rates import Rates
from identtqueue.cli.top.tables import JOBS, QUEUES, WORKERS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0, "0"), (0.25, "0.2"), (3, "3"), (9.94, "9.9"), (12.6, "13"),
        (9_999, "9999"), (9_999.6, "10k"), (123_456, "123k"), (1_234_567, "1.2M"), (5e10, "50G"),
        (1e18, "lots"),
    ],
)  # fmt: skip
def test_short_numbers(value: float | None, text: str) -> None:
    assert short.number(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "-"), (0, "0ms"), (99, "99ms"), (99.6, "0.1s"), (450, "0.5s"), (9_940, "9.9s"),
        (9_960, "10s"), (99_000, "99s"), (100_000, "2m"), (3_600_000, "60m"), (7_200_000, "2h"),
        (86_400_000 * 3, "72h"), (86_400_000 * 40, "40d"), (86_400_000 * 5_000, "ages"),
    ],
)  # fmt: skip
def test_short_durations(ms: float | None, text: str) -> None:
    assert short.duration(ms) == text


@given(st.floats(min_value=0, max_value=1e15))
def test_short_texts_have_four_characters_at_most(value: float) -> None:
    assert 1 <= len(short.number(value)) <= 4
    assert 2 <= len(short.duration(value)) <= 4


def test_keys() -> None:
    keys = Keys()
    assert keys.feed(b"q\x1b[A\x1bOB\x1b[5~\r\x7f\xc3\xa4") == [
        "q", "up", "down", "page up", "enter", "backspace", "ä",
    ]  # fmt: skip
    assert keys.feed(b"\x1b[200~") == []  # a key that means nothing here
    assert not keys.unfinished


def test_a_key_whose_bytes_come_apart() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == [] == keys.feed(b"[")
    assert keys.unfinished
    assert keys.feed(b"B") == ["down"]
    assert keys.feed(b"\x1b") == []
    assert keys.give_up() == ["escape"]
    assert keys.give_up() == []
    assert keys.feed(b"\x1bx") == ["escape", "x"]


def test_rates() -> None:
    rates = Rates()
    rates.note("q", 1_000, {"enqueued": 5})
    assert rates.per_minute("q", "enqueued") is None
    rates.note("q", 31_000, {"enqueued": 20})
    assert rates.per_minute("q", "enqueued") == 30
    rates.note("q", 91_000, {"enqueued": 20})
    assert rates.per_minute("q", "enqueued") == 0  # only the last minute counts
    rates.note("q", 92_000, {"enqueued": 1})  # Redis has lost its data
    assert rates.per_minute("q", "enqueued") is None
    rates.forget_all_but(set())
    assert rates.per_minute("q", "enqueued") is None


# --- columns ---


@pytest.mark.parametrize("headings", [QUEUES, WORKERS, JOBS])
@pytest.mark.parametrize("room", [80, 81, 100, 132, 200])
def test_a_table_fits(headings: tuple[Heading, ...], room: int) -> None:
    shown = fitting(headings, room)
    row = [("x" * 60, "")] * len(headings)
    wide = widths(headings, shown, [row], room)
    assert sum(wide) + len(wide) - 1 <= room


def test_at_80_columns_nothing_of_a_queue_is_left_out() -> None:
    assert len(fitting(QUEUES, 80)) == len(QUEUES)
    titles = [QUEUES[i].title for i in fitting(QUEUES, 60)]
    assert {"QUEUE", "PEND", "RUN", "DEAD"} <= set(titles)
    assert "WRK" not in titles


@given(st.text(), st.integers(2, 30), st.booleans())
def test_a_cell_has_its_width(text: str, columns: int, left: bool) -> None:
    assert width(cut(text, columns, left=left)) == columns


# --- differences ---

STYLES = {"bad": Style(color="red", bold=True), "bar": Style(reverse=True)}
LINES = st.lists(
    st.builds(Text, st.text("ab äö漢\x1b", max_size=30), st.sampled_from(["", "bad", "bar"])),
    max_size=6,
)


@settings(max_examples=30)
@given(st.lists(LINES, min_size=2, max_size=4))
def test_differences_lead_to_the_same_screen_as_a_new_one(scenes: list[list[Text]]) -> None:
    changed, canvas = pyte.Screen(20, 5), Canvas(STYLES)
    stream = pyte.Stream(changed)
    for lines in scenes:
        stream.feed(canvas.change(lines, 20, 5))
        fresh = pyte.Screen(20, 5)
        pyte.Stream(fresh).feed(Canvas(STYLES).change(lines, 20, 5))
        assert changed.display == fresh.display
        for row in range(5):
            assert [changed.buffer[row][c] for c in range(20)] == [
                fresh.buffer[row][c] for c in range(20)
            ]


def test_only_what_differs_is_sent() -> None:
    canvas = Canvas(STYLES)
    line = Text("queue one   12  pending")
    assert len(canvas.change([line], 80, 24)) > 20
    assert canvas.change([line], 80, 24) == ""
    assert canvas.change([Text("queue one   13  pending")], 80, 24) == "\x1b[1;14H3"
    assert canvas.change([Text("")], 80, 24) == "\x1b[1;1H\x1b[K"
    canvas.forget()
    assert canvas.change([line], 80, 24).startswith("\x1b[0m\x1b[2J")
    assert "\x1b[31m" not in Canvas(STYLES, coloured=False).change([Text("x", "bad")], 9, 1)
