"""The table of Redis' settings: who stands beside whom, and what the ratios are of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.settings import AGAIN, SETTINGS, Cost, Found, base_of, in_turn, report

SOME = Cost(
    bulk_us=20,
    single_us=200,
    latency_ms=1,
    bulk_seconds=2,
    pending_bytes=214,
    result_bytes=1_137,
    file_bytes=0,
    idle_ms=2,
)


@pytest.mark.parametrize("number", range(7))
def test_each_round_has_each_setting_beside_its_default(number: int) -> None:
    groups = list(in_turn(SETTINGS, number))
    assert sorted(setting.name for group in groups for setting in group) == sorted(
        setting.name for setting in SETTINGS
    )
    assert all(len({base_of(setting) for setting in group}) == 1 for group in groups)
    assert max(map(len, groups)) == 2


def test_each_round_begins_with_another_setting() -> None:
    assert len({next(in_turn(SETTINGS, number))[0] for number in range(5)}) == 5


def test_a_ratio_is_the_median_of_those_to_the_neighbours() -> None:
    """Rounds on a machine that is slow for a while count as those in which it is fast."""
    bases = [replace(SOME, bulk_us=value) for value in (20, 80, 20)]
    costs = [replace(SOME, bulk_us=value) for value in (30, 120, 10)]
    assert Found(costs, bases).cell("bulk_us", ".1f") == "30.0 (1.50)"
    assert Found(costs).cell("bulk_us", ".1f") == "30.0"


def test_a_column_for_each_cost() -> None:
    head, ruler, row = report({AGAIN: Found([SOME], [SOME])})
    assert head.count("|") == ruler.count("|") == row.count("|")
    assert row.startswith("| the same again | 20.0 (1.00) | 200 (1.00) | 1.00 (1.00) |")
