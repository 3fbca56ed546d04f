"""TaskQueues that name the same workload: who is woken, and who scales it."""

import time

import pytest

from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.model import Key, WorkloadKey
from identtqueue_operator.workload.kinds import DEPLOYMENT, STATEFUL_SET
from identtqueue_operator.workload.shared import SharedWorkloads

ONE, TWO, THREE = (Key("ns", name) for name in ("one", "two", "three"))
FIRST = WorkloadKey("ns", "first", "apps", "Deployment")
SECOND = WorkloadKey("ns", "second", "apps", "Deployment")


@pytest.fixture
def shared():
    return SharedWorkloads(Cluster(lambda _: None, lambda _: None, time.monotonic))


def age(day, key):
    return f"2030-01-{day:02}T00:00:00Z", key.name


def test_those_with_the_same_workload_are_woken_and_no_others(shared):
    assert shared.put(ONE, FIRST, age(1, ONE)) == set()
    assert shared.put(TWO, SECOND, age(2, TWO)) == set()
    assert shared.put(THREE, FIRST, age(3, THREE)) == {ONE}
    assert shared.put(THREE, FIRST, age(3, THREE)) == set(), "nothing has changed"
    assert shared.put(THREE, SECOND, age(3, THREE)) == {ONE, TWO}
    assert shared.drop(THREE) == {TWO}
    assert shared.drop(THREE) == set()


def test_the_oldest_scales_the_workload(shared):
    shared.put(ONE, FIRST, age(2, ONE))
    shared.put(TWO, FIRST, age(1, TWO))
    assert shared.rival(age(1, TWO), FIRST) == ""
    assert shared.rival(age(2, ONE), FIRST) == (
        "TaskQueue two is older and scales Deployment first too"
    )
    shared.drop(TWO)
    assert shared.rival(age(2, ONE), FIRST) == ""


def test_kinds_are_known_as_long_as_they_are_named(shared):
    shared.put(ONE, WorkloadKey("ns", "first", "apps", "StatefulSet"), age(1, ONE))
    assert (shared.has(DEPLOYMENT), shared.has(STATEFUL_SET)) == (False, True)
    shared.put(ONE, FIRST, age(1, ONE))
    assert (shared.has(DEPLOYMENT), shared.has(STATEFUL_SET)) == (True, False)
