"""Several triggers, pure: the largest number counts, and nobody shrinks blindly."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identtqueue_operator.api.v1alpha1 import (
    RESERVED_NAME,
    SHARED_SLOTS,
    WORKER_LOGIN_NEEDS_TEMPLATE,
)
from identtqueue_operator.metrics import Meter, Snapshot
from identtqueue_operator.model import (
    Depth,
    Key,
    Memory,
    Observed,
    Source,
    SourceTrouble,
    Traffic,
    Trigger,
)
from identtqueue_operator.policy.decide import choose, decide
from identtqueue_operator.policy.drain import VICTIM_COST
from identtqueue_operator.policy.evidence import find_dead
from identtqueue_operator.status.render import render_status
from identtqueue_operator.status.round import Round
from identtqueue_operator.workload.template import render
from testing.taskqueues import WORKLOAD, observed, pod, spec, worker

PROPERTY = settings(max_examples=100, deadline=None)
AWAY = Source(SourceTrouble.UNREACHABLE, "no answer", 9.0, trusted_seconds=0.0)
QUICK = {
    "maxReplicas": 1000,
    "concurrencyPerReplica": 1,
    "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0},
}
NAMES = ("main", "asia", "eu", "us")


def the_spec(others, scaling=None, **more):
    """`others`: concurrency per replica of each trigger beside the main one, by its name."""
    triggers = [
        {
            "name": name,
            "queues": [{"name": "mrz"}],
            "redis": {"address": f"{name}:6379"},
            "concurrencyPerReplica": slots,
        }
        for name, slots in others.items()
    ]
    return spec(QUICK | (scaling or {}), triggers=triggers, **more)


def looking(current: int, depths: dict[str, Depth | None], **more) -> Observed:
    """A look at some triggers; None: the Redis of this one gives no answer."""
    triggers = tuple(
        Trigger(name, ("mrz",), name, AWAY if depth is None else Source(), depth)
        for name, depth in depths.items()
    )
    known = [depth for depth in depths.values() if depth is not None]
    total = Depth(
        queued=sum(depth.queued for depth in known), in_flight=sum(d.in_flight for d in known)
    )
    seen = observed(current, **more)
    return replace(seen, triggers=triggers, depth=total if known else None)


DEPTHS = st.builds(Depth, queued=st.integers(0, 50), in_flight=st.integers(0, 50))
TRIGGERS = st.lists(
    st.tuples(DEPTHS, st.integers(1, 7), st.booleans()), min_size=len(NAMES), max_size=len(NAMES)
).map(lambda found: dict(zip(NAMES, found, strict=True)))
"""(depth, slots, whether it can be read) of each trigger."""


def in_order(triggers, names=NAMES):
    others = {name: triggers[name][1] for name in names if name != "main"}
    scaling = {"concurrencyPerReplica": triggers["main"][1]}
    depths = {name: triggers[name][0] if triggers[name][2] else None for name in ("main", *others)}
    return the_spec(others, scaling), depths


# --- the number -----------------------------------------------------------------------------------


def starts(current, depths):
    """A workload at zero starts for tasks that wait, not for those that some lost worker holds."""
    return current > 0 or any(depth.queued for depth in depths.values() if depth is not None)


@PROPERTY
@given(TRIGGERS, st.integers(0, 60))
def test_the_largest_number_counts(triggers, current):
    triggers = {name: (depth, slots, True) for name, (depth, slots, _) in triggers.items()}
    wished = {name: math.ceil(depth.demand / slots) for name, (depth, slots, _) in triggers.items()}
    of_all, depths = in_order(triggers)
    target, _ = choose(of_all, looking(current, depths), Memory(), current)
    assert dict(target.wishes) == wished
    assert wished[target.trigger] == max(wished.values())
    assert target.replicas == (max(wished.values()) if starts(current, depths) else 0)
    assert f"trigger {target.trigger}: ceil(" in target.message
    for name, wish in wished.items():
        assert name == target.trigger or f"{name} {wish}" in target.message


@PROPERTY
@given(TRIGGERS, st.integers(0, 60), st.permutations(NAMES))
def test_the_order_of_triggers_makes_no_difference(triggers, current, names):
    def found(names):
        the, depths = in_order(triggers, names)
        target, _ = choose(the, looking(current, depths), Memory(), current)
        return replace(target, wishes=(), message=""), sorted(target.wishes)

    assert found(names) == found(NAMES)


@PROPERTY
@given(TRIGGERS, st.integers(0, 60), st.sampled_from(["Hold", "Max"]))
def test_a_blind_trigger_never_shrinks_and_the_others_grow(triggers, current, policy):
    of_all, depths = in_order(triggers)
    more = {"onSourceError": {"policy": policy, "afterFailures": 1}, "pollPeriodSeconds": 1}
    of_all = of_all.model_copy(update={"scaling": spec(QUICK | more).scaling})
    pods = tuple(pod(f"p{number}") for number in range(current))
    workers = tuple(worker(each) for each in pods)
    decision, _ = decide(of_all, looking(current, depths, pods=pods, workers=workers), Memory())
    blind = [name for name, depth in depths.items() if depth is None]
    wished = [wish.replicas for wish in decision.target.wishes if starts(current, depths)]
    if not blind:
        return
    least = current if policy == "Hold" else 1000
    assert decision.target.replicas == max([current, least, *wished])
    assert decision.scale_to is None or decision.scale_to > current
    assert (decision.drain.stop, decision.drain.mark, decision.drain.replicas) == ((), (), None)
    pattern = r"no data from triggers? ([a-z, ]+) \(no answer\)"
    (said,) = re.findall(pattern, decision.target.message)
    assert said.split(", ") == blind


def test_which_one_holds_is_said():
    seen = looking(5, {"main": Depth(queued=2), "eu": None})
    target, _ = choose(the_spec({"eu": 1}), seen, Memory(), 5)
    assert (target.replicas, target.reason, target.trigger) == (5, "NoData", "eu")
    assert target.limited_by == ("SourceError",)
    assert target.message == (
        "trigger main: ceil((2 queued + 0 in flight) / 1 per replica) = 2; "
        "no data from trigger eu (no answer) makes it 5"
    )
    grown, _ = choose(
        the_spec({"eu": 1}), looking(1, {"main": Depth(queued=2), "eu": None}), Memory(), 1
    )
    assert (grown.replicas, grown.reason, grown.trigger) == (2, "BacklogAboveTarget", "main")
    assert grown.limited_by == ()


def test_what_was_held_counts_as_wanted_for_a_while():
    """The Redis that was away may have had work for all of them."""
    the = the_spec({"eu": 1}, {"scaleDown": {"stabilizationSeconds": 60, "idleSeconds": 0}})
    away = looking(5, {"main": Depth(queued=1), "eu": None}, at=1000.0)
    _, memory = decide(the, away, Memory())
    for at, replicas in ((1030.0, 5), (1061.0, 1)):
        back = looking(5, {"main": Depth(queued=1), "eu": Depth()}, at=at)
        target, _ = choose(the, back, memory, 5)
        assert target.replicas == replicas


def test_a_pause_at_a_number_waits_for_a_blind_trigger():
    seen = looking(3, {"main": Depth(), "eu": None})
    target, _ = choose(the_spec({"eu": 1}, pausedReplicas=1), seen, Memory(), 3)
    assert (target.replicas, target.limited_by) == (3, ("SourceError",))
    target, _ = choose(the_spec({"eu": 1}, pausedReplicas=4), seen, Memory(), 3)
    assert target.replicas == 4


def test_each_trigger_has_its_own_strategy_and_traffic():
    slow = {"type": "WaitTime", "waitTime": {"targetSeconds": 60}}
    triggers = [
        {"name": "eu", "queues": [{"name": "ocr"}], "strategy": slow, "concurrencyPerReplica": 2},
        {"name": "as-main", "queues": [{"name": "mrz"}]},
    ]
    the = spec(QUICK | {"strategy": {"backlog": {"tasksPerReplica": 10}}}, triggers=triggers)
    depths = {"main": Depth(queued=30), "eu": Depth(enqueued_total=0), "as-main": Depth(queued=11)}
    busy = Traffic(1000.0, 0, 0, 0, arrivals_per_second=10.0, service_seconds=1.0, arrived_at=1e3)
    target, memory = choose(the, looking(0, depths), Memory(traffic={"eu": busy}), 0)
    assert dict(target.wishes) == {"main": 3, "eu": 5, "as-main": 2}
    assert (target.reason, target.trigger) == ("WaitTimeAboveTarget", "eu")
    _, memory = decide(the, looking(0, depths), Memory(traffic={"eu": busy, "gone": busy}))
    assert set(memory.traffic) == {"main", "eu", "as-main"}


# --- draining -------------------------------------------------------------------------------------


def draining(told: int, depths, lowered=False, **more):
    """Four pods, some of which drain."""
    pods = tuple(
        pod(f"p{number}", draining_since=900.0, deletion_cost=VICTIM_COST)
        if number < told
        else pod(f"p{number}")
        for number in range(4)
    )
    workers = tuple(
        worker(each, draining_in=("mrz",) if each.draining_since else ()) for each in pods
    )
    seen = looking(4, depths, pods=pods, workers=workers)
    return decide(the_spec({"eu": 1}), seen, Memory(lowered=lowered, **more))[0].drain


@pytest.mark.parametrize(("queued", "back"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (9, 2)])
def test_while_one_is_blind_only_those_come_back_that_the_others_need(queued, back):
    drain = draining(2, {"main": Depth(queued=queued), "eu": None})
    assert (len(drain.call_back), len(drain.unmark)) == (back, back)
    assert (drain.stop, drain.mark, drain.advance, drain.replicas) == ((), (), (), None)


def test_a_worker_is_told_in_each_redis_where_it_is_registered():
    a_pod = pod("p0")
    rows = (worker(a_pod), worker(a_pod, worker_id="other", trigger="eu"))
    seen = looking(1, {"main": Depth(), "eu": Depth()}, pods=(a_pod,), workers=rows)
    drain = decide(the_spec({"eu": 1}), seen, Memory())[0].drain
    assert {w.trigger for w in drain.stop} == {"main", "eu"}
    half = replace(rows[0], draining_in=("mrz",))
    seen = replace(seen, workers=(half, rows[1]))
    drain = decide(the_spec({"eu": 1}), seen, Memory())[0].drain
    assert [w.trigger for w in drain.stop] == ["eu"]
    assert drain.replicas is None
    seen = replace(seen, workers=(half, replace(rows[1], draining_in=("mrz",))))
    assert decide(the_spec({"eu": 1}), seen, Memory())[0].drain.replicas == 0


# --- evidence -------------------------------------------------------------------------------------


def test_each_redis_is_a_witness_for_itself():
    gone = pod("p0", gone_at=990.0, containers=())
    here = worker(gone, connected=False)
    there = worker(gone, worker_id="other", connected=True, trigger="eu")
    both = {"main": Depth(), "eu": Depth()}
    seen = looking(1, both, pods=(gone,), workers=(here, there))
    assert [death.worker for death in find_dead(seen, 15).deaths] == [here]
    fresh = replace(seen.triggers[1], source=Source(trusted_seconds=3))
    seen = replace(seen, triggers=(seen.triggers[0], fresh))
    closed = replace(there, connected=False)
    assert [d.worker for d in find_dead(replace(seen, workers=(here, closed)), 15).deaths] == [here]
    late = tuple(replace(w, lease_left_seconds=-1.0) for w in (here, closed))
    assert find_dead(replace(seen, workers=late), 15).leases_expired == {"main"}


# --- looking --------------------------------------------------------------------------------------


def test_a_pod_that_only_a_blind_redis_may_know_is_no_stranger():
    settled = pod("p0", ready_since=1.0)
    seen = looking(1, {"main": Depth(), "eu": None}, pods=(settled,))
    decision, _ = decide(the_spec({"eu": 1}), seen, Memory(strange=True))
    assert not decision.health.trouble
    seen = looking(1, {"main": Depth(), "eu": Depth()}, pods=(settled,))
    decision, _ = decide(the_spec({"eu": 1}), seen, Memory(strange=True))
    assert decision.health.reason == "NoWorkerRegistered"


def test_a_queue_of_the_same_name_elsewhere_is_another_queue():
    settled = pod("p0", ready_since=1.0)
    both = {"main": Depth(), "eu": Depth()}
    seen = looking(1, both, pods=(settled,), workers=(worker(settled),))
    decision, _ = decide(the_spec({"eu": 1}), seen, Memory())
    assert decision.health.reason == "QueueNotServed"


# --- what is told ---------------------------------------------------------------------------------


def told(seen, previous=None):
    decision, _ = decide(the_spec({"eu": 1}), seen, Memory())
    return render_status(Round(seen.at, 1, WORKLOAD, seen=seen, decision=decision), previous or {})


def test_the_status_names_each_trigger_and_the_one_that_decides():
    both = {"main": Depth(queued=2), "eu": Depth(queued=3, in_flight=1, oldest_wait_seconds=7.6)}
    first = told(looking(0, both))
    assert first.status["decidedBy"] == "eu"
    assert first.status["triggersReachable"] == "2/2"
    assert first.status["triggers"] == [
        {"name": "main", "reachable": True, "desired": 2, "queued": 2, "inFlight": 0},
        {"name": "eu", "reachable": True, "desired": 4, "queued": 3, "inFlight": 1}
        | {"oldestWaitSeconds": 7},
    ]
    then = told(looking(4, both | {"eu": None}), first.status)
    assert then.status["triggersReachable"] == "1/2"
    assert then.status["triggers"][1] == {"name": "eu", "reachable": False, "message": "no answer"}
    conditions = {each["type"]: each for each in then.status["conditions"]}
    assert conditions["RedisReachable"]["message"] == "trigger eu: no answer"
    assert conditions["Ready"]["status"] == "False"
    assert then.fingerprint != first.fingerprint


def test_one_trigger_alone_is_not_listed():
    seen = observed(0)
    decision, _ = decide(spec(), seen, Memory())
    status = render_status(Round(seen.at, 1, WORKLOAD, seen=seen, decision=decision), {}).status
    assert not {"decidedBy", "triggersReachable", "triggers"} & status.keys()


def test_metrics_of_each_trigger():
    seen = looking(0, {"main": Depth(queued=2), "eu": None})
    decision, _ = decide(the_spec({"eu": 1}), seen, Memory())
    meter = Meter()
    meter.watch(lambda: [Snapshot(Key("ns", "tq"), True, "x", seen, decision)], lambda: 0.0)
    text = meter.exposition().decode()
    of = 'namespace="ns",taskqueue="tq"'
    assert f'identtqueue_operator_trigger_reachable{{{of},trigger="eu"}} 0.0' in text
    assert f'identtqueue_operator_trigger_tasks_queued{{{of},trigger="main"}} 2.0' in text
    assert f'identtqueue_operator_trigger_replicas_desired{{{of},trigger="main"}} 2.0' in text
    assert 'trigger_tasks_queued{namespace="ns",taskqueue="tq",trigger="eu"}' not in text
    assert f"identtqueue_operator_redis_reachable{{{of}}} 0.0" in text


# --- the resource ---------------------------------------------------------------------------------

SHARED = {"name": "more", "queues": [{"name": "ocr"}]}
FAR = {"name": "eu", "queues": [{"name": "mrz"}], "redis": {"address": "eu:6379"}}


def with_template(*triggers, containers=("worker",)):
    pods = {"containers": [{"name": name, "image": "app"} for name in containers]}
    changes = {"workloadRef": None, "template": {"spec": pods}, "triggers": list(triggers)}
    return spec({"concurrencyPerReplica": 4}, **changes)


@pytest.mark.parametrize(
    ("given_spec", "problem"),
    [
        (spec(triggers=[SHARED, SHARED]), "triggers must have different names"),
        (spec(triggers=[SHARED | {"name": "main"}]), f"trigger main: {RESERVED_NAME}"),
        (spec(triggers=[SHARED | {"name": "worker"}]), f"trigger worker: {RESERVED_NAME}"),
        (
            spec(triggers=[SHARED | {"queues": [{"name": "a"}, {"name": "a"}]}]),
            "trigger more: queues must have different names",
        ),
        (
            spec(triggers=[SHARED | {"strategy": {"type": "WaitTime"}}]),
            "trigger more: type WaitTime needs waitTime, and only it may have it",
        ),
        (
            spec(triggers=[FAR | {"redis": {"address": "eu:99999"}}]),
            "trigger eu: ",
        ),
        (
            with_template(SHARED | {"concurrencyPerReplica": 2}),
            f"trigger more: {SHARED_SLOTS}",
        ),
        (
            spec(
                triggers=[
                    FAR
                    | {
                        "redis": {
                            "address": "eu:6379",
                            "workerCredentialsSecretRef": {"name": "workers"},
                        }
                    }
                ]
            ),
            WORKER_LOGIN_NEEDS_TEMPLATE,
        ),
        (
            with_template(FAR, containers=("eu",)),
            "template has no container for the first trigger",
        ),
    ],
)
def test_what_is_refused(given_spec, problem):
    assert any(found.startswith(problem) for found in given_spec.problems())


@pytest.mark.parametrize(
    "given_spec",
    [
        spec(triggers=[SHARED | {"concurrencyPerReplica": 2}, FAR]),
        with_template(SHARED, FAR),
        with_template(SHARED | {"concurrencyPerReplica": 2}, containers=("worker", "more")),
        with_template(FAR | {"concurrencyPerReplica": 2}),
    ],
)
def test_what_is_allowed(given_spec):
    assert given_spec.problems() == []


def variables(container):
    return {
        each["name"].removeprefix("IDENTTQUEUE_"): each.get("value") for each in container["env"]
    }


def test_a_template_has_a_worker_for_each_trigger_with_a_container():
    login = {"credentialsSecretRef": {"name": "redis", "passwordKey": "eu"}}
    far = FAR | {"redis": {"address": "eu:6379"} | login, "concurrencyPerReplica": 2}
    the = with_template(SHARED, far, containers=("eu", "sidecar", "worker"))
    the = the.model_copy(
        update={"redis": the.redis.model_validate({"address": "redis:6379"} | login)}
    )
    pods = render(Key("ns", "tq"), "uid", the, 1)["spec"]["template"]["spec"]
    eu, sidecar, main = pods["containers"]
    assert sidecar == {"name": "sidecar", "image": "app"}
    found = variables(main)
    assert (found["QUEUES"], found["CONCURRENCY"], found["HTTP_PORT"]) == ("mrz,ocr", "4", "8080")
    assert found["REDIS_ADDRESS"] == "redis://redis:6379"
    found = variables(eu)
    assert (found["QUEUES"], found["CONCURRENCY"], found["HTTP_PORT"]) == ("mrz", "2", "8081")
    assert (found["REDIS_ADDRESS"], found["CONTAINER"]) == ("redis://eu:6379", "eu")
    assert eu["readinessProbe"]["httpGet"]["port"] == 8081
    names = [port["name"] for each in (eu, main) for port in each["ports"]]
    assert len(set(names)) == 2
    (volume,) = pods["volumes"]
    assert volume["secret"]["items"] == [{"key": "eu", "path": "eu"}]
    assert len(eu["volumeMounts"]) == len(main["volumeMounts"]) == 1


def test_a_workload_without_triggers_has_the_deployment_that_it_had():
    before = render(Key("ns", "tq"), "uid", with_template(), 1)
    assert "http" in [port["name"] for port in _container(before)["ports"]]
    assert variables(_container(before))["QUEUES"] == "mrz"


def _container(rendered):
    return rendered["spec"]["template"]["spec"]["containers"][0]
