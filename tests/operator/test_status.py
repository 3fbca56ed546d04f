"""Reports: one round as a status, and as events."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import identtqueue_operator
from identtqueue_operator.model import (
    WORKLOAD_PROBLEMS,
    Cause,
    Depth,
    Limit,
    Memory,
    Outcome,
    Problem,
    Requeued,
    Source,
    SourceTrouble,
    WorkerTrouble,
)
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from identtqueue_operator.status.writer import difference
from testing.taskqueues import WORKLOAD, deployment, observed, pod, spec, with_trigger, worker

QUIET = {"maxReplicas": 20, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}


def a_round(seen, outcome=None, the_spec=None, **more):
    the_spec = the_spec or spec(QUIET)
    decision, _ = decide(the_spec, seen, Memory(wanted=((0.0, 0),), active_at=0.0))
    return Round(
        seen.at,
        generation=3,
        workload=WORKLOAD,
        pause=the_spec.pause,
        seen=seen,
        decision=decision,
        outcome=outcome or Outcome(),
        **more,
    )


def conditions(told):
    return {c["type"]: c for c in told.status["conditions"]}


def reasons(told):
    return [event.reason for event in told.events]


def test_all_conditions_are_there_from_the_first_sight():
    told = render_status(a_round(observed(0)), {})
    assert list(conditions(told)) == [
        *("Ready", "RedisReachable", "WorkloadFound", "WorkersReady", "Active"),
        *("ScalingLimited", "Draining", "Paused", "Conflicting", "QueueShared"),
        *("EntriesUnreadable", "ReplicasChangedByOthers", "OperatorsOverlap"),
    ]
    assert {c["observedGeneration"] for c in told.status["conditions"]} == {3}
    assert told.status["observedGeneration"] == 3
    assert told.events == ()


def test_a_transition_time_stays_until_the_status_changes():
    first = render_status(a_round(observed(0, at=100.0)), {})
    second = render_status(a_round(observed(0, queued=1, at=200.0)), first.status)
    then, now = conditions(first), conditions(second)
    assert now["Ready"]["lastTransitionTime"] == then["Ready"]["lastTransitionTime"]
    assert now["Active"]["lastTransitionTime"] != then["Active"]["lastTransitionTime"]


def test_the_last_change_stays_on_show_until_there_is_another():
    scaled = Outcome(scaled_from=0, scaled_to=2)
    first = render_status(a_round(observed(0, queued=20, at=100.0), scaled), {})
    decision = first.status["lastDecision"]
    assert (decision["from"], decision["to"], decision["reason"]) == (0, 2, "BacklogAboveTarget")
    assert first.status["replicas"]["current"] == 2
    later = render_status(a_round(observed(2, queued=15, at=200.0)), first.status)
    assert later.status["lastDecision"] == decision
    assert later.status["lastScaleTime"] == first.status["lastScaleTime"]
    held = a_round(observed(2, queued=999, at=300.0), the_spec=spec(QUIET | {"maxReplicas": 2}))
    assert render_status(held, later.status).status["lastDecision"]["limitedBy"] == "MaxReplicas"


@pytest.mark.parametrize(
    ("scaled", "reason"),
    [((0, 2), "ScaledUp"), ((2, 1), "ScaledDown"), ((2, 0), "ScaledToZero")],
)
def test_scaling_is_an_event_with_the_calculation(scaled, reason):
    told = render_status(a_round(observed(scaled[0], queued=5), Outcome(*scaled)), {})
    (event,) = told.events
    assert event.reason == reason
    assert event.message.startswith(f"{scaled[0]} -> {scaled[1]}: ceil((5 queued")


def test_trouble_is_told_once_and_so_is_its_end():
    down = observed(2, depth=None, source=Source(SourceTrouble.UNREACHABLE, "no route", 4))
    first = render_status(a_round(down), {})
    assert reasons(first) == ["RedisUnreachable"]
    assert first.status["reason"] == "RedisUnreachable"
    assert conditions(first)["Ready"]["status"] == "False"
    assert conditions(first)["Active"]["status"] == "Unknown"
    second = render_status(a_round(down), first.status)
    assert second.events == ()
    other = observed(2, depth=None, source=Source(SourceTrouble.AUTH_FAILED, "wrong", 5))
    third = render_status(a_round(other), second.status)
    assert reasons(third) == ["RedisAuthFailed"]
    assert reasons(render_status(a_round(observed(2, queued=11)), third.status)) == [
        "RedisRecovered"
    ]


def test_the_last_numbers_stay_while_there_are_none():
    first = render_status(a_round(observed(2, queued=7, in_flight=1)), {})
    down = observed(2, depth=None, source=Source(SourceTrouble.UNREACHABLE, "no route", 4))
    assert render_status(a_round(down), first.status).status["tasks"] == first.status["tasks"]


def test_recovered_tasks_are_counted_and_told():
    outcome = Outcome(
        recovered=(
            Requeued("mrz", ("mrz:1", "mrz:2"), (), "p", "container ended"),
            Requeued("mrz", (), ("mrz:3",), "p", "container ended"),
        )
    )
    told = render_status(a_round(observed(1, queued=2), outcome), {"recovered": {"total": 4}})
    assert told.status["recovered"]["total"] == 7
    assert reasons(told) == ["TasksRequeued", "TaskDeadLettered"]
    assert "mrz:3" in told.events[1].message


def test_a_drain_is_told():
    pods = (pod("p0"), pod("p1"))
    workers = (worker(pods[0], in_flight=1), worker(pods[1], in_flight=2))
    seen = observed(2, in_flight=3, pods=pods, workers=workers)
    told = render_status(a_round(seen, the_spec=spec(QUIET | {"maxReplicas": 1})), {})
    assert told.status["reason"] == "Draining"
    assert "1 of 2 pods are draining and still hold 1 task;" in told.status["message"]
    assert reasons(told) == ["DrainStarted"]
    assert "finish their tasks first" in told.events[0].message
    assert "p0" not in told.events[0].message, "so that drains are counted up, of all pods alike"
    assert conditions(told)["Draining"]["message"] == "finishing their tasks: p0"
    assert told.status["replicas"]["draining"] == 1
    assert next(iter(sorted(told.status))) == "brief", "kubectl describe sorts by name"


@pytest.mark.parametrize(
    ("seen", "the_spec", "reason"),
    [
        (observed(0), spec(QUIET), "Idle"),
        (observed(0, workload=None), spec(QUIET), "WorkloadMissing"),
        (observed(1, queued=5), spec(QUIET), "Working"),
        (observed(0, queued=5), spec(QUIET), "ScalingUp"),
        (observed(1, queued=5, workload=deployment(1, existing=0)), spec(), "StartingWorkers"),
        (observed(10, queued=999), spec(), "AtMaxReplicas"),
        (observed(0, queued=1), spec({"activationThreshold": 2}), "BelowThreshold"),
        (observed(3, queued=5), spec(paused=True), "Paused"),
        (observed(3, queued=5), spec(pausedReplicas=3), "PausedAtReplicas"),
        (observed(1, queued=5), spec(pausedReplicas=3), "ScalingUp"),
        (observed(1, queued=99), spec({"scaleUp": {"paused": True}}), "ScaleUpPaused"),
        (observed(3), spec({"scaleDown": {"paused": True}}), "ScaleDownPaused"),
        (observed(1, queued=5), spec({"scaleDown": {"paused": True}}), "Working"),
        (observed(3, conflict="HPA x scales it too"), spec(), "Conflicting"),
    ],
)
def test_one_word(seen, the_spec, reason):
    assert render_status(a_round(seen, the_spec=the_spec), {}).status["reason"] == reason


def test_only_words_are_worth_a_write_at_once():
    now = a_round(observed(1, queued=5, in_flight=2))
    before = render_status(now, {})
    depth = Depth(queued=4, in_flight=3)
    moved = render_status(replace(now, seen=with_trigger(now.seen, depth=depth)), before.status)
    assert moved.fingerprint == before.fingerprint
    assert moved.status["tasks"] != before.status["tasks"]


def test_which_node_of_a_cluster_was_tried_last_is_not_worth_a_write():
    def told(trouble, message, previous):
        source = Source(trouble, message, 4)
        return render_status(a_round(observed(2, depth=None, source=source)), previous)

    first = told(SourceTrouble.UNREACHABLE, "node a refuses", {})
    other = told(SourceTrouble.UNREACHABLE, "node b refuses", first.status)
    assert other.fingerprint == first.fingerprint
    assert conditions(other)["RedisReachable"]["message"] == "node b refuses"
    wrong_ca = told(SourceTrouble.TLS_FAILED, "unknown authority", other.status)
    expired = told(SourceTrouble.TLS_FAILED, "has expired", wrong_ca.status)
    assert expired.fingerprint != wrong_ca.fingerprint, "this says what to mend next"


def test_what_is_paused_is_told_also_while_it_makes_no_difference():
    for more, reason in (
        ({"paused": True}, "SpecPaused"),
        ({"pausedReplicas": 1}, "PausedAtReplicas"),
        ({"scaling": {"scaleUp": {"paused": True}}}, "ScaleUpPaused"),
    ):
        told = render_status(a_round(observed(1, queued=1), the_spec=spec(**more)), {})
        found = conditions(told)["Paused"]
        assert (found["status"], found["reason"]) == ("True", reason)


INVALID = Round(500.0, 4, WORKLOAD, problem=Cause("InvalidSpec", "spec: wrong"))
NOT_LOOKED_AT = {
    *("RedisReachable", "WorkloadFound", "Active", "ScalingLimited", "Draining"),
    *("Paused", "Conflicting"),
    "WorkersReady",
    "ReplicasChangedByOthers",
    "QueueShared",
    "EntriesUnreadable",
}


def test_what_was_not_looked_at_is_unknown():
    told = render_status(INVALID, {})
    unknown = {kind for kind, c in conditions(told).items() if c["status"] == "Unknown"}
    assert unknown == NOT_LOOKED_AT
    assert {conditions(told)[kind]["reason"] for kind in unknown} == {"NotObserved"}
    assert reasons(told) == ["InvalidSpec"]


def test_idle_pods_that_go_are_not_said_to_finish_anything():
    pods = (pod("p0"), pod("p1"))
    seen = observed(2, pods=pods, workers=tuple(worker(each) for each in pods))
    told = render_status(a_round(seen, the_spec=spec(QUIET | {"maxReplicas": 1})), {})
    assert "hold no task" in told.status["message"]
    assert conditions(told)["Draining"]["message"] == "idle, about to end: p0, p1"
    (event,) = told.events
    assert (event.reason, "finish" in event.message) == ("DrainStarted", False)


@pytest.mark.parametrize("draining_in", [(), ("mrz",)])
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("paused", [False, True])
def test_the_number_of_those_who_drain_and_the_condition_agree(draining_in, most, paused):
    """Also for workers that are called back with this round, or that nobody calls back."""
    pods = (pod("p0"), pod("p1"))
    first, second = (worker(each, in_flight=1) for each in pods)
    seen = observed(
        2, in_flight=2, pods=pods, workers=(replace(first, draining_in=draining_in), second)
    )
    told = render_status(
        a_round(seen, the_spec=spec(QUIET | {"maxReplicas": most}, paused=paused)), {}
    )
    drains = conditions(told)["Draining"]["status"] == "True"
    assert drains == (told.status["replicas"]["draining"] > 0)


def test_without_redis_nobody_knows_who_drains():
    pods = (pod("p0"), pod("p1"))
    workers = (worker(pods[0], in_flight=1, draining_in=("mrz",)), worker(pods[1], in_flight=2))
    one = spec(QUIET | {"maxReplicas": 1})
    draining = render_status(
        a_round(observed(2, in_flight=3, pods=pods, workers=workers), None, one), {}
    )
    source = Source(SourceTrouble.UNREACHABLE, "no route", 4)
    away = render_status(
        a_round(observed(2, depth=None, source=source, pods=pods)), draining.status
    )
    assert conditions(away)["Draining"]["status"] == "Unknown"
    assert away.status["replicas"]["draining"] == 1
    again = a_round(observed(2, in_flight=3, pods=pods, workers=workers), None, one)
    assert reasons(render_status(again, away.status)) == ["RedisRecovered"]


@pytest.mark.parametrize(
    ("seen", "event"),
    [
        (observed(3, conflict="HPA x scales it too"), "ConflictingAutoscaler"),
        (
            observed(2, depth=None, source=Source(SourceTrouble.AUTH_FAILED, "wrong", 5)),
            "RedisAuthFailed",
        ),
        (observed(0, workload=None), "WorkloadMissing"),
    ],
)
def test_what_was_so_before_it_was_unknown_is_no_news(seen, event):
    before = render_status(a_round(seen), {})
    assert reasons(before) == [event]
    unknown = render_status(INVALID, before.status)
    assert reasons(unknown) == ["InvalidSpec"]
    assert reasons(render_status(a_round(seen), unknown.status)) == []


def test_redis_may_recover_while_nobody_looks():
    down = observed(2, depth=None, source=Source(SourceTrouble.UNREACHABLE, "no route", 4))
    unknown = render_status(INVALID, render_status(a_round(down), {}).status)
    assert reasons(render_status(a_round(observed(2)), unknown.status)) == ["RedisRecovered"]
    assert reasons(render_status(a_round(observed(2)), render_status(INVALID, {}).status)) == []


def test_nothing_stored_is_empty():
    def values(node):
        if isinstance(node, dict):
            for child in node.values():
                yield from values(child)
        else:
            yield node

    assert None not in list(values(render_status(a_round(observed(0)), {}).status))


def test_the_patch_holds_what_changed():
    before = {"a": 1, "b": {"x": 1, "y": 2}, "c": [1], "gone": 1}
    after = {"a": 1, "b": {"x": 1, "z": 3}, "c": [2]}
    assert difference(before, after) == {"b": {"y": None, "z": 3}, "c": [2], "gone": None}
    assert difference(after, after) == {}


# --- what the documentation says ------------------------------------------------------------------

DOCS = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()
A_REASON = re.compile("[A-Z][a-z]+[A-Z][A-Za-z]+")


def constants(node: ast.AST) -> set[str]:
    """The texts in a piece of source that look like a reason."""
    found = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    return {text for text in found if isinstance(text, str) and A_REASON.fullmatch(text)}


def sources(room: str) -> Iterator[ast.AST]:
    for file in (Path(identtqueue_operator.__file__).parent / room).rglob("*.py"):
        yield from ast.walk(ast.parse(file.read_text()))


def reasons_of_events() -> set[str]:
    """All that `status` sends by name, troubles of Redis and workers, problems of a round."""
    found = {str(word) for word in (*SourceTrouble, *WorkerTrouble, *Problem)}
    for node in sources("status"):
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_events"):
            found |= constants(node)
    return found - {"RedisReachable", "WorkloadFound", "WorkersReady"}  # names of conditions


def table_row(start: str) -> set[str]:
    (row,) = [line for line in DOCS.splitlines() if line.startswith(f"| {start} |")]
    return set(A_REASON.findall(row)) - {start.strip("`")}


def test_the_documentation_lists_every_event():
    topics = ("scaling", "tasks", "workers", "Redis", "the resource, its Deployment")
    listed = set[str]().union(*(table_row(topic) for topic in topics))
    assert listed == reasons_of_events()


def test_the_documentation_lists_every_trouble():
    assert table_row("`RedisReachable`") == {str(trouble) for trouble in SourceTrouble}
    assert table_row("`WorkersReady`") == {str(trouble) for trouble in WorkerTrouble}
    assert table_row("`WorkloadFound`") == {str(problem) for problem in WORKLOAD_PROBLEMS}


def test_the_documentation_lists_every_limit_in_its_order():
    """The table says in which order the limits apply; so does the enumeration."""
    table = DOCS.partition("| when | limits |")[2].partition("\n\n")[0]
    assert re.findall("`([A-Za-z]+)`", table) == [str(limit) for limit in Limit]


@pytest.mark.parametrize("room", ["policy", "rounds", "status", "workload"])
def test_no_limit_and_no_trouble_is_named_by_a_bare_word(room):
    words = {str(word) for word in (*Limit, *SourceTrouble, *WorkerTrouble, *Problem)}
    found = {n.value for n in sources(room) if isinstance(n, ast.Constant)}
    a_condition = {"ReplicasChangedByOthers"}
    assert {text for text in found if text in words} - a_condition == set()


def test_every_limit_and_every_trouble_can_occur():
    rooms = ("policy", "queues", "rounds", "workload")
    names = {n.attr for room in rooms for n in sources(room) if isinstance(n, ast.Attribute)}
    assert {word.name for word in (*Limit, *SourceTrouble, *WorkerTrouble, *Problem)} <= names
