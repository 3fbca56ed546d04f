"""Plans from forms: an act and its tasks. Nothing is meant that the form does not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identtqueue.admin import Act, Filter, Place
from identtqueue.dashboard.plans import CHOICES, MOST_IDS, Plan, acts_in
from identtqueue.errors import InvalidInput


def plan(*, final: bool = True, **form: Any) -> Plan:
    fields = {"act": "replay", "place": "dead"} | form
    listed = {name: v if isinstance(v, list) else [v] for name, v in fields.items()}
    return Plan.of("mrz", listed, final=final)


def test_by_filter() -> None:
    made = plan(job="read", error="ValueError", since="2h", tag=" ")
    assert made.filter == Filter(job="read", error="ValueError", newer_than_seconds=7_200)
    assert made.ids == ()
    assert made.options == {}


def test_by_tasks() -> None:
    made = plan(by="task", task=["mrz:a", "mrz:b", "mrz:a"], job="read")
    assert made.ids == ("mrz:a", "mrz:b")
    assert made.filter == Filter()


@pytest.mark.parametrize(
    "form",
    [
        {"by": "task"},  # nothing selected is not everything
        {"by": "task", "task": [f"mrz:{n}" for n in range(MOST_IDS + 1)]},
        {"by": "task", "task": "other:a"},
        {"by": "task", "task": "nonsense"},
        {"place": "nowhere"},
        {"place": "ended"},
        {"act": "cancel"},
        {"act": ""},
        {"since": "yesterday"},
        {"act": "move"},
        {"act": "move", "to_queue": "mrz"},
        {"act": "move", "to_queue": "No Queue"},
        {"act": "reschedule", "place": "scheduled"},
        {"act": "reschedule", "place": "scheduled", "in": "soon"},
    ],
)
def test_what_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        plan(**form)


def test_a_question_needs_no_answer_yet() -> None:
    assert plan(final=False, act="move").to_queue is None
    assert plan(final=False, act="reschedule", place="scheduled").at is None


def test_another_time() -> None:
    form = {"act": "reschedule", "place": "scheduled"}
    at = plan(**form, **{"in": "90s"}).at
    assert at is not None
    assert timedelta(seconds=60) < at - datetime.now(UTC) < timedelta(seconds=120)
    moment = plan(**form, **{"in": "2026-12-31 08:00"})
    assert moment.options == {"at": datetime(2026, 12, 31, 8, tzinfo=UTC)}


def test_each_act_has_a_place() -> None:
    assert {choice.act for choice in CHOICES} == set(Act)
    assert acts_in(Place.ENDED) == []
    assert acts_in(None) == []
    assert [c.name for c in acts_in(Place.DEAD)] == ["replay", "move", "discard"]
