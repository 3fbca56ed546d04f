"""Who goes in the orders of other kinds than the Deployment."""

from dataclasses import replace

import pytest

from identtqueue_operator.model import Key, Memory, Owner, RemovalOrder, WorkloadKey
from identtqueue_operator.policy.decide import FOLLOW_SECONDS, decide
from identtqueue_operator.policy.drain import plan_drain, waits_for_rollout
from identtqueue_operator.workload.kind import REPLICA_SET
from identtqueue_operator.workload.members import Members, complete
from testing.taskqueues import deployment, observed, pod, spec, worker

POOL = WorkloadKey("ns", "pool", "example.com", "WorkerPool")
SCALING = {"concurrencyPerReplica": 1, "scaleDown": {"stabilizationSeconds": 0, "idleSeconds": 0}}


def fleet(*loads, removal, told=(), **more):
    """Pods with ordinals, with one worker each that holds so many tasks."""
    pods = tuple(replace(pod(f"p-{i}"), key=Key("ns", f"p-{i}")) for i in range(len(loads)))
    workers = tuple(
        worker(p, in_flight=load, draining_in=("mrz",) if i in told else ())
        for i, (p, load) in enumerate(zip(pods, loads, strict=True))
    )
    more.setdefault("replicas", len(loads))
    workload = replace(deployment(len(loads)), key=POOL, path="/pool", removal=removal, **more)
    return observed(in_flight=sum(loads), pods=pods, workers=workers, workload=workload)


def stopped(plan):
    return [w.host for w in plan.stop]


def test_of_an_unknown_order_all_are_told_when_nobody_is_busy_and_nobody_before():
    unknown = RemovalOrder.UNKNOWN
    assert not plan_drain(1, fleet(0, 1, 0, removal=unknown), set()).stop
    assert stopped(plan_drain(1, fleet(0, 0, 0, removal=unknown), set())) == ["p-0", "p-1", "p-2"]
    partly = plan_drain(1, fleet(0, 0, 0, removal=unknown, told=(0, 1)), set())
    assert (stopped(partly), partly.replicas) == (["p-2"], None)
    assert plan_drain(1, fleet(0, 0, 0, removal=unknown, told=(0, 1, 2)), set()).replicas == 1


def test_one_that_was_told_and_got_a_task_before_calls_the_others_back():
    plan = plan_drain(1, fleet(0, 0, 1, removal=RemovalOrder.UNKNOWN, told=(0, 1, 2)), set())
    assert plan.replicas is None
    assert [w.host for w in plan.call_back] == ["p-0", "p-1", "p-2"]


@pytest.mark.parametrize(("elapsed", "back"), [(FOLLOW_SECONDS - 1, 0), (FOLLOW_SECONDS + 1, 3)])
def test_a_controller_that_does_not_follow_keeps_nobody_from_fetching_for_long(elapsed, back):
    seen = fleet(0, 0, 0, removal=RemovalOrder.UNKNOWN, told=(0, 1, 2), replicas=1, existing=3)
    memory = Memory(lowered=True, scaled_at=seen.steady - elapsed)
    decision, _ = decide(spec({**SCALING, "minReplicas": 1}), seen, memory)
    assert len(decision.drain.call_back) == back


def test_one_by_one_only_the_highest_is_told_and_the_next_when_it_is_gone():
    ordered = {"removal": RemovalOrder.HIGHEST_ORDINAL, "one_by_one": True}
    assert stopped(plan_drain(0, fleet(0, 0, 0, **ordered), set())) == ["p-2"]
    assert plan_drain(0, fleet(0, 0, 0, told=(2,), **ordered), set()).replicas == 2
    lowered = fleet(0, 0, 0, told=(2,), replicas=2, **ordered)
    plan = plan_drain(0, lowered, set(), lowered=True)
    assert (stopped(plan), plan.replicas, plan.call_back) == ([], None, ())
    ending = (*lowered.pods[:2], replace(lowered.pods[2], deleting=True))
    gone = replace(
        lowered,
        pods=ending,
        workload=replace(lowered.workload, existing=2),
        workers=lowered.workers,
    )
    assert stopped(plan_drain(0, gone, set())) == ["p-1"]


def test_in_parallel_the_number_follows_down_to_the_busiest():
    parallel = {"removal": RemovalOrder.HIGHEST_ORDINAL}
    seen = fleet(0, 1, 0, 0, told=(0, 1, 2, 3), **parallel)
    assert plan_drain(0, seen, set()).replicas == 2
    assert plan_drain(0, seen, {"uid-p-1"}).replicas == 2, "its time is over, but it is unmarked"
    marked = tuple(replace(p, draining_since=1.0) for p in seen.pods)
    assert plan_drain(0, replace(seen, pods=marked), {"uid-p-1"}).replicas == 0


def test_several_replicasets_of_a_kind_of_its_own_are_a_rollout():
    seen = fleet(0, 0, 0, removal=RemovalOrder.UNKNOWN, counts_ending=True)
    old, new = Owner("old", "pool-1", *REPLICA_SET), Owner("new", "pool-2", *REPLICA_SET)
    pods = tuple(
        replace(p, owner=owner) for p, owner in zip(seen.pods, (old, old, new), strict=True)
    )
    workload = complete(seen.workload, Members(pods, removal=RemovalOrder.NOT_READY_FIRST), None)
    assert workload.removal is RemovalOrder.NOT_READY_FIRST
    assert waits_for_rollout(1, replace(seen, workload=workload, pods=pods))


def test_what_the_taskqueue_says_of_the_order_counts():
    seen = fleet(0, removal=RemovalOrder.UNKNOWN, counts_ending=True)
    given = complete(seen.workload, Members(seen.pods), RemovalOrder.HIGHEST_ORDINAL)
    assert (given.removal, given.one_by_one) == (RemovalOrder.HIGHEST_ORDINAL, True)
