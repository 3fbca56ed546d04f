"""From the API server's JSON to small values."""

import pytest

from identtqueue_operator.kube import parse
from identtqueue_operator.model import Selector
from identtqueue_operator.times import rfc3339, timestamp
from identtqueue_operator.workload.deployment import DEPLOYMENT


def pod(**status):
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"nodeName": "n"},
        "status": status,
    }


def test_an_end_is_read_from_the_present_or_the_last_state():
    end = {"finishedAt": "2026-01-01T00:00:10Z", "exitCode": 137, "reason": "OOMKilled"}
    for state in (
        {"state": {"terminated": end}},
        {"state": {"running": {}}, "lastState": {"terminated": end}},
    ):
        (found,) = parse.pod(pod(containerStatuses=[{"name": "worker", **state}])).containers
        assert found.ended_at == timestamp("2026-01-01T00:00:10Z")
        assert found.how == "OOMKilled, exit code 137"
        assert found.running is ("running" in state["state"])


def test_a_container_that_the_kubelet_could_not_find_has_not_ended():
    end = {"reason": "ContainerStatusUnknown", "finishedAt": "2026-01-01T00:00:10Z"}
    status = {"name": "worker", "state": {"terminated": end}}
    (found,) = parse.pod(pod(containerStatuses=[status])).containers
    assert found.ended_at is None


def test_a_pod_that_has_only_just_been_made():
    body = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}}
    found = parse.pod(body)
    assert (found.phase, found.ready, found.assigned) == ("Pending", False, False)
    assert found.active


def test_nonsense_in_annotations_is_ignored():
    body = pod()
    body["metadata"]["annotations"] = {parse.DELETION_COST: "many", parse.DRAINING_SINCE: "then"}
    found = parse.pod(body)
    assert (found.deletion_cost, found.draining_since) == (0, None)


def test_a_deployment_without_replicas_asks_for_one():
    body = {
        "metadata": {"name": "d", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    }
    found = DEPLOYMENT.read(body)
    assert (found.replicas, found.ready, found.selector.labels) == (1, 0, (("a", "b"),))


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ("a", "b"), {"k": "a"}, True),
        ("In", ("a", "b"), {}, False),
        ("NotIn", ("a",), {"k": "b"}, True),
        ("NotIn", ("a",), {}, True),
        ("Exists", (), {"k": ""}, True),
        ("DoesNotExist", (), {"k": ""}, False),
        ("Near", (), {"k": ""}, False),
    ],
)
def test_selector_expressions(operator, values, labels, expected):
    assert Selector((), (("k", operator, values),)).matches(labels) is expected


def test_times_go_there_and_back():
    assert rfc3339(timestamp("2026-02-03T04:05:06Z")) == "2026-02-03T04:05:06Z"
