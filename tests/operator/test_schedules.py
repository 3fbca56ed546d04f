"""Which schedule is in force, on clocks that are set forward and back too."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from identtqueue.schedule import CronExpression
from identtqueue_operator.api.v1alpha1 import Schedule
from identtqueue_operator.policy.schedules import KnownFirings, in_force, next_boundary
from testing.taskqueues import spec

BERLIN = ZoneInfo("Europe/Berlin")


def schedule(start, end=None, duration=None, zone="Europe/Berlin", name="s", least=3):
    return Schedule.model_validate(
        {
            "name": name,
            "start": start,
            "end": end,
            "durationSeconds": duration,
            "timeZone": zone,
            "minReplicas": least,
        }
    )


def at(text, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def utc(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%m-%d %H:%M")


def asks(schedules, seconds):
    found = in_force(schedules, seconds)
    return found.schedule.min_replicas if found else 0


def test_from_start_to_end():
    office = [schedule("0 8 * * 1-5", "0 18 * * *")]
    assert asks(office, at("2026-01-05T07:59:59")) == 0
    assert asks(office, at("2026-01-05T08:00")) == 3
    assert asks(office, at("2026-01-05T17:59:59")) == 3
    assert asks(office, at("2026-01-05T18:00")) == 0
    assert asks(office, at("2026-01-10T12:00")) == 0, "Saturday: ended on Friday"


def test_over_midnight():
    night = [schedule("0 22 * * *", "0 6 * * *")]
    assert asks(night, at("2026-01-05T23:00")) == 3
    assert asks(night, at("2026-01-06T05:59")) == 3
    assert asks(night, at("2026-01-06T06:00")) == 0


def test_for_a_duration():
    batch = [schedule("30 2 * * *", duration=3600)]
    assert asks(batch, at("2026-01-05T02:29:59")) == 0
    assert asks(batch, at("2026-01-05T02:30")) == 3
    assert asks(batch, at("2026-01-05T03:29:59")) == 3
    assert asks(batch, at("2026-01-05T03:30")) == 0


def test_the_largest_of_several_counts():
    several = [
        schedule("0 8 * * *", "0 18 * * *", name="day", least=2),
        schedule("0 12 * * *", duration=3600, name="noon", least=7),
    ]
    assert asks(several, at("2026-01-05T11:00")) == 2
    assert asks(several, at("2026-01-05T12:30")) == 7
    boundaries, now = [], at("2026-01-05T07:00")
    for _ in range(4):
        now = next_boundary(several, now)
        boundaries.append(utc(now))
    assert boundaries == ["01-05 07:00", "01-05 11:00", "01-05 12:00", "01-05 17:00"]


def test_local_hours_move_with_the_clock():
    office = [schedule("0 8 * * *", "0 18 * * *")]
    winter, summer = at("2026-03-28T12:00"), at("2026-03-29T12:00")
    assert utc(in_force(office, winter).until) == "03-28 17:00"
    assert utc(in_force(office, summer).until) == "03-29 16:00"


def test_a_start_that_the_clock_skips_is_made_good_after_the_gap():
    early = [schedule("30 2 * * *", "0 4 * * *")]
    assert asks(early, at("2026-03-29T01:59:59")) == 0
    assert asks(early, at("2026-03-29T03:00")) == 3
    assert asks(early, at("2026-03-29T04:00")) == 0


def test_an_hour_that_comes_twice_starts_and_ends_once():
    early = [schedule("15 2 * * *", "45 2 * * *")]
    assert asks(early, at("2026-10-25T02:15")) == 3
    assert asks(early, at("2026-10-25T02:45")) == 0
    assert asks(early, at("2026-10-25T02:20", fold=1)) == 0
    assert utc(next_boundary(early, at("2026-10-25T02:20", fold=1))) == "10-26 01:15"


def test_a_duration_is_real_time():
    batch = [schedule("0 1 * * *", duration=3 * 3600)]
    assert utc(in_force(batch, at("2026-03-29T01:30")).until) == "03-29 03:00"
    assert utc(in_force(batch, at("2026-10-25T01:30")).until) == "10-25 02:00"


def test_nothing_is_in_force_and_nothing_begins_without_schedules():
    assert in_force([], 0.0) is None
    assert next_boundary([], 0.0) is None


GOOD = {"name": "s", "start": "0 8 * * *", "durationSeconds": 60, "minReplicas": 1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"start": "61 8 * * *"}, "schedule s: '61 8 * * *': Bad minute"),
        ({"start": "0 0 30 2 *"}, "schedule s: '0 0 30 2 *': Bad day-of-month"),
        ({"timeZone": "Europe/Nowhere"}, "schedule s: no timezone 'Europe/Nowhere'"),
        ({"timeZone": "../etc"}, "timeZone"),
        ({"end": "0 9 * * *"}, "exactly one of end and durationSeconds"),
        ({"durationSeconds": None}, "exactly one of end and durationSeconds"),
        ({"durationSeconds": None, "end": "0 8 * * *"}, "start and end are the same"),
        ({"minReplicas": 11}, "minReplicas of a schedule must not exceed maxReplicas"),
        ({"start": "0 8 * *"}, "start"),
        ({"start": "0 0 8 * * *"}, "start"),
        ({"start": "@daily"}, "start"),
    ],
)
def test_what_makes_no_sense_is_said(change, problem):
    try:
        found = spec({"schedules": [GOOD | change]}).problems()
    except ValidationError as error:
        found = [str(error)]
    assert len(found) == 1
    assert problem in found[0]


def test_names_are_different():
    assert spec({"schedules": [GOOD, GOOD]}).problems() == ["schedules must have different names"]


TEXTS = ("0 8 * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "59 23 31 12 5")


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(("UTC", "Europe/Berlin", "Pacific/Apia")),
    st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=8),
)
def test_what_is_remembered_of_a_schedule_is_what_a_search_finds(text, zone, times):
    """At whatever times it is asked for, in any order."""
    expression, known = CronExpression(text, zone), KnownFirings()
    for moment in times:
        found = known.around(text, zone, float(moment))
        assert found.last == expression.last_until(float(moment))
        assert found.following == expression.next_after(float(moment))


def test_of_schedules_no_more_are_remembered_than_may_be():
    known = KnownFirings(most=3)
    for minute in range(10):
        known.around(f"{minute} 8 * * *", "UTC", 1e9)
    assert len(known) == 3
