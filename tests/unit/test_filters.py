"""The words of a filter, as users write them on the command line, in URLs and for kubectl."""

from __future__ import annotations

import pytest

from identtqueue import InvalidInput, State
from identtqueue.admin import Filter
from identtqueue.admin.filters import parse_duration


def test_words_become_a_filter() -> None:
    words = {
        "job": "send",
        "error": "ValueError",
        "since": "2h",
        "older": "90s",
        "tag": "tenant:42",
    }
    assert Filter.parse({**words, "id": "order-", "state": "failed", "text": "x y"}) == Filter(
        job="send",
        error="ValueError",
        newer_than_seconds=7_200,
        older_than_seconds=90,
        tag="tenant:42",
        id_prefix="order-",
        state=State.FAILED,
        text="x y",
    )


def test_empty_values_are_not_given() -> None:
    assert Filter.parse({"job": "", "since": ""}) == Filter()


def test_the_names_of_the_fields_are_words_too() -> None:
    assert Filter.parse({"newer": "1m"}) == Filter(newer_than_seconds=60)
    assert Filter.parse({"id_prefix": "a"}) == Filter(id_prefix="a")
    assert Filter.parse({"older_than_seconds": "5"}) == Filter(older_than_seconds=5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"jobs": "send"}, "job, id, tag, error, text, worker, state, older, since"),
        ({"since": "1m", "newer": "2m"}, "given twice"),
        ({"state": "dead"}, "scheduled, pending, running, succeeded, failed, cancelled"),
        ({"since": "yesterday"}, "90s, 15m, 2h30m or 7d"),
        ({"since": "-5"}, "90s, 15m, 2h30m or 7d"),
        ({"since": "9" * 30}, "100 years"),
        ({"job": "x" * 513}, "1 to 512 characters"),
    ],
)
def test_a_wrong_word_is_refused_with_what_is_allowed(words: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Filter.parse(words)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h30m", 9_000),
        ("7d", 604_800),
        ("1w", 604_800),
        ("1.5h", 5_400),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("since", text) == seconds
    assert parse_duration("since", str(seconds)) == seconds


@pytest.mark.parametrize(
    "wrong",
    [{"job": ""}, {"job": 1}, {"state": "failed"}, {"text": None, "older_than_seconds": -1}],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Filter(**wrong)  # type: ignore[arg-type]


def test_a_filter_says_what_it_is() -> None:
    wanted = Filter.parse({"since": "2h", "job": "send"})
    assert str(wanted) == "job=send since=7200s"
    assert Filter.parse(wanted.words()) == wanted
    assert wanted
    assert not Filter()
    assert str(Filter()) == "everything"
