"""The table of the operator's benchmark: it judges values by the targets."""

from __future__ import annotations

import pytest

from benchmarks.operator.report import markdown, p99

FACTS = {
    "date": "2026-01-31",
    "command": "make bench-operator",
    "processor": "P",
    "cores": 2,
    "memory_gb": 8,
    "system": "Linux 6",
    "commit": "abc",
    "load": 0.1,
}


def line_of(what: str, numbers: dict[str, dict[str, list[float]]]) -> str:
    """Find the line of the table that begins so."""
    text = markdown({"part": {"facts": FACTS, "numbers": numbers}})
    return next(line for line in text.splitlines() if line.startswith(f"| {what}"))


@pytest.mark.parametrize(("slowest", "met"), [(99, "yes"), (101, "**no**")])
def test_the_99th_percentile_is_judged(slowest, met):
    values = [float(slowest)] * 2 + [20.0] * 98
    line = line_of("first enqueue", {"push": {"patch_ms": values}})
    assert line.endswith(f"(n=100) | {met} |")


def test_one_slow_value_of_a_hundred_is_not_the_99th_percentile():
    assert p99([500.0] + [20.0] * 99) == 20.0
    assert p99([500.0] + [20.0] * 49) == 500.0


@pytest.mark.parametrize(("lowered", "met"), [(0, "yes"), (1, "**no**")])
def test_a_single_lowered_deployment_misses_the_target(lowered, met):
    line = line_of("Deployments lowered", {"outages": {"lowered": [float(lowered)]}})
    assert line == f"| Deployments lowered in outages | 0 | {lowered} | {met} |"


def test_what_was_not_measured_is_left_out():
    text = markdown({"part": {"facts": FACTS, "numbers": {"push": {"patch_ms": [1.0]}}}})
    assert "node killed" not in text
    assert "commit abc, `make bench-operator`, load at the start 0.1" in text


def test_the_number_of_scale_downs_stands_in_the_table():
    numbers = {"shrink": {"scale_downs": [103.0], "repeated": [0.0]}}
    assert "busy workers lost in 103 scale-downs" in line_of("busy workers", numbers)
