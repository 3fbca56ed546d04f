"""Log lines of a program that has set up no logging."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from identtqueue.logs import LINE, LineFormatter

OURS, PLAIN = LineFormatter(), logging.Formatter(LINE)


@given(st.lists(st.floats(0, 4e9), max_size=20))
def test_lines_look_as_loggings_own(times: list[float]) -> None:
    """Whatever second a record is of, also one that comes behind a later one."""
    for created in times:
        record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "100 % of it"})
        record.created, record.msecs = created, float(int(created % 1 * 1000))
        assert OURS.format(record) == PLAIN.format(record)
