"""Cron expressions: when a job fires, and under which id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identtqueue.errors import InvalidInput, InvalidQueueName
from identtqueue.schedule import Cron, CronExpression
from identtqueue.task import queue_of

BERLIN = "Europe/Berlin"


def cron(expression: str, timezone: str = "UTC", **settings: Any) -> Cron:
    settings = {"name": "nightly", "function_name": "job"} | settings
    return Cron(expression=expression, timezone=timezone, **settings)


def ms(text: str, timezone: str = "UTC", *, fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold)
    return round(local.timestamp() * 1000)


def firings(entry: Cron, start_ms: int, number: int) -> list[str]:
    """Return the next firings, in UTC."""
    shown = []
    for _ in range(number):
        next_ms = entry.next_fire_ms(start_ms)
        assert next_ms is not None
        start_ms = next_ms
        shown.append(datetime.fromtimestamp(start_ms / 1000, UTC).isoformat(" "))
    return [text.removesuffix("+00:00") for text in shown]


def test_five_fields() -> None:
    assert firings(cron("*/20 9 * * MON"), ms("2026-01-01T00:00"), 4) == [
        "2026-01-05 09:00:00",
        "2026-01-05 09:20:00",
        "2026-01-05 09:40:00",
        "2026-01-12 09:00:00",
    ]


def test_with_six_fields_the_first_is_seconds() -> None:
    assert firings(cron("*/20 * * * * *"), ms("2026-01-01T23:59:30"), 4) == [
        "2026-01-01 23:59:40",
        "2026-01-02 00:00:00",
        "2026-01-02 00:00:20",
        "2026-01-02 00:00:40",
    ]


def test_the_next_firing_is_always_later() -> None:
    every_minute, noon = cron("* * * * *"), ms("2026-01-01T12:00")
    assert every_minute.next_fire_ms(noon) == noon + 60_000
    assert every_minute.next_fire_ms(noon - 1) == noon
    assert every_minute.next_fire_ms(noon + 1) == noon + 60_000


def test_with_seconds_the_next_firing_is_always_later_too() -> None:
    every_second, noon = cron("* * * * * *"), ms("2026-01-01T12:00")
    assert every_second.next_fire_ms(noon) == noon + 1_000
    assert every_second.next_fire_ms(noon - 1) == noon
    assert every_second.next_fire_ms(noon + 1) == noon + 1_000


TIMES = st.integers(ms("2024-01-01T00:00"), ms("2034-01-01T00:00"))
EXPRESSIONS = st.sampled_from(
    ["* * * * *", "*/7 3 * * *", "30 2 * * *", "0 0 1 * *", "0 12 * * 1-5", "*/10 * * * * *"]
)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


@given(EXPRESSIONS, ZONES, TIMES, st.integers(0, 10**7))
def test_all_times_between_two_firings_give_the_same_one(
    expression: str, zone: str, now_ms: int, later: int
) -> None:
    """So the ticks of many workers become one firing."""
    entry = cron(expression, zone)
    first = entry.next_fire_ms(now_ms)
    assert first is not None
    assert first > now_ms
    assert first % 1000 == 0
    between = now_ms + later % (first - now_ms)
    assert entry.next_fire_ms(between) == first
    assert entry.task_id("q", first) == cron(expression, zone).task_id("q", first)
    second = entry.next_fire_ms(first)
    assert second is not None
    assert entry.task_id("q", second) != entry.task_id("q", first)


# --- daylight saving time ---


def test_a_local_time_that_spring_skips_fires_right_after_the_gap() -> None:
    entry = cron("30 2 * * *", BERLIN)
    assert firings(entry, ms("2026-03-28T12:00", BERLIN), 2) == [
        "2026-03-29 01:00:00",  # 03:00 summer time: 02:30 does not exist
        "2026-03-30 00:30:00",
    ]


def test_a_local_time_that_autumn_repeats_fires_once() -> None:
    entry = cron("30 2 * * *", BERLIN)
    assert firings(entry, ms("2026-10-24T12:00", BERLIN), 2) == [
        "2026-10-25 00:30:00",  # 02:30 summer time, the first of two
        "2026-10-26 01:30:00",
    ]


@pytest.mark.parametrize(
    ("expression", "spring", "autumn"),
    [
        ("30 2 * * *", ["03:00"], ["02:30+0200"]),
        ("30 3 * * *", ["03:30"], ["03:30+0100"]),
        ("*/20 2 * * *", [], [f"02:{m}+0{h}00" for h in (2, 1) for m in ("00", "20", "40")]),
        (
            "30 * * * *",
            ["01:30", "03:30", "04:30"],
            ["01:30+0200", "02:30+0200", "02:30+0100", "03:30+0100", "04:30+0100"],
        ),
        ("0 */2 * * *", ["04:00"], ["02:00+0200", "02:00+0100", "04:00+0100"]),
        ("0 30 2 * * *", [], ["02:30+0200", "02:30+0100"]),
    ],
)
def test_the_table_of_the_documentation(
    expression: str, spring: list[str], autumn: list[str]
) -> None:
    """docs/library/cron.md: what fires between 01:00 and 05:00 on the days of a change."""
    assert local_firings(expression, "2026-03-29", "%H:%M") == spring
    assert local_firings(expression, "2026-10-25", "%H:%M%z") == autumn


def local_firings(expression: str, day: str, form: str) -> list[str]:
    """Return what fires in Berlin from 01:00 until before 05:00."""
    entry, at = cron(expression, BERLIN), ms(f"{day}T01:00", BERLIN) - 1
    found = []
    while (at := entry.next_fire_ms(at) or 2**50) < ms(f"{day}T05:00", BERLIN):
        found.append(datetime.fromtimestamp(at / 1000, ZoneInfo(BERLIN)).strftime(form))
    return found


def test_an_hourly_job_keeps_its_hour_through_both_changes() -> None:
    entry = cron("0 * * * *", BERLIN)
    spring = firings(entry, ms("2026-03-28T23:30"), 4)
    assert spring == [f"2026-03-29 0{hour}:00:00" for hour in range(4)]
    autumn = firings(entry, ms("2026-10-24T22:30"), 5)
    assert autumn == ["2026-10-24 23:00:00", *(f"2026-10-25 0{h}:00:00" for h in range(4))]


def test_the_two_firings_of_a_repeated_hour_have_different_ids() -> None:
    entry = cron("*/30 * * * *", BERLIN)
    first, second = ms("2026-10-25T02:30", BERLIN), ms("2026-10-25T02:30", BERLIN, fold=1)
    assert entry.task_id("q", first) == "q:cron.nightly.20261025T003000Z"
    assert entry.task_id("q", second) == "q:cron.nightly.20261025T013000Z"


# --- never ---


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4 *", "0 0 31 2,4,6,9,11 *"])
def test_a_day_that_never_comes(expression: str) -> None:
    """It is refused when it is declared or never fires, but it does not hang."""
    try:
        entry = cron(expression)
    except InvalidInput:
        return
    assert entry.next_fire_ms(ms("2026-01-01T00:00")) is None


def test_a_leap_day_does_come() -> None:
    assert firings(cron("0 0 29 2 *"), ms("2026-01-01T00:00"), 2) == [
        "2028-02-29 00:00:00",
        "2032-02-29 00:00:00",
    ]


# --- ids ---


def test_the_id_is_a_task_id_however_long_the_names() -> None:
    entry = cron("* * * * *", name="n" * 63)
    task_id = entry.task_id("q" * 63, ms("2026-01-01T00:00"))
    assert queue_of(task_id) == "q" * 63
    assert task_id.endswith(":cron." + "n" * 63 + ".20260101T000000Z")


# --- bad input ---


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * * *", "61 * * * *", "* 24 * * *", "@daily", "a b c d e"],
)
def test_an_expression_that_can_not_be_read(expression: str) -> None:
    with pytest.raises(InvalidInput, match="cron nightly: "):
        cron(expression)


@pytest.mark.parametrize(
    "zone",
    ["", "Europe", "Berlin", "Europe/Paris/Berlin", "../UTC", "/etc/passwd", "UTC\0", "x" * 5000],
)
def test_a_timezone_that_does_not_exist(zone: str) -> None:
    with pytest.raises(InvalidInput, match="cron nightly: no timezone"):
        cron("* * * * *", zone)


@pytest.mark.parametrize("name", ["Nightly job", "", "x" * 64, None])
def test_a_name_that_breaks_the_rule(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"cron name {name!r} is not valid"):
        cron("* * * * *", name=name)


def test_a_queue_name_that_breaks_the_rule() -> None:
    with pytest.raises(InvalidQueueName):
        cron("* * * * *", queue="MRZ")


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-06-15"])
@pytest.mark.parametrize(
    "text", ["15 2 * * *", "45 2 * * *", "30 * * * *", "*/20 1-3 * * *", "59 1 * * *", "0 3 * * *"]
)
def test_next_and_last_agree_through_a_change_of_the_clock(text: str, day: str) -> None:
    """They agree in every second near a boundary, and in the hour that is skipped or repeated."""
    expression = CronExpression(text, BERLIN)
    start = ms(f"{day}T00:00", BERLIN) / 1000
    fires = [start - 2 * 86_400]
    while fires[-1] < start + 86_400:
        following = expression.next_after(fires[-1])
        assert following is not None
        assert following > fires[-1]
        fires.append(following)
    del fires[0]
    for minute in range(5 * 60):
        for second in (0, 0.5, 59.9):
            at = start + minute * 60 + second
            assert expression.last_until(at) == max(fire for fire in fires if fire <= at)
            assert expression.next_after(at) == min(fire for fire in fires if fire > at)
