"""Log lines of a program that has not set up logging."""

from __future__ import annotations

import logging
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from identtqueue.logs import LINE, MOST_CHARACTERS, LineFormatter, clean

OURS, PLAIN = LineFormatter(), logging.Formatter(LINE)


@given(st.lists(st.floats(0, 4e9), max_size=20))
def test_lines_look_as_loggings_own(times: list[float]) -> None:
    """Times are right for any second, even if a record comes after a later one."""
    for created in times:
        record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "100 % of it"})
        record.created, record.msecs = created, float(int(created % 1 * 1000))
        assert OURS.format(record) == PLAIN.format(record)


TEXTS = st.text(max_size=200) | st.text("\x00\x07\x1b\r\n\x9b\u2028\u202e\ud800a", max_size=50)


TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def harmless(text: str) -> bool:
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in TURNS
        for character in text
    )


@given(TEXTS)
def test_a_foreign_text_makes_one_line_of_the_log_and_commands_no_terminal(text: str) -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "%s", "args": (text,)})
    try:
        raise ValueError(text)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    first, *rest = OURS.format(record).split("\n")
    assert all(map(harmless, (first, *rest)))
    assert all(line.startswith("    ") for line in rest)
    first.encode()  # no lone surrogate


def test_what_can_be_printed_stays_as_it_is() -> None:
    for text in ("", "plain", "schöne Grüße, 日本", "x" * MOST_CHARACTERS):
        assert clean(text) == text


def test_what_is_too_long_is_cut_in_the_middle() -> None:
    text = clean("a" * 50_000 + "b" * 50_000, 100)
    assert len(text) <= 100
    assert text.startswith("aaa")
    assert text.endswith("bbb")
