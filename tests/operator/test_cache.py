"""The cache of Deployments and pods."""

from dataclasses import replace

import pytest

from identtqueue_operator.kube.cache import REMEMBER_GONE_SECONDS, Cluster
from identtqueue_operator.model import Key, Selector, WorkloadKey
from identtqueue_operator.workload.deployment import DEPLOYMENT
from testing.clock import StoppedClock
from testing.taskqueues import WORKLOAD, deployment, pod

LABELS = {"app": "worker"}


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def cluster(clock, told):
    cluster = Cluster(
        lambda key: told.append(("deployment", key)), lambda key: told.append(("pods", key)), clock
    )
    cluster.watch(WORKLOAD)
    return cluster


def body(a_pod):
    return {"metadata": {"uid": a_pod.uid, "name": a_pod.key.name, "namespace": "ns"}}


def test_pods_are_found_by_selector_whenever_they_came(cluster, told):
    cluster.put_pod(pod("before"), LABELS)
    assert [p.key.name for p in cluster.pods(deployment(2))] == ["before"]
    cluster.put_pod(pod("after"), LABELS)
    cluster.put_pod(pod("other"), {"app": "other"})
    assert [p.key.name for p in cluster.pods(deployment(2))] == ["before", "after"]
    assert told == [("pods", WORKLOAD)]


def test_a_selector_of_expressions_only(cluster, told):
    by_expression = replace(deployment(1), selector=Selector((), (("app", "In", ("worker", "x")),)))
    cluster.pods(by_expression)
    cluster.put_pod(pod("p"), LABELS)
    assert [p.key.name for p in cluster.pods(by_expression)] == ["p"]


def test_a_pod_that_vanished_is_remembered_for_a_while(cluster, clock):
    cluster.pods(deployment(1))
    cluster.put_pod(pod("p"), LABELS)
    cluster.drop_pod(pod("p", phase="Failed"), LABELS)
    (gone,) = cluster.pods(deployment(1))
    assert (gone.gone_at, gone.phase) == (1000.0, "Failed")
    clock.now += REMEMBER_GONE_SECONDS + 1
    assert cluster.pods(deployment(1)) == ()


def test_what_has_not_changed_is_not_told(cluster, told):
    cluster.put_workload(deployment(1))
    cluster.put_workload(deployment(1))
    assert told == [("deployment", WORKLOAD)]


def test_an_older_state_does_not_undo_a_write(cluster):
    cluster.put_workload(replace(deployment(5), resource_version="10"))
    cluster.put_workload(replace(deployment(1), resource_version="9"))
    assert cluster.workload(WORKLOAD).replicas == 5
    cluster.put_workload(replace(deployment(1), resource_version="9", uid="created anew"))
    assert cluster.workload(WORKLOAD).replicas == 1


def test_what_a_list_and_the_watches_say_differently_is_doubtful(cluster, clock):
    cluster.put_workload(deployment(1))
    cluster.pods(deployment(1))
    cluster.put_pod(pod("gone"), LABELS)
    cluster.put_pod(pod("there"), LABELS)
    clock.now += 10
    listed_at = clock.now
    clock.now += 1
    cluster.put_pod(pod("newer than the list"), LABELS)
    listed = [body(pod("there")), body(pod("missed"))]
    found = cluster.doubtful_pods("ns", listed, listed_at)
    assert found == {Key("ns", "gone"), Key("ns", "missed")}
    cluster.drop_pods_called(Key("ns", "gone"))
    cluster.drop_pods_called(Key("ns", "there"), other_than="uid-there")
    names = {p.key.name: p.gone_at for p in cluster.pods(deployment(1))}
    assert names == {"gone": clock.now, "there": None, "newer than the list": None}
    assert cluster.doubtful_workloads("another", DEPLOYMENT.id, set(), listed_at) == set()
    assert cluster.doubtful_workloads(None, DEPLOYMENT.id, set(), listed_at) == {WORKLOAD}
    new = WorkloadKey("ns", "new", *DEPLOYMENT.id)
    found = cluster.doubtful_workloads("ns", DEPLOYMENT.id, {new}, clock.now + 1)
    assert found == {WORKLOAD, new}


def test_unwatched_pods_are_not_told(cluster, told):
    cluster.pods(deployment(1))
    cluster.unwatch(WORKLOAD)
    cluster.unwatch(Key("ns", "never watched"))
    cluster.put_pod(pod("p"), LABELS)
    assert [p.key.name for p in cluster.pods(deployment(1))] == ["p"]  # a last look
    cluster.put_pod(pod("later"), LABELS)
    cluster.note_missing(WORKLOAD)
    assert told == []
    assert not cluster.is_missing(WORKLOAD)
