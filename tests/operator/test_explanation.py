"""Why there are so many replicas, in words: from the status alone."""

import pytest

from identtqueue_operator.api.v1alpha1.status import MOST_PAST_DECISIONS, TaskQueueStatus
from identtqueue_operator.model import Limit, Memory, Outcome
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.status.explanation import MEANINGS, Explanation, ago, span
from identtqueue_operator.status.numbers import LONGEST_PAST_MESSAGE
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from testing.taskqueues import WORKLOAD, observed, spec

SPEC = {"maxReplicas": 8, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}


def after(status, at, replicas, queued, scaling=SPEC):
    """The status after one more round; a number that is to be written is written."""
    seen = observed(replicas, queued=queued, at=at)
    decision, _ = decide(spec(scaling), seen, Memory(wanted=((0.0, 0),), active_at=0.0))
    to = decision.scale_to
    outcome = Outcome() if to is None else Outcome(replicas, to)
    now = Round(at, 1, WORKLOAD, seen=seen, decision=decision, outcome=outcome)
    return render_status(now, status).status


def explained(status, now=1_000.0):
    body = {"metadata": {"namespace": "ns", "name": "mrz"}, "status": status}
    return Explanation.of(body), list(Explanation.of(body).lines(now))


def changes(status):
    return [(each["from"], each["to"], each["limitedBy"]) for each in status["history"]]


def test_every_limit_has_a_meaning():
    assert set(MEANINGS) == set(Limit)


def test_decisions_are_kept_the_newest_first():
    status = after({}, 100.0, 0, 0)
    status = after(status, 200.0, 0, 25)
    status = after(status, 300.0, 3, 500)
    assert changes(status) == [(3, 8, "MaxReplicas"), (0, 3, "None"), (0, 0, "None")]
    assert status["history"][0]["message"] == status["lastDecision"]["message"]
    assert TaskQueueStatus.model_validate(status).history is not None


def test_new_numbers_alone_change_no_history():
    first = after(after({}, 100.0, 0, 25), 200.0, 3, 500)
    second = after(first, 300.0, 8, 600)
    third = after(second, 400.0, 8, 700)
    assert third["lastDecision"]["message"] != second["lastDecision"]["message"]
    assert third["history"] == second["history"]


def test_between_two_changes_only_the_last_hold_is_kept():
    status = after({}, 100.0, 0, 25)
    for at, limits in ((200.0, {"maxReplicas": 3}), (300.0, {"scaleUp": {"paused": True}})):
        status = after(status, at, 3, 500, SPEC | limits)
    assert changes(status) == [(3, 3, "MaxReplicas, ScaleUpPaused"), (0, 3, "None")]


def test_the_history_is_bounded():
    status = {}
    for number in range(3 * MOST_PAST_DECISIONS):
        replicas = number % 7
        status = after(status, 100.0 * number, replicas, 10 * ((number * 3) % 7))
    assert len(status["history"]) == MOST_PAST_DECISIONS
    assert all(len(each["message"]) <= LONGEST_PAST_MESSAGE for each in status["history"])


def test_a_status_without_a_history_gets_one_with_the_next_decision():
    status = after({}, 100.0, 0, 25)
    del status["history"]
    same = after(status, 200.0, 3, 25)
    assert "history" not in same, "no reason to write"
    assert changes(after(same, 300.0, 3, 500)) == [(3, 8, "MaxReplicas")]


def test_the_decision_is_taken_apart():
    status = after(after({}, 100.0, 0, 25), 880.0, 3, 500)
    explanation, lines = explained(status)
    assert lines == [
        "ns/mrz: 8 replicas, 3 ready",
        f"  now: AtMaxReplicas: {status['message']}",
        "  last decision, 2 min ago: 3 -> 8, BacklogAboveTarget, held back by MaxReplicas",
        "    ceil((500 queued + 0 in flight) / 10 per replica) = 50",
        "    then maxReplicas makes it 8",
        "    MaxReplicas (spec.scaling.maxReplicas): there are never more replicas",
        "  before:",
        "    15 min ago: 0 -> 3, BacklogAboveTarget",
        "      ceil((25 queued + 0 in flight) / 10 per replica) = 3",
    ]
    decision = explanation.as_json()["decision"]
    assert (decision["from"], decision["to"]) == (3, 8)
    assert decision["limits"][0]["field"] == "spec.scaling.maxReplicas"


def test_a_limit_of_a_later_version_is_named_all_the_same():
    status = after({}, 100.0, 0, 25)
    status["lastDecision"]["limitedBy"] = "Moonlight"
    _, lines = explained(status)
    assert "    Moonlight" in lines


def test_without_a_status_it_says_so():
    assert explained({})[1] == [
        "ns/mrz: the operator has not looked yet",
        "  now: NotSeen: no operator has looked at it yet",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (90_000, "25 h"), (-5, "0 s")],
)
def test_a_span_has_one_unit(seconds, words):
    assert span(seconds) == words


def test_a_time_that_can_not_be_read_is_no_error():
    assert ago("yesterday", 0.0) == "at an unknown time"
