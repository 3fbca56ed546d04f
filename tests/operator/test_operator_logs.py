"""Foreign texts in the operator's log, and in what it tells."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue.logs import formatter
from identtqueue_operator import logs
from identtqueue_operator.model import Cause
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from testing.taskqueues import WORKLOAD

ODD = "up\x1b[2J\x07\r\nFAKE 2026 ready\x9b\u202e\u2028" + "long " * 100_000


def record(text):
    return logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "%s", "args": (text,)})


def test_a_json_line_holds_no_control_characters_and_is_no_longer_than_it_may():
    line = formatter("json", only=logs.FIELDS).format(record(ODD))
    assert line.isprintable()
    assert len(line) < 20_000
    assert json.loads(line)["message"].startswith("up\\x1b[2J\\x07\nFAKE")


@pytest.mark.parametrize("style", ["json", "logfmt", "text"])
def test_the_log_of_the_process_has_the_harmless_formatter(style, capsys):
    before = logging.getLogger().handlers[:]
    try:
        logs.set_up("info", style)
        logging.getLogger("n").warning("%s", ODD)
        written = capsys.readouterr().err
    finally:
        logging.getLogger().handlers[:] = before
    assert len(written) < 20_000
    assert all(line.isprintable() for line in written.split("\n"))
    assert not any(line.startswith("FAKE") for line in written.split("\n"))


@given(st.text(max_size=100) | st.text("\x00\x1b\n\u202ea", max_size=50) | st.just(ODD[:3000]))
def test_a_status_and_its_events_hold_no_control_characters(text):
    problem = Cause("WorkloadRefused", f"the API server says: {text}")
    told = render_status(Round(500.0, 4, WORKLOAD, problem=problem), {})
    texts = [told.status["message"], told.status["brief"]]
    texts += [c["message"] for c in told.status["conditions"]]
    texts += [event.message for event in told.events]
    assert len(told.events) == 1
    assert all(
        not set("\x00\x1b\n\r\x9b\u202e\u2028") & set(each) and len(each) <= 1024 for each in texts
    )
