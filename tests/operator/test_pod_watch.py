"""Pods of a whole cluster: read in pieces, followed, and found again after a gap."""

import asyncio
import time

import pytest

from identtqueue_operator.kube import requests
from identtqueue_operator.kube.pod_watch import PodWatch
from identtqueue_operator.timings import Timings
from testing.operating import Operator
from testing.waiting import eventually


class Seen:
    """The events of a watch."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}
        self.lists: list[tuple[set[str], float]] = []

    def change(self, body) -> None:
        labels = body["metadata"].get("labels") or {}
        if "broken" in labels:
            raise KeyError("broken")
        self.there[body["metadata"]["name"]] = labels.get("state", "")

    def gone(self, body) -> None:
        self.there.pop(body["metadata"]["name"], None)

    async def listed(self, namespace, bodies, at) -> None:
        self.lists.append(({body["metadata"]["name"] for body in bodies}, at))


@pytest.fixture
async def seen(kube, monkeypatch):
    monkeypatch.setattr(requests, "PAGE", 10)
    return Seen()


@pytest.fixture
async def watch(kube, seen, timings):
    calls = {"on_change": seen.change, "on_gone": seen.gone, "on_listed": seen.listed}
    pods = PodWatch(kube, None, **calls, clock=time.monotonic, timings=timings)
    task = asyncio.create_task(pods.run())
    yield pods
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def everywhere(api, kube):
    """An operator for the whole cluster."""
    running = Operator(api, kube, namespaces=())
    await running.start()
    yield running
    await running.stop()


def put(api, number, **labels) -> None:
    api.put("pods", f"p{number}", {"metadata": {"labels": labels}}, namespace=f"n{number % 7}")


@pytest.fixture
async def crowd(api):
    for number in range(95):
        put(api, number)


async def test_all_are_listed_in_pieces_and_then_followed(api, crowd, watch, seen):
    await eventually(lambda: len(seen.there) == 95)
    assert api.reads["/api/v1/pods"] >= 10
    await eventually(lambda: api.watched["pods"])
    put(api, 95)
    api.change("pods", "p3", {"metadata": {"labels": {"state": "new"}}}, namespace="n3")
    api.remove("pods", "p4", namespace="n4")
    await eventually(lambda: "p95" in seen.there and "p4" not in seen.there)
    await eventually(lambda: seen.there["p3"] == "new")
    assert len(seen.lists) == 1


async def test_a_list_that_the_api_server_forgets_half_way_begins_anew(api, crowd, watch, seen):
    api.forgetful = 2
    await eventually(lambda: len(seen.there) == 95)
    await eventually(lambda: len(seen.lists[0][0]) == 95)


async def test_what_vanished_in_a_gap_is_found_by_the_list_that_follows(
    api, crowd, kube, everywhere
):
    controller = everywhere.controller
    watching = asyncio.create_task(controller.watch_pods(kube))

    def names() -> set[str]:
        return {key.name for key in controller.cluster.known_pods(None).values()}

    await eventually(lambda: api.watched["pods"])
    assert {"p5", "p12"} < names()
    api.remove_unnoticed("pods", "p5", namespace="n5")
    api.compacted = 10**9
    put(api, 96)  # wakes the watch
    await eventually(lambda: "p5" not in names())
    api.compacted = 0
    put(api, 97)
    await eventually(lambda: "p97" in names())
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_one_pod_that_cannot_be_read_spoils_no_other(api, crowd, watch, seen):
    put(api, 200, broken="")
    put(api, 201)
    await eventually(lambda: "p201" in seen.there)
    assert "p200" not in seen.there


@pytest.mark.parametrize("timings", [Timings(pods_retry_seconds=(0.01, 0.05))])
async def test_an_api_server_that_is_away_is_waited_for(api, crowd, watch, seen):
    api.down = True
    reads = api.reads["/api/v1/pods"]
    await eventually(lambda: watch is not None and api.reads["/api/v1/pods"] >= reads)
    api.down = False
    await eventually(lambda: len(seen.there) == 95)
