"""A TaskQueue with triggers in two real Redis servers, one of which is killed for real."""

from __future__ import annotations

import asyncio

import pytest

from identtqueue import Client
from identtqueue.admin import Admin
from identtqueue.transport.connect import async_redis
from identtqueue.transport.settings import RedisSettings
from testing.fleet import FleetWorker, now
from testing.waiting import eventually


class Second:
    """The second Redis, and the workers of the same pods in it."""

    def __init__(self, setup, server) -> None:
        self.setup = setup
        self.server = server
        self.queue = f"{setup.queue}-eu"
        self.workers: dict[str, FleetWorker] = {}
        settings = RedisSettings(address=server.address)
        self.redis = async_redis(settings, client_name="tests", retry_for_seconds=10)

    @property
    def trigger(self):
        redis = {"address": self.server.address}
        return {"name": "eu", "queues": [{"name": self.queue}], "redis": redis}

    def create(self, scaling=None, **more) -> None:
        self.setup.create(
            {"pollPeriodSeconds": 1} | (scaling or {}), triggers=[self.trigger], **more
        )

    async def enqueue(self, count: int) -> None:
        async with Client(self.server.address) as client:
            for _ in range(count):
                await client.enqueue_job(queue_name=self.queue, function_name="job")

    async def settle(self) -> None:
        """Pods as asked for, each with a worker in both Redis."""
        await self.setup.fleet.settle()
        for pod in self.setup.fleet.pods:
            name = pod["metadata"]["name"]
            if name not in self.workers:
                self.workers[name] = await FleetWorker(self.redis, self.queue, pod).start()

    async def draining(self, address=None, queue=None) -> int:
        async with Admin(address or self.server.address) as admin:
            found = await admin.workers(queue or self.queue)
        return sum(info.draining for info in found)

    async def queued(self) -> int:
        async with Admin(self.server.address) as admin:
            return (await admin.depths([self.queue]))[self.queue].queued

    async def close(self) -> None:
        for worker in self.workers.values():
            await worker.die()
        await self.redis.close()


@pytest.fixture
async def second(setup, new_redis_server):
    second = Second(setup, new_redis_server(aof=True))
    yield second
    await second.close()


def triggers(setup):
    return {each["name"]: each for each in setup.status.get("triggers", ())}


async def test_the_largest_number_counts_and_says_whose_it_is(operator, setup, second):
    setup.fleet.create()
    second.create()
    await setup.reason("Idle")
    await setup.enqueue(2)
    await setup.replicas(2)
    await second.enqueue(5)
    await setup.replicas(5)
    await eventually(lambda: setup.status.get("lastDecision", {}).get("to") == 5)
    assert setup.status["decidedBy"] == "eu"
    assert setup.status["lastDecision"]["message"] == (
        "trigger eu: ceil((5 queued + 0 in flight) / 1 per replica) = 5 (the others: main 2)"
    )
    assert setup.status["triggersReachable"] == "2/2"
    assert (triggers(setup)["main"]["desired"], triggers(setup)["eu"]["desired"]) == (2, 5)
    await setup.told("ScaledUp")


@pytest.mark.slow
async def test_a_redis_that_is_killed_holds_the_number_and_the_other_one_grows(
    operator, setup, second
):
    setup.fleet.create()
    second.create()
    await second.enqueue(3)
    await setup.replicas(3)
    second.server.kill()
    await setup.reason("RedisUnreachable")
    assert triggers(setup)["eu"]["reachable"] is False
    assert "trigger eu (" in setup.status["message"]
    await setup.enqueue(5)
    await setup.replicas(5)
    assert setup.status["triggersReachable"] == "1/2"
    await setup.fleet.settle()
    for worker in setup.fleet.workers.values():
        await worker.claim()
        await worker.finish()
    await eventually(lambda: setup.condition("Active")[0] == "False")
    await operator.looks()
    assert setup.fleet.replicas == 5
    assert setup.status["decidedBy"] == "eu"
    second.server.start()
    await setup.replicas(3)
    await eventually(lambda: triggers(setup)["eu"]["reachable"])
    await setup.told("RedisRecovered")


async def test_a_dead_pod_is_requeued_in_each_redis(operator, setup, second):
    setup.fleet.create()
    second.create()
    await setup.enqueue(1)
    await second.enqueue(1)
    await setup.replicas(1)
    await second.settle()
    ((name, here),) = setup.fleet.workers.items()
    there = second.workers[name]
    await here.claim()
    await there.claim()
    await eventually(lambda: triggers(setup)["eu"]["inFlight"] == 1)
    await here.die()
    await there.die()
    setup.api.change("pods", name, {"metadata": {"deletionTimestamp": now()}})
    setup.fleet.container_ended(name)
    await eventually(lambda: setup.status.get("recovered", {}).get("total") == 2)
    assert await second.queued() == 1
    await eventually(lambda: len(setup.events("TasksRequeued")) == 2)


@pytest.mark.slow
async def test_evidence_in_one_redis_is_none_in_the_other(operator, setup, second):
    """The pod's object is gone without a report, and one of its connections lives on."""
    setup.fleet.create()
    second.create(recovery={"leaseSeconds": 5})
    await setup.enqueue(1)
    await second.enqueue(1)
    await setup.replicas(1)
    await second.settle()
    ((name, here),) = setup.fleet.workers.items()
    there = second.workers[name]
    await here.claim()
    await there.claim()
    reconciler = operator.controller.reconcilers["ns", setup.name]
    await eventually(lambda: min(s.trusted_seconds for s in sources(reconciler)) > 5)
    await here.die()
    setup.api.remove("pods", name)
    await eventually(lambda: setup.status.get("recovered", {}).get("total") == 1)
    assert await setup.told("TasksRequeued") == (
        f"1 task returned to queue {setup.queue} (worker in {name}: pod gone and connection closed)"
    )
    assert await second.queued() == 0
    await there.die()
    await eventually(lambda: setup.status["recovered"]["total"] == 2)
    assert await second.queued() == 1


def sources(reconciler):
    return [each.source for each in reconciler.seen.triggers]


async def test_workers_are_told_to_go_and_called_back_in_each_redis(operator, setup, second):
    setup.fleet.create()
    second.create()
    await second.enqueue(2)
    await setup.replicas(2)
    await second.settle()
    for worker in second.workers.values():
        await worker.claim()
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 1}}})
    await setup.reason("Draining")
    await eventually(second.draining)
    assert await second.draining(setup.address, setup.queue) == 1
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 2}}})
    await eventually(lambda: setup.condition("Draining")[0] == "False")

    async def nobody() -> bool:
        return not (await second.draining() or await second.draining(setup.address, setup.queue))

    await eventually(nobody)


async def one_drains_in_both(setup, second):
    setup.fleet.create()
    second.create()
    await second.enqueue(2)
    await setup.enqueue(2)
    await setup.replicas(2)
    await second.settle()
    for worker in (*second.workers.values(), *setup.fleet.workers.values()):
        await worker.claim()
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 1}}})
    await eventually(second.draining)


async def test_a_trigger_that_leaves_in_the_middle_of_a_drain_keeps_nobody_told(
    operator, setup, second
):
    await one_drains_in_both(setup, second)
    setup.api.change("taskqueues", setup.name, {"spec": {"triggers": []}})
    await nobody_drains(second)
    assert await second.draining(setup.address, setup.queue) == 1
    await eventually(lambda: len(operator.controller.endpoints.in_use) == 1)
    await eventually(lambda: "triggers" not in setup.status)


async def test_a_main_redis_that_is_replaced_in_the_middle_of_a_drain_keeps_nobody_told(
    operator, setup, second
):
    """The queue keeps its name; it is another one, in another Redis."""
    await one_drains_in_both(setup, second)
    change = {"redis": {"address": second.server.address}, "triggers": []}
    setup.api.change("taskqueues", setup.name, {"spec": change})
    await nobody_drains(second)
    await nobody_drains(second, setup.address, setup.queue)


async def test_a_taskqueue_that_is_deleted_calls_back_in_both(operator, setup, second):
    await one_drains_in_both(setup, second)
    setup.api.remove("taskqueues", setup.name)
    await nobody_drains(second)
    await nobody_drains(second, setup.address, setup.queue)
    await eventually(lambda: not operator.controller.endpoints.in_use)


async def nobody_drains(second, *where) -> None:
    async def nobody() -> bool:
        return not await second.draining(*where)

    await eventually(nobody)


async def test_two_triggers_with_one_queue_count_it_once(operator, setup):
    """By two strategies, say; the status has each task once, and so has a worker's row."""
    twice = {"name": "again", "queues": [{"name": setup.queue}], "concurrencyPerReplica": 2}
    setup.fleet.create()
    setup.create(triggers=[twice])
    await setup.enqueue(4)
    await setup.replicas(4)
    await setup.fleet.settle()
    for worker in setup.fleet.workers.values():
        await worker.claim()
    await eventually(lambda: setup.status["tasks"]["inFlight"] == 4)
    assert setup.status["tasks"]["queued"] == 0
    assert (triggers(setup)["main"]["desired"], triggers(setup)["again"]["desired"]) == (4, 2)
    seen = operator.controller.reconcilers["ns", setup.name].seen
    assert len(seen.workers) == 4
    assert len(operator.controller.endpoints.in_use) == 1


async def test_a_missing_secret_of_one_trigger_blinds_it_alone(operator, setup, second):
    setup.fleet.create()
    login = {"redis": second.trigger["redis"] | {"credentialsSecretRef": {"name": "none"}}}
    setup.create({"pollPeriodSeconds": 1}, triggers=[second.trigger | login])
    await setup.reason("SecretMissing")
    await setup.enqueue(2)
    await setup.replicas(2)
    assert "Secret none does not exist" in triggers(setup)["eu"]["message"]
    setup.api.change("taskqueues", setup.name, {"spec": {"triggers": []}})
    await eventually(lambda: setup.condition("Ready")[0] == "True")
    assert not operator.controller.endpoints.secrets.named


async def test_a_push_to_each_redis_is_heard(operator, setup, second):
    """By its doorbell, far sooner than by the poll."""
    setup.fleet.create()
    second.create({"pollPeriodSeconds": 300})
    await setup.reason("Idle")
    async with asyncio.timeout(20):
        await second.enqueue(1)
        await setup.replicas(1)
        await setup.enqueue(2)
        await setup.replicas(2)


@pytest.mark.slow
async def test_a_silent_redis_does_not_keep_the_other_one_from_growing(operator, setup, second):
    """It takes its time-out once; from then on it is known to be away."""
    setup.fleet.create()
    second.create()
    await setup.reason("Idle")
    second.server.pause()
    try:
        await setup.enqueue(2)
        await setup.replicas(2)
        await setup.reason("RedisUnreachable")
        await setup.enqueue(1)
        await setup.replicas(3)
    finally:
        second.server.resume()
    await eventually(lambda: setup.condition("Ready")[0] == "True")
