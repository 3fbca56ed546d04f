"""The structured formats of log lines."""

from __future__ import annotations

import json
import logging
import re
import shlex
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue import logs

TEXTS = st.text(max_size=80) | st.text("\x00\x1b\r\n\u2028\u202e\ud800\"\\= a'", max_size=40)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
KEYS = st.text("abcxyz_ =\"'\n\u202e", min_size=1, max_size=12)


TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def harmless(text: str) -> bool:
    """Return whether a text has no control character, line break or change of direction."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in TURNS
        for character in text
    )


def record(text: str, **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "n", "levelname": "WARNING", "msg": "%s", "args": (text,), "created": 1e9 + 0.25}
    )
    made.msecs = 250.0
    made.__dict__.update(extra)
    return made


def written(log_format: logs.LogFormat, made: logging.LogRecord) -> str:
    return logs.formatter(log_format).format(made)


def test_the_basic_fields() -> None:
    line = written("json", record("hello", pages=3, names=["a"]))
    assert json.loads(line) == {
        "time": "2001-09-09T01:46:40.250+00:00",
        "level": "warning",
        "logger": "n",
        "message": "hello",
        "pages": 3,
        "names": ["a"],
    }
    assert written("logfmt", record("hello you", pages=3, ok=True, none=None)) == (
        "time=2001-09-09T01:46:40.250+00:00 level=warning logger=n "
        'message="hello you" pages=3 ok=true none=null'
    )


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
@given(text=TEXTS, extra=st.dictionaries(KEYS, VALUES, max_size=4))
def test_anything_becomes_one_harmless_line(
    log_format: logs.LogFormat, text: str, extra: dict[str, Any]
) -> None:
    line = written(log_format, record(text, **extra))
    assert harmless(line)
    line.encode()
    if log_format == "json":
        assert json.loads(line)["message"] == logs.clean(text, line_break="\n")
    else:
        pairs = re.findall(r'([^\s="\\]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]*)', line)
        assert " ".join(f"{name}={value}" for name, value in pairs) == line
        message = dict(pairs)["message"]
        shown = json.loads(message) if message.startswith('"') else message
        assert shown == logs.clean(text, line_break="\n")


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError("why")
    except ValueError as error:
        made = record("failed", exc_info=(type(error), error, error.__traceback__))
    fields = json.loads(written("json", made))
    assert fields["message"] == "failed"
    assert fields["exception"].startswith("Traceback")
    assert fields["exception"].endswith("ValueError: why")
    assert shlex.split(written("logfmt", made))[-1].startswith("exception=Traceback")


def test_fields_of_a_caller_do_not_hide_the_basic_ones() -> None:
    fields = json.loads(written("json", record("hello", level="high", time="now", logger="mine")))
    assert (fields["level"], fields["level_"]) == ("warning", "high")
    assert (fields["time_"], fields["logger"], fields["logger_"]) == ("now", "n", "mine")


def test_a_value_without_json_becomes_text() -> None:
    fields = json.loads(written("json", record("x", thing=object, keys={("a", 1): 2})))
    assert fields["thing"] == "<class 'object'>"
    assert "2" in str(fields["keys"])


def test_only_some_fields_are_written_if_that_is_wanted() -> None:
    made = record("x", taskqueue="a/b", settings=object())
    assert "settings" not in logs.formatter("json", only=("taskqueue",)).format(made)


def test_a_filter_adds_the_fields_outside_an_attempt_too() -> None:
    made = record("x", task_id="mine")
    assert logs.AttemptFields().filter(made)
    assert (made.task_id, made.job, made.queue, made.attempt) == ("mine", "", "", "")


@pytest.mark.parametrize("name", [None, "identtqueue"])
def test_an_application_with_handlers_has_set_up_logging(name: str | None) -> None:
    """pytest itself has handlers at the root, so they are taken away for a moment."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    handler = logging.NullHandler()
    try:
        assert not logs.is_configured()
        logging.getLogger(name).addHandler(handler)
        assert not logs.set_up("INFO", "json")
        assert root.handlers == ([handler] if name is None else [])
    finally:
        logging.getLogger(name).removeHandler(handler)
        root.handlers[:] = before
