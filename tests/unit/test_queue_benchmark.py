"""The report of `make bench`: medians, targets and tables that follow from the runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.libraries import ALL, MAIN, NEAREST, OURS, PEERS
from benchmarks.queue.medians import PROCESS_JOBS, SHOWN, TYPED, Medians, Row
from benchmarks.queue.modes import Mode, Rates
from benchmarks.queue.report import Report
from benchmarks.queue.targets import NOT_MEASURED, Target, targets

HARNESS = Path(__file__).resolve().parents[2] / "benchmarks" / "harness"
REQUIREMENTS = HARNESS.parent / "requirements"
FACTS: dict[str, Any] = {
    **dict.fromkeys(("date", "commit", "command", "processor", "system", "python"), "x"),
    "cores": 2,
    "memory_gb": 24,
    "redis": "7.0.15",
    "load": 0.1,
    "versions": {},
}


def rates(*values: float) -> list[dict[str, float]]:
    """Make one run per value."""
    return [{"per_second": value} for value in values]


def saved(runs: dict[str, Any], promises: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make what `run.py` saves."""
    return {"facts": FACTS, "promises": promises or {}, "runs": runs, "missing": {}}


def met(runs: dict[str, Any], begin: str) -> Target:
    """Return the one target whose text begins like that."""
    found = [one for one in targets(Medians(saved(runs))) if one.text.startswith(begin)]
    assert len(found) == 1
    return found[0]


def test_ours_as_shown_comes_first_and_then_the_fastest_peer() -> None:
    runs = {
        "saq": {"work": rates(2)},
        "cauli": {"work": rates(9)},
        "identtqueue": {f"work{SHOWN}": rates(1)},
    }

    assert [row.label for row in Medians(saved(runs)).rows()] == [
        "identtqueue",
        "identtqueue, log off",
        "cauli",
        "saq",
    ]


def test_a_median_is_over_the_rounds_and_the_log_has_a_row_of_its_own() -> None:
    runs = {"identtqueue": {f"work{SHOWN}": rates(5, 100, 6), "work": rates(9, 7, 8)}}
    medians = Medians(saved(runs))

    assert medians.at(TYPED, "work") == 6
    assert medians.at(Row("identtqueue", "log off"), "work") == 8


def test_what_does_not_depend_on_settings_is_in_all_rows_of_a_library() -> None:
    runs = {"identtqueue": {"memory": [{"bytes": 571.0}]}}

    assert Medians(saved(runs)).at(TYPED, "memory", "bytes") == 571


def test_the_fastest_place_for_plain_functions_counts() -> None:
    runs = {"identtqueue": {f"plain thread{SHOWN}": rates(3), f"plain here{SHOWN}": rates(4)}}

    assert Medians(saved(runs)).plain(TYPED) == 4


@pytest.mark.parametrize(("ours", "enough"), [(11, True), (10.9, False)])
def test_a_ratio_to_one_peer(ours: float, enough: bool) -> None:
    runs = {"identtqueue": {f"work{SHOWN}": rates(ours)}, "cauli": {"work": rates(10)}}

    assert met(runs, "work/s, c=32: ≥ 1.1 times cauli").met is enough


def test_the_nearest_peer_decides_and_is_named() -> None:
    runs = {
        "identtqueue": {f"work c=100{SHOWN}": rates(13)},
        "toro": {"work": rates(1), "work c=100": rates(20)},
        "saq": {"work": rates(1), "work c=100": rates(10)},
    }

    target = met(runs, "c=100")

    assert (target.measured, target.met) == ("0.65 times (toro)", False)


def test_a_peer_is_as_fast_as_in_its_better_setting() -> None:
    runs = {
        "identtqueue": {f"latency{SHOWN}": [{"p50_ms": 2.0}]},
        "huey": {"latency": [{"p50_ms": 3.0}], f"latency{SHOWN}": [{"p50_ms": 1.0}]},
    }

    target = met(runs, "enqueue → result on an idle worker, p50")

    assert target == Target(target.text, "2 ms against 1 (huey)", False)


@pytest.mark.parametrize(
    ("ours", "peer", "enough"), [(20_000, 90_000, True), (9, 9, True), (8, 9, False)]
)
def test_enqueue_is_fast_enough_by_itself_or_beside_the_fastest(
    ours: float, peer: float, enough: bool
) -> None:
    runs = {
        "identtqueue": {f"enqueue single{SHOWN}": rates(ours)},
        "tarsk": {"enqueue single": rates(peer)},
    }

    assert met(runs, "enqueue one at a time").met is enough


def test_the_herd_that_costs_more_counts() -> None:
    runs = {
        "identtqueue": {
            "herd, scheduled": [{"scripts": 2.5}],
            "herd, limited": [{"scripts": 17.0}],
        }
    }

    target = met(runs, "40 idle workers")

    assert (target.measured, target.met) == ("17 calls", False)


def test_each_part_of_the_long_queue_is_a_target() -> None:
    runs = {
        "identtqueue": {
            "long queue": [{"enqueue_ratio": 0.95, "work_ratio": 0.94, "cancel_ratio": 1.2}]
        }
    }

    found = [one.met for one in targets(Medians(saved(runs))) if "pending: " in one.text]

    assert found == [True, False, True]


def test_process_jobs_are_measured_twice_and_the_target_is_at_c_32() -> None:
    measured = {"process jobs, 4 slots": rates(3_000), PROCESS_JOBS: rates(6_000)}

    text = Report(saved({"identtqueue": measured})).markdown()

    assert "| process jobs, c=32: ≥ 5,000/s | 6,000/s | yes |" in text
    assert "| process jobs, 4 slots | 3,000 |" in text
    assert "| process jobs, c=32 | 6,000 |" in text


def test_work_on_the_long_queue_is_shown_with_and_without_cancelled_tasks() -> None:
    numbers = {"long": 9.0, "empty": 10.0, "ratio": 0.9, "redis": 0.8}
    parts = ("enqueue", "work", "cancel", "among")
    run = {f"{part}_{name}": value for part in parts for name, value in numbers.items()}
    runs = {
        "identtqueue": {
            f"work{SHOWN}": rates(1),
            "processes 1": rates(1),
            "long queue": [run | {"tasks": 10**6, "cancelled": 9_995}],
        }
    }

    text = Report(saved(runs)).markdown()

    assert "| work | 9 | 10 | 0.90 | 0.80 |" in text
    assert "| work, 9,995 cancelled tasks in the queue | 9 | 10 | 0.90 | 0.80 |" in text
    assert text.count("1,000,000 pending: ") == 3, "targets"


def test_nothing_measured_is_said_and_neither_met_nor_missed() -> None:
    found = targets(Medians(saved({})))

    assert {(one.measured, one.met) for one in found} == {(NOT_MEASURED, None)}
    assert f"| {found[0].text} | {NOT_MEASURED} | - |" in Report(saved({})).markdown()


def test_the_report_has_guarantees_and_what_is_missing() -> None:
    promise = {"guarantee": "at least once", "fenced": True, "delivery": "again", "page": "P"}
    given = saved({"toro": {"work": rates(7)}}, {"toro": promise})
    given["missing"] = {"mayu": "needs Python 3.13, found 3.11.7"}

    text = Report(given).markdown()

    assert "Missing: mayu: needs Python 3.13, found 3.11.7." in text
    assert "| toro | at least once, fenced | 7 |" in text
    assert "| toro | at least once | yes | [again](P) |" in text


def test_runs_are_as_long_as_the_mode_wants_and_end_with_whole_shares() -> None:
    mode = Mode(ALL, seconds=2, most=50_000)
    slow = Rates(work=10_000, enqueue=1_000)

    assert slow.to_work(mode, "best") == 5_760  # three times the enqueue's time, in 32 shares
    assert Rates(work=1, enqueue=1).to_enqueue(mode) == 320
    assert Rates(work=10**6, enqueue=10**6).to_work(mode, "best") == 49_920


def test_each_library_has_pins_and_says_where_its_settings_are() -> None:
    for library in ALL:
        begin = (HARNESS / "adapters" / f"{library.name}.py").read_text("utf-8").split('"""')[1]
        assert (REQUIREMENTS / f"{library.name}.txt").read_text("utf-8").count("--hash=") > 0
        assert library is OURS or re.search(r"[Bb]est", begin), library.name
    assert set(MAIN) | set(NEAREST) <= {library.name for library in ALL}
    assert len(PEERS) == 15
