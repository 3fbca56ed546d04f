"""Values as text on a page: readable, and never longer than asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from identtqueue.dashboard.values import written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.25, "0.25"),
        ('a\nb "c" é', '"a\\nb \\"c\\" é"'),
        (b"\x00\xff", "2 bytes: 00ff"),
        (b"", "0 bytes"),
        ([], "[]"),
        ({}, "{}"),
        ([1, [2]], "[\n  1,\n  [\n    2\n  ]\n]"),
        ({"a": 1, 2: ()}, '{\n  "a": 1,\n  2: []\n}'),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        ("</script>\u202e", '"</script>\u202e"'),
    ],
)
def test_it_reads_like_json(value: Any, text: str) -> None:
    assert written(value).text == text
    assert not written(value).is_cut


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 50_000_000,
        b"x" * 50_000_000,
        ["x" * 1_000_000] * 50,
        {"x" * 1_000_000: "x" * 1_000_000},
        list(range(5_000_000)),
    ],
    ids=["text", "bytes", "texts", "key", "numbers"],
)
def test_it_costs_what_is_shown(value: Any) -> None:
    begin = time.process_time()
    shown = written(value, 1_000)
    assert time.process_time() - begin < 0.1
    assert len(shown.text) == 1_000
    assert shown.is_cut
    assert shown.is_long
    assert len(shown.summary) <= 101


def test_what_is_deep_or_huge_is_named() -> None:
    assert "[…]" in written(deep(100_000)).text
    assert written(10**5_000).text == "a number of 16,610 bits"
