"""The table of faults of other libraries: verdicts that follow from the record of a run."""

from __future__ import annotations

import pytest

from benchmarks.faults import verdict
from benchmarks.faults.report import Report, brief
from benchmarks.faults.verdict import Answer, Exit, Record
from benchmarks.harness.ledger import parse

FAULT = 100.0
LABELS = ("running", "waiting1")
BOTH = {"running": "succeeded", "waiting1": "succeeded"}
OPEN: dict[str, str | None] = {"running": None, "waiting1": "succeeded"}


def record(
    ledger: list[tuple[float, str, str]],
    *answers: dict[str, str | None],
    exits: tuple[Exit, ...] = (),
    back: float = 0,
) -> Record:
    """Make the record of a run from (second, event, label), with one answer every 5 s."""
    text = "".join(f"{event} {label} 7 {int(at * 1e9)}\n" for at, event, label in ledger)
    seen = [Answer(FAULT + 5 * number, found) for number, found in enumerate(answers)]
    labels = tuple(answers[0]) if answers else LABELS
    return Record(labels, parse(text), seen, {"fault": FAULT, "back": back}, exits)


WAITING = [(101.0, "start", "waiting1"), (101.2, "end", "waiting1")]
CUT_OFF = [(99.5, "start", "running"), *WAITING]
AGAIN = [*CUT_OFF, (160.0, "start", "running"), (163.0, "end", "running")]
ONCE = [(99.5, "start", "running"), (102.5, "end", "running"), *WAITING]


def test_a_task_that_comes_back() -> None:
    found = verdict.kill(record(AGAIN, OPEN, BOTH))
    assert found["again"] == pytest.approx(60)
    assert found["recorded"] == pytest.approx(5)
    assert found["others"] == pytest.approx(1.2)
    assert (found["succeeded"], found["started_again"], found["ended_again"]) == (2, 1, 0)
    assert brief("kill", found) == "after 60 s"


def test_a_task_that_never_comes_back() -> None:
    found = verdict.kill(record(CUT_OFF, OPEN, OPEN))
    assert (found["again"], found["missing"], found["succeeded"]) == (None, 1, 1)
    assert brief("kill", found) == "**never**"


def test_a_task_that_is_recorded_as_failed() -> None:
    found = verdict.kill(record(CUT_OFF, OPEN, {"running": "failed", "waiting1": "succeeded"}))
    assert (found["failed"], found["missing"]) == (1, 0)
    assert brief("kill", found) == "never: recorded as failed after 5.0 s"


def test_those_that_waited_count_too() -> None:
    late = [*CUT_OFF[:1], (130.0, "start", "running"), (133.0, "end", "running")]
    late_others = [*late, (133.1, "start", "waiting1"), (133.3, "end", "waiting1")]
    nothing: dict[str, str | None] = {"running": "succeeded", "waiting1": None}
    found = verdict.kill(record(late_others, BOTH))
    assert brief("kill", found) == "after 30 s; those that waited after 33 s"
    found = verdict.kill(record(late, nothing))
    assert brief("kill", found) == "after 30 s; **those that waited: not all**"


def test_a_task_that_ran_without_a_recorded_result() -> None:
    found = verdict.redis(record(ONCE, OPEN, back=FAULT + 1))
    assert (found["unrecorded"], found["missing"], found["again"]) == (1, 0, None)
    assert (
        brief("redis", found)
        == "worker lives; next task **never**; task that ran: ran once, result **lost**"
    )


def test_redis_comes_back() -> None:
    ledger = [ONCE[0], ONCE[1], (103.0, "start", "waiting1"), (103.2, "end", "waiting1")]
    found = verdict.redis(record(ledger, BOTH, back=FAULT + 1))
    assert found["next"] == pytest.approx(2)
    assert brief("redis", found) == "worker lives; next task 2.0 s"
    found = verdict.redis(record(ledger, BOTH, back=FAULT + 1, exits=(Exit(1, 101), Exit(1, 102))))
    assert brief("redis", found) == "worker exits (1), 2 times; next task 2.0 s"


@pytest.mark.parametrize(
    ("starts", "outcome", "text"),
    [
        (5, "failed", "failed after 5 deliveries, 5.0 s"),
        (12, None, "**no end**: 12 deliveries in 110 s"),
        (3, None, "3 deliveries in 20 s, no end yet"),
        (1, None, "1 delivery, **then nothing**"),
    ],
)
def test_a_poison_task(starts: int, outcome: str | None, text: str) -> None:
    ledger = [(FAULT + 10 * number, "start", "poison") for number in range(starts)]
    answers = ({"poison": None, "waiting1": None}, {"poison": outcome, "waiting1": "succeeded"})
    found = verdict.poison(record([*ledger, *WAITING], *answers))
    assert found["deliveries"] == starts
    assert (found["failed"], found["succeeded"]) == (0, 1), "the poison is not in the books"
    assert brief("poison", found) == text
    assert brief("poison", verdict.poison(record(ledger, *answers))) == f"{text}; **blocks others**"


def test_a_worker_that_ends_in_order() -> None:
    found = verdict.term(record(ONCE, BOTH, exits=(Exit(0, 102.6),)))
    assert found["finished"]
    assert brief("term", found) == "ends, recorded; exit (0) after 2.6 s"


def test_a_worker_that_cuts_its_task_off() -> None:
    found = verdict.term(record(AGAIN, BOTH, exits=(Exit(-9, 130),)))
    assert not found["finished"]
    assert brief("long", found) == "cut off, again after 30 s; exit (-9) after 30 s"
    found = verdict.term(record(CUT_OFF, OPEN, exits=(Exit(0, 100.1),)))
    assert brief("term", found) == "cut off, **never again**; exit (0) after 0.1 s"


def test_a_task_that_ends_in_time_and_yet_runs_again() -> None:
    twice = [*ONCE, (110.0, "start", "running"), (113.0, "end", "running")]
    found = verdict.term(record(twice, BOTH, exits=(Exit(0, 102.6),)))
    assert (found["started_again"], found["ended_again"]) == (1, 1)
    assert brief("term", found) == "ends, **and runs again** after 10 s; exit (0) after 2.6 s"


def test_the_page_names_settings_and_what_is_missing() -> None:
    saved = {
        "facts": {
            **dict.fromkeys(("date", "commit", "command", "cores", "processor", "load"), "x"),
            **dict.fromkeys(("memory_gb", "system", "python", "redis"), "x"),
            "versions": {"arq": {"arq": "0.28.0"}},
            "patience": 660.0,
        },
        "promises": {
            "arq": {
                "delivery": "again",
                "page": "https://a",
                "settings": {"max_tries=1": "https://b"},
            }
        },
        "runs": {"arq": {"default": {"kill": verdict.kill(record(AGAIN, BOTH))}}},
        "missing": {"arq, reliable: kill": "it broke"},
    }
    text = Report(saved).markdown()
    assert "| arq | default | after 60 s | - | - | - | - |" in text
    assert "[`max_tries=1`](https://b)" in text
    assert "Missing: arq, reliable: kill: it broke." in text
    assert "not within 660 s" in text
