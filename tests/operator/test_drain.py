"""Shrinking without ending a busy worker."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from identtqueue_operator.model import DrainPlan, Owner
from identtqueue_operator.policy.drain import (
    FIRST_COST,
    VICTIM_COST,
    drains_since,
    has_followed,
    plan_drain,
    waits_for_rollout,
)
from identtqueue_operator.policy.victims import replicaset_order
from identtqueue_operator.workload.kind import REPLICA_SET
from testing.taskqueues import deployment, observed, pod, worker


def fleet(*loads, **more):
    """Pods with one worker each, holding so many tasks."""
    pods = tuple(pod(f"p{i}", created_at=float(i)) for i in range(len(loads)))
    workers = tuple(worker(p, in_flight=n) for p, n in zip(pods, loads, strict=True))
    return observed(len(loads), pods=pods, workers=workers, **more)


def told(seen, *names, marked=True):
    """The same, after these were told to stop and marked."""
    workers = tuple(replace(w, draining_in=w.queues * (w.host in names)) for w in seen.workers)
    pods = tuple(
        replace(p, deletion_cost=VICTIM_COST, draining_since=990.0)
        if marked and p.key.name in names
        else p
        for p in seen.pods
    )
    return replace(seen, workers=workers, pods=pods)


def planned(target, seen, timeout_seconds, **more):
    """The plan, with the time of each drain counted from its mark."""
    since = drains_since({}, seen)
    late = {uid for uid, at in since.items() if seen.steady - at >= timeout_seconds}
    return plan_drain(target, seen, late, **more)


def names(pods):
    return [p.key.name for p in pods]


def hosts(workers):
    return [w.host for w in workers]


def test_the_idlest_go_and_are_told_first():
    plan = planned(2, fleet(3, 0, 1, 2), 600)
    assert names(plan.victims) == ["p1", "p2"]
    assert hosts(plan.stop) == ["p1", "p2"]
    assert names(plan.mark) == ["p1", "p2"]
    assert plan.replicas is None  # nobody is known to have stopped yet


def test_the_number_is_lowered_once_they_hold_nothing():
    assert planned(1, told(fleet(3, 0), "p1"), 600).replicas == 1


def test_a_busy_victim_holds_the_number_up_and_an_empty_one_goes_before_it():
    seen = told(fleet(3, 0, 1), "p1", "p2")
    plan = planned(1, seen, 600)
    # To the ReplicaSet both victims are equal; the younger one, which is busy, would go.
    assert plan.replicas is None
    assert names(plan.advance) == ["p1"]
    advanced = replace(seen.pods[1], deletion_cost=FIRST_COST)
    seen = replace(seen, pods=(seen.pods[0], advanced, seen.pods[2]))
    plan = planned(1, seen, 600)
    assert plan.replicas == 2
    assert plan.advance == ()


def test_victims_that_are_all_empty_go_together_without_another_mark():
    plan = planned(1, told(fleet(3, 0, 0), "p1", "p2"), 600)
    assert (plan.replicas, plan.advance) == (1, ())


def test_an_advanced_pod_that_is_wanted_again_is_unmarked():
    seen = told(fleet(1, 0), "p1")
    advanced = replace(seen.pods[1], deletion_cost=FIRST_COST)
    plan = planned(2, replace(seen, pods=(seen.pods[0], advanced)), 600)
    assert names(plan.unmark) == ["p1"]


def test_a_busy_victim_goes_when_its_time_is_over():
    seen = told(fleet(3, 2), "p1")
    plan = planned(1, seen, 10)
    assert names(plan.timed_out) == ["p1"]
    assert plan.replicas == 1
    assert planned(1, seen, 11).replicas is None


def test_before_the_mark_shows_the_number_is_not_lowered():
    # The ReplicaSet might choose the busy one: both are ready, and cost the same.
    assert planned(1, told(fleet(3, 0), "p1", marked=False), 600).replicas is None


def test_one_that_is_not_ready_goes_before_the_marked_one_in_the_replicaset_order():
    seen = told(fleet(3, 0), "p1")
    seen = replace(seen, pods=(replace(seen.pods[0], ready=False), seen.pods[1]))
    assert planned(1, seen, 600).replicas is None


def test_work_that_returns_calls_workers_back():
    seen = told(fleet(1, 0, 0), "p1", "p2")
    plan = planned(2, seen, 600)
    assert names(plan.victims) == ["p2"]
    assert hosts(plan.call_back) == ["p1"]
    assert names(plan.unmark) == ["p1"]


def test_growing_calls_everybody_back():
    plan = planned(5, told(fleet(0, 0), "p0", "p1"), 600)
    assert hosts(plan.call_back) == ["p0", "p1"]
    assert plan.victims == ()
    assert plan.replicas is None


def test_after_the_number_was_lowered_the_victim_stays_told_until_it_is_gone():
    seen = replace(told(fleet(1, 0), "p1"), workload=deployment(1, existing=2))
    plan = planned(1, seen, 600)
    assert hosts(plan.call_back) == []
    assert names(plan.victims) == ["p1"]


def test_one_that_is_still_there_when_the_replicasets_have_followed_is_called_back():
    seen = replace(told(fleet(1, 0), "p1"), workload=deployment(2))
    assert hosts(planned(2, seen, 600).call_back) == ["p1"]


def test_the_wrong_one_went_so_the_chosen_one_is_called_back():
    seen = told(fleet(1, 0), "p1")
    gone = replace(seen.pods[0], deleting=True)
    seen = replace(seen, pods=(gone, seen.pods[1]), workload=deployment(1))
    assert hosts(planned(1, seen, 600).call_back) == ["p1"]


def test_pods_that_do_not_exist_yet_cost_nothing():
    seen = replace(fleet(1, 1), workload=deployment(10, existing=2))
    plan = planned(1, seen, 600)
    assert plan.replicas == 2  # the eight that were never made
    assert names(plan.victims) == ["p1"]


def test_pods_that_were_not_seen_yet_hold_the_number_up():
    seen = replace(told(fleet(0, 0), "p0", "p1"), workload=deployment(3, existing=3))
    assert planned(0, seen, 600).replicas is None


def test_a_starting_pod_goes_before_a_working_one():
    seen = fleet(0)
    starting = pod("new", ready=False, phase="Pending", created_at=9.0)
    seen = replace(seen, pods=(*seen.pods, starting), workload=deployment(2))
    plan = planned(1, seen, 600)
    assert names(plan.victims) == ["new"]
    assert plan.replicas == 1


def test_a_ready_pod_that_redis_does_not_know_goes_last():
    stranger = pod("stranger")
    seen = fleet(2)
    seen = replace(seen, pods=(*seen.pods, stranger), workload=deployment(2))
    assert names(planned(1, seen, 600).victims) == ["p0"]


def of_two_queues(seen, *told_in):
    """The same, where everybody works on two queues and the last one was told in some of them."""
    *others, last = (replace(w, queues=("q1", "q2")) for w in seen.workers)
    return replace(seen, workers=(*others, replace(last, draining_in=told_in)))


def test_a_worker_that_was_told_in_one_of_its_queues_is_told_in_the_other_and_not_yet_free():
    seen = of_two_queues(told(fleet(3, 0), "p1"), "q1")
    plan = planned(1, seen, 600)
    assert names(plan.victims) == ["p1"]
    assert hosts(plan.stop) == ["p1"]
    assert plan.replicas is None
    assert planned(1, of_two_queues(seen, "q1", "q2"), 600).replicas == 1


def test_a_worker_that_was_told_in_one_of_its_queues_is_chosen_first_and_called_back():
    seen = of_two_queues(fleet(1, 1, 1), "q2")
    assert names(planned(2, seen, 600).victims) == ["p2"]
    assert hosts(planned(3, seen, 600).call_back) == ["p2"]


def test_nothing_is_undone_while_redis_is_away():
    """Each failover would begin the time of every drain anew."""
    seen = replace(told(fleet(3, 2), "p1"), depth=None, workers=())
    assert planned(2, seen, 600) == DrainPlan()


def test_nothing_is_undone_before_all_pods_are_known():
    seen = replace(told(fleet(2, 1), "p1"), workload=deployment(9, existing=9))
    plan = planned(6, seen, 600)
    assert (plan.call_back, plan.unmark) == ((), ())
    plan = planned(6, replace(seen, workload=deployment(9, existing=2)), 600)
    assert (hosts(plan.call_back), names(plan.unmark)) == (["p1"], ["p1"])


def test_what_an_older_taskqueue_has_drained_is_its_own_business():
    seen = told(fleet(3, 2), "p1")
    assert hosts(planned(2, seen, 600).call_back) == ["p1"]  # another autoscaler
    assert planned(2, replace(seen, rival=True), 600) == DrainPlan()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.booleans(),
            st.booleans(),
            st.sampled_from([VICTIM_COST, FIRST_COST]),
        ),
        max_size=8,
    ),
    st.integers(0, 8),
)
def test_whatever_is_seen_nobody_who_holds_a_task_is_ended(rows, target):
    """The ReplicaSet's choice, once the number is lowered, never holds a task or may take one.

    Whichever it chooses of those that stand equal in its order.
    """
    pods = tuple(
        pod(f"p{i}", ready=ready, deletion_cost=cost if draining else 0)
        for i, (_, draining, ready, cost) in enumerate(rows)
    )
    workers = tuple(
        worker(p, in_flight=held, draining_in=("mrz",) * draining)
        for p, (held, draining, *_) in zip(pods, rows, strict=True)
    )
    seen = observed(len(rows), pods=pods, workers=workers)
    lowered = planned(target, seen, 600).replicas
    if lowered is None:
        return
    assert target <= lowered < len(rows)
    by_pod = seen.workers_by_pod()
    last = sorted(pods, key=replicaset_order)[len(rows) - lowered - 1]
    for maybe_gone in pods:
        if replicaset_order(maybe_gone) <= replicaset_order(last):
            for each in by_pod[maybe_gone.uid]:
                assert each.told_everywhere
                assert each.in_flight == 0


# --- a rollout goes first ---


def rolling(seen, updated, **more):
    """The same, while only so many of its pods have the current template."""
    return replace(seen, workload=replace(seen.workload, updated=updated, **more))


def test_in_a_rollout_nobody_is_told_to_go_and_all_are_called_back():
    seen = rolling(told(fleet(1, 0), "p1"), updated=1)
    assert waits_for_rollout(1, seen)
    plan = planned(2, seen, 600)  # `decide` keeps the number
    assert (plan.stop, plan.victims, plan.replicas) == ((), (), None)
    assert hosts(plan.call_back) == ["p1"]
    assert names(plan.unmark) == ["p1"]


def test_what_a_rollout_has_beyond_the_number_is_not_surplus():
    seen = told(fleet(1, 1, 0), "p2")
    seen = replace(seen, workload=deployment(2, existing=3))
    assert hosts(planned(2, seen, 600).call_back) == []
    assert hosts(planned(2, rolling(seen, updated=1), 600).call_back) == ["p2"]


def test_an_idle_fleet_goes_to_zero_in_a_rollout_at_once_or_not_at_all():
    seen = rolling(fleet(0, 0), updated=1)
    assert not waits_for_rollout(0, seen)
    plan = planned(0, seen, 600)
    assert (hosts(plan.stop), plan.replicas) == (["p1", "p0"], None)
    assert planned(0, told(seen, "p0", "p1"), 600).replicas == 0
    assert planned(0, told(seen, "p0"), 600).replicas is None  # not one by one
    assert waits_for_rollout(0, rolling(fleet(0, 1), updated=1))
    stranger = replace(seen, workers=seen.workers[:1])
    assert waits_for_rollout(0, stranger), "it could never be told to go"


def test_a_paused_deployment_with_pods_of_one_replicaset_shrinks():
    seen = rolling(fleet(1, 0), updated=0, paused=True)
    assert not waits_for_rollout(1, seen)
    assert hosts(planned(1, seen, 600).stop) == ["p1"]
    assert planned(1, told(seen, "p1"), 600).replicas == 1
    new = replace(seen.pods[1], owner=Owner("new", "worker-2", *REPLICA_SET))
    assert waits_for_rollout(1, replace(seen, pods=(seen.pods[0], new)))


def test_before_the_last_write_was_acted_on_nobody_new_is_told_and_nothing_is_lowered():
    seen = fleet(1, 0, 0)
    lagging = replace(seen, workload=replace(seen.workload, lagging=True))
    assert planned(1, lagging, 600).stop == ()
    plan = planned(1, told(lagging, "p1"), 600)
    assert (names(plan.victims), plan.replicas) == (["p1"], None)
    assert plan.call_back == ()


def test_foreign_pods_do_not_count():
    seen = fleet(1, 0, 0)
    foreign = replace(seen.pods[2], foreign=True)
    seen = replace(seen, pods=(*seen.pods[:2], foreign), workload=deployment(2))
    assert names(planned(1, seen, 600).victims) == ["p1"]
    assert names(planned(0, seen, 600).victims) == ["p1", "p0"]


def test_a_ready_pod_that_redis_does_not_know_is_not_free():
    seen = replace(fleet(0), workers=())
    assert planned(0, seen, 600).replicas is None
    starting = replace(seen.pods[0], ready=False)
    assert planned(0, replace(seen, pods=(starting,)), 600).replicas == 0


def test_who_was_chosen_for_a_lowered_number_stays_told_until_a_raised_one_is_acted_on():
    """The ReplicaSet may act on the lower number late: it must not find the chosen one called back
    and take a busy one."""
    seen = told(fleet(1, 0), "p1")
    raised = replace(seen, workload=replace(deployment(2), lagging=True))
    plan = planned(2, raised, 600, lowered=True)
    assert (plan.call_back, plan.unmark) == ((), ())
    assert not has_followed(raised)
    assert has_followed(seen)
    assert hosts(planned(2, seen, 600).call_back) == ["p1"]


# --- by hand ---


def asked(seen, *names):
    """The same, after a person has asked for these pods to drain."""
    pods = tuple(replace(p, drains_by_hand=p.key.name in names) for p in seen.pods)
    return replace(seen, pods=pods)


def test_a_pod_drains_by_hand_and_is_not_called_back():
    seen = asked(fleet(1, 1, 0), "p1")
    plan = planned(3, seen, 600)
    assert hosts(plan.stop) == ["p1"]
    assert (plan.victims, plan.mark, plan.replicas) == ((), (), None)
    draining = told(seen, "p1", marked=False)
    assert planned(3, draining, 600) == DrainPlan(), "nothing is left to do"
    assert hosts(planned(3, asked(draining), 600).call_back) == ["p1"], "the annotation is gone"


def test_a_pod_that_drains_by_hand_goes_first():
    plan = planned(2, asked(fleet(0, 5, 1), "p1"), 600)
    assert names(plan.victims) == ["p1"]
    assert names(plan.mark) == ["p1"], "now it is the operator that ends it"


def test_a_rollout_calls_pods_back_that_drain_by_hand():
    seen = told(asked(fleet(1, 1), "p1"), "p1", marked=False)
    rolling = replace(seen, workload=replace(seen.workload, updated=1))
    assert hosts(planned(2, rolling, 600).call_back) == ["p1"]


def test_nothing_begins_to_drain_by_hand_while_the_picture_is_incomplete():
    seen = asked(fleet(1, 1), "p1")
    lagging = replace(seen, workload=replace(seen.workload, lagging=True))
    assert planned(2, lagging, 600) == DrainPlan()
