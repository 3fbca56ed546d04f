"""A write that fails costs time, and nothing of what is to be told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from identtqueue import Client
from identtqueue.admin import RedisSettings
from identtqueue.protocol import roles
from identtqueue.protocol.calls import claiming, leasing
from identtqueue.protocol.roles import Role
from identtqueue.transport.connect import async_redis
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.model import Death, Evidence, Key, Memory, Outcome
from identtqueue_operator.policy.decide import decide
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.rounds.act import act
from identtqueue_operator.status.round import Round
from identtqueue_operator.status.writer import MAX_UNSENT, StatusWriter
from testing.api_server import Refusal
from testing.taskqueues import WORKLOAD, observed, spec, worker
from testing.taskqueues import pod as a_pod
from testing.waiting import eventually

TOO_MANY = Refusal(429, "TooManyRequests", "come back later")


class Refusing:
    """Has the API server refuse the next writes to paths that contain a word."""

    def __init__(self, api, part: str, times: int, refusal: Refusal = TOO_MANY) -> None:
        self._part = part
        self._refusal = refusal
        self.left = times
        api.around_write = self._write

    def _write(self, path, write):
        if self._part in path and self.left:
            self.left -= 1
            raise self._refusal
        return write()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["/status", "/events"])
async def test_a_decision_whose_telling_failed_is_told_later(operator, setup, part):
    setup.fleet.create()
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("Idle")
    refusing = Refusing(setup.api, part, 3)
    await setup.enqueue(1)
    await setup.replicas(1)
    message = await setup.told("ScaledUp")
    assert refusing.left == 0
    assert message.startswith("0 -> 1: ceil((1 queued")
    assert len(setup.events("ScaledUp")) == 1
    decision = setup.status["lastDecision"]
    assert (decision["from"], decision["to"], decision["reason"]) == (0, 1, "BacklogAboveTarget")
    assert setup.status["lastScaleTime"]
    assert b'scalings_total{reason="BacklogAboveTarget"} 1.0' in operator.meter.exposition()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["/status", "/events"])
async def test_a_recovery_whose_telling_failed_is_told_later(operator, setup, part):
    setup.fleet.create(1)
    lost = await setup.fleet.add_pod(60)
    setup.fleet.count()
    await setup.enqueue(1)
    await lost.claim()
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("Working")
    refusing = Refusing(setup.api, part, 2)
    await lost.die()
    setup.fleet.container_ended(lost.pod_name, restarted=True)
    assert "1 task returned to" in await setup.told("TasksRequeued")
    assert refusing.left == 0
    await eventually(lambda: setup.status.get("recovered"))
    assert setup.status["recovered"]["total"] == 1


async def test_a_status_that_may_not_be_written_counts_as_failed_rounds(operator, setup):
    setup.fleet.create()
    setup.api.forbidden = "/status"
    setup.create()

    await eventually(
        lambda: operator.failed_rounds >= 3, lambda: f"3, not {operator.failed_rounds}"
    )


async def test_who_rings_while_the_status_hangs_is_served(operator, setup):
    """A storm of status writes is no reason to let tasks wait; one write makes up for all."""
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    written = setup.api.held["/status"] = asyncio.Event()
    before = len(setup.api.writes("/status"))
    for replicas in (1, 2, 3):
        await setup.enqueue(1)
        await setup.replicas(replicas)
    assert setup.events("ScaledUp") == [], "events follow the status"
    written.set()
    await eventually(lambda: len(setup.events("ScaledUp")) == 3)
    assert setup.status["lastDecision"]["to"] == 3
    # On a busy machine, numbers of pods and tasks have the time to change, and are written too.
    statuses = [body["status"] for body in setup.api.writes("/status")[before:]]
    told = [
        status["lastDecision"]["to"]
        for status in statuses
        if "to" in status.get("lastDecision", ())
    ]
    assert list(dict.fromkeys(told)) in ([1, 3], [2, 3], [3]), (
        "one that hung, and one for all since then"
    )


# --- the reporter by itself -----------------------------------------------------------------------


def a_round(at: float, outcome: Outcome | None = None, queued: int = 5) -> Round:
    seen = observed(5, queued=queued, at=at)
    decision, _ = decide(spec(), seen, Memory())
    return Round(at, 1, WORKLOAD, seen=seen, decision=decision, outcome=outcome or Outcome())


@pytest.fixture
async def reporter(api, kube) -> StatusWriter:
    body = api.put("taskqueues", "mrz")
    return StatusWriter(Key("ns", "mrz"), body["metadata"]["uid"], {}, kube, "operator")


async def report(reporter: StatusWriter, now: Round) -> None:
    reporter.note(now, now.at)
    await reporter.tell()


UP = Outcome(scaled_from=0, scaled_to=5)


async def test_an_event_that_is_refused_for_good_is_not_counted_up(api, reporter):
    refusal = Refusal(403, "Forbidden", "the namespace is being deleted")
    refusing = Refusing(api, "/events", 1, refusal)
    await report(reporter, a_round(100.0, UP))
    assert api.all("events") == []
    await report(reporter, a_round(110.0, UP))
    (event,) = api.all("events")
    assert event["count"] == 1
    assert refusing.left == 0
    await report(reporter, a_round(120.0, UP))
    assert api.all("events")[0]["count"] == 2


async def test_an_event_that_was_cleared_away_is_created_anew(api, reporter):
    await report(reporter, a_round(100.0, UP))
    (event,) = api.all("events")
    api.remove("events", event["metadata"]["name"])
    await report(reporter, a_round(110.0, UP))
    assert [event["count"] for event in api.all("events")] == [1]


@pytest.mark.slow
async def test_only_so_many_events_wait(api, reporter):
    refusing = Refusing(api, "/events", MAX_UNSENT + 10)
    for number in range(MAX_UNSENT + 10):
        await report(reporter, a_round(100.0 + number, UP, queued=number + 1))
    assert api.all("events") == []
    assert refusing.left == 0
    await report(reporter, a_round(200.0))
    told = [event["message"] for event in api.all("events")]
    assert len(told) == MAX_UNSENT
    assert f"({MAX_UNSENT + 10} queued" in told[-1], "of more, the latest"


async def test_waiting_events_do_not_have_the_numbers_written_more_often(api, reporter):
    await report(reporter, a_round(100.0))
    refusing = Refusing(api, "/events", 3)
    await report(reporter, a_round(101.0, UP))
    writes = len(api.writes("/status"))
    for number in range(2):
        await report(reporter, a_round(102.0 + number, queued=6 + number))
    assert refusing.left == 0
    assert len(api.writes("/status")) == writes


# --- recovery, half done --------------------------------------------------------------------------


async def test_what_came_back_is_known_though_a_later_queue_failed(kube, queue, new_redis_server):
    """The operator's account may use one of the worker's two queues only."""
    server = new_redis_server()
    mine, other = queue, f"{queue}-other"
    with server.client() as raw:
        login = ("ACL", "SETUSER", "op", "on", ">sesame")
        raw.execute_command(*login, *roles.rules(Role.OPERATOR, [mine]))
    async with Client(server.address) as client:
        task = await client.enqueue_job(queue_name=mine, function_name="job")
    everything = async_redis(
        RedisSettings(address=server.address), client_name="tests", retry_for_seconds=10
    )
    await everything.run(leasing.register(mine, "dead", 60_000, {}))
    await everything.run(claiming.claim(mine, "dead", 1))
    await everything.close()
    of_both = replace(worker(a_pod("p0"), worker_id="dead"), queues=(mine, other))
    seen = observed(1, in_flight=1)
    decision, _ = decide(spec(), seen, Memory())
    decision = replace(decision, evidence=Evidence((Death(of_both, "p0", "container ended"),)))
    settings = RedisSettings(address=server.address, username="op", password="sesame")
    endpoint = Endpoint(settings)
    cluster = Cluster(lambda _: None, lambda _: None, time.time)
    try:
        there = [Connection("main", (mine, other), "uid", endpoint)]
        outcome = await act(decision, seen, there, cluster=cluster, kube=kube, max_deliveries=5)
    finally:
        await endpoint.close()
    assert "ACL" in outcome.failure
    assert [(item.queue, item.requeued) for item in outcome.recovered] == [(mine, (task,))]
