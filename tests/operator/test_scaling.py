"""Scaling, from the first task to zero again: against an API server and a real Redis."""

import asyncio
import time
from itertools import pairwise

import pytest

from identtqueue import TaskOptions
from identtqueue.admin import Admin
from identtqueue_operator.timings import Timings
from testing.waiting import eventually


async def test_the_first_task_is_pushed_and_many_arrive_in_one_step(operator, setup, raw):
    setup.fleet.create()
    setup.create({"maxReplicas": 20, "pollPeriodSeconds": 300})
    await setup.reason("Idle")
    await setup.is_heard(raw)
    await setup.client.enqueue_job(queue_name=setup.queue, function_name="job")
    await setup.replicas(1)  # the poll would take minutes
    await setup.enqueue(19)
    await setup.replicas(20)
    assert "ring_to_patch_seconds_count 1.0" in operator.meter.exposition().decode()


async def test_a_batch_is_one_patch_and_is_explained(operator, setup):
    setup.fleet.create()
    await setup.enqueue(40)
    setup.create({"maxReplicas": 20})
    await setup.replicas(20)
    assert [body["spec"]["replicas"] for body in setup.api.writes("/scale")] == [20]
    message = await setup.told("ScaledUp")
    assert message.startswith("0 -> 20: ceil((40 queued + 0 in flight) / 1 per replica) = 40")
    await eventually(lambda: setup.status.get("lastDecision"))
    decision = setup.status["lastDecision"]
    assert (decision["from"], decision["to"]) == (0, 20)
    assert (decision["reason"], decision["limitedBy"]) == ("BacklogAboveTarget", "MaxReplicas")
    assert setup.status["tasks"]["queued"] == 40
    assert setup.condition("ScalingLimited") == ("True", "MaxReplicas")
    assert setup.condition("Active") == ("True", "TasksPresent")


async def rounds(reconciler, count):
    """When so many rounds took place while it was rung all the time."""
    found = []
    while len(found) < count:
        reconciler.ring()
        await asyncio.sleep(0.001)
        if reconciler.seen and reconciler.seen.at not in found:
            found.append(reconciler.seen.at)
    return found


@pytest.mark.parametrize("timings", [Timings(rest_seconds=0.3)])
async def test_a_fleet_that_is_rung_all_the_time_rests_between_rounds(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 1, "maxReplicas": 1, "pollPeriodSeconds": 300})
    await eventually(lambda: setup.status.get("reason"))
    (reconciler,) = operator.controller.reconcilers.values()
    moments = (await rounds(reconciler, 5))[1:]
    assert all(after - before > 0.29 for before, after in pairwise(moments))


@pytest.mark.parametrize("timings", [Timings(rest_seconds=3600.0)])
async def test_at_zero_a_ring_is_heard_without_rest(operator, setup):
    setup.fleet.create()
    setup.create({"pollPeriodSeconds": 300})
    await setup.reason("Idle")
    (reconciler,) = operator.controller.reconcilers.values()
    async with asyncio.timeout(60):
        await rounds(reconciler, 5)


async def test_a_missed_ring_is_made_good_by_the_poll(operator, setup, raw):
    setup.fleet.create()
    setup.create({"pollPeriodSeconds": 1})
    await setup.reason("Idle")
    await setup.is_heard(raw)
    await setup.enqueue_unheard(raw, 2)
    await setup.replicas(2)


async def test_a_scheduled_task_has_its_worker_started_ahead(operator, setup, raw):
    setup.fleet.create()
    setup.create({"startupSeconds": 30, "pollPeriodSeconds": 300})
    await setup.reason("Idle")
    await setup.is_heard(raw)
    await later(setup, 20)
    await setup.replicas(1)  # the poll would take minutes, the task 20 s
    assert "(0 queued + 1 due within 30 s + 0 in flight)" in await setup.told("ScaledUp")
    assert setup.condition("Active") == ("True", "TasksPresent")


@pytest.mark.slow
async def test_a_task_for_later_starts_nothing_before_its_time(operator, setup, raw):
    setup.fleet.create()
    setup.create({"startupSeconds": 30, "pollPeriodSeconds": 300})
    await setup.reason("Idle")
    await setup.is_heard(raw)
    enqueued_at = time.time()
    await later(setup, 32)
    await setup.replicas(1)
    assert 1.9 < time.time() - enqueued_at < 20, "30 s ahead of 32 s"


async def test_the_time_that_pods_take_is_measured_and_told(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 1, "maxReplicas": 1})
    await eventually(lambda: "startupSeconds" in setup.status)
    assert setup.status["startupSeconds"] in (0, 1)  # a pod of the test is ready at once


@pytest.mark.slow
async def test_a_schedule_is_followed_when_its_time_comes(operator, setup):
    """`start` fires at each full minute; the clock is set to half a minute before one, then to 2 s
    before it."""
    setup.fleet.create()
    every = {"name": "each-minute", "start": "* * * * *", "durationSeconds": 28, "minReplicas": 2}
    await operator.stop()
    offset = 30 - time.time() % 60
    operator.clock = lambda: time.time() + offset
    await operator.start()
    setup.create({"schedules": [every], "pollPeriodSeconds": 300})
    await setup.reason("Idle")
    assert setup.fleet.replicas == 0
    offset += 58 - operator.clock() % 60
    await operator.looks()  # a clock that jumps does not wake it
    await setup.replicas(2)
    message = await setup.told("ScaledUp")
    assert "schedule each-minute until " in message
    await eventually(lambda: setup.status["lastDecision"]["limitedBy"] == "Schedule")


async def test_down_to_zero_when_all_is_done(operator, setup):
    setup.fleet.create()
    await setup.enqueue(3)
    setup.create()
    await setup.replicas(3)
    await setup.fleet.settle()
    for worker in setup.fleet.workers.values():
        assert await worker.claim()
        await worker.finish()
    await eventually(lambda: setup.fleet.replicas < 3)
    while setup.fleet.replicas:
        await setup.fleet.settle()
        await operator.looks()
    await setup.told("ScaledToZero")
    await setup.fleet.settle()
    await setup.reason("Idle")
    assert setup.status["replicas"]["desired"] == 0


async def test_a_busy_worker_is_waited_for(operator, setup):
    setup.fleet.create()
    await setup.enqueue(2)
    setup.create()
    await setup.replicas(2)
    await setup.fleet.settle()
    first, second = setup.fleet.workers.values()
    await first.claim()
    await second.claim()
    await second.finish()
    await setup.told("DrainStarted")
    await setup.replicas(1)
    await setup.fleet.settle()
    assert list(setup.fleet.workers) == [first.pod_name]  # the idle one went
    await first.finish()
    await setup.replicas(0)


async def test_a_drained_but_busy_worker_is_called_back_when_work_returns(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    await setup.enqueue(2)
    setup.create({"maxReplicas": 2})
    first, second = setup.fleet.workers.values()
    await first.claim()
    await second.claim()
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 1}}})
    await setup.reason("Draining")
    async with Admin(setup.address) as admin:
        (going,) = await draining(admin, setup)
        stays, goes = sorted((first, second), key=lambda worker: worker.pod_name == going)
        (task,) = await setup.enqueue(1)
        assert await goes.claim() == []
        assert await stays.claim() == [task], "it was there for the other one"
        setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 2}}})

        async def nobody() -> bool:
            return not await draining(admin, setup)

        await eventually(nobody, "all called back")
    assert setup.fleet.replicas == 2
    await eventually(lambda: not any(marked(pod) for pod in setup.fleet.pods))


async def test_an_operator_that_restarts_in_the_middle_of_a_drain_goes_on(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    await setup.enqueue(2)
    setup.create({"maxReplicas": 1})
    for worker in setup.fleet.workers.values():
        await worker.claim()
    await eventually(lambda: any(marked(pod) for pod in setup.fleet.pods))
    await setup.told("DrainStarted")  # an event that a stop cuts off is not sent again
    await operator.stop()
    (chosen,) = [pod["metadata"]["name"] for pod in setup.fleet.pods if marked(pod)]
    await operator.start()
    await setup.reason("Draining")
    assert setup.fleet.replicas == 2
    await setup.fleet.workers[chosen].finish()
    await setup.replicas(1)
    await setup.fleet.settle()
    assert chosen not in setup.fleet.workers
    told = [body for body in setup.api.writes("/events") if body.get("reason") == "DrainStarted"]
    assert len(told) == 1, "its writes are counted: told twice, it is one object all the same"


async def test_a_drain_has_an_end(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    await setup.enqueue(1)
    (worker,) = setup.fleet.workers.values()
    await worker.claim()
    setup.create({"maxReplicas": 2}, drain={"timeoutSeconds": 0})
    await setup.reason("Working")
    await setup.fleet.add_pod()
    setup.api.change("deployments", setup.name, {"spec": {"replicas": 2}})
    setup.fleet.count()
    await setup.enqueue(1)
    other = next(w for w in setup.fleet.workers.values() if w is not worker)
    await other.claim()
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": {"maxReplicas": 1}}})
    await setup.told("DrainTimedOut")
    await setup.replicas(1)


async def test_paused_leaves_replicas_alone(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    await setup.enqueue(9)
    setup.create(paused=True)
    await setup.reason("Paused")
    assert setup.fleet.replicas == 2
    assert setup.condition("Paused") == ("True", "SpecPaused")
    setup.api.change("taskqueues", setup.name, {"spec": {"paused": False}})
    await setup.replicas(9)


@pytest.mark.parametrize(
    ("change", "failed_rounds"),
    [({"metadata": {"labels": {"touched": "yes"}}}, 0), ({"spec": {"replicas": 1}}, 1)],
    ids=["a label", "the number"],
)
async def test_somebody_elses_write_in_between_is_noticed(operator, setup, change, failed_rounds):
    """The Deployment's version is behind in the cache: the write is refused, and tried anew.

    At once, if it is still right; else in the next round, which decides on the new number.
    """
    setup.fleet.create()
    setup.create()
    await setup.reason("Idle")
    listeners, setup.api.listeners[:] = list(setup.api.listeners), []
    stale = setup.api.get("deployments", setup.name)["metadata"]["resourceVersion"]
    setup.api.change("deployments", setup.name, change)
    await setup.enqueue(2)
    await setup.replicas(2)
    setup.api.listeners[:] = listeners
    first, *others = [body["metadata"]["resourceVersion"] for body in setup.api.writes("/scale")]
    assert first == stale, "the write names the version that was seen"
    assert others
    assert stale not in others
    assert operator.failed_rounds == failed_rounds


async def later(setup, seconds) -> None:
    options = TaskOptions(delay_seconds=seconds)
    await setup.client.enqueue_job(setup.queue, "job", task_options=options)


async def draining(admin, setup) -> list[str]:
    """Pods whose workers are told to go."""
    return [info.pod_name for info in await admin.workers(setup.queue) if info.draining]


def marked(pod) -> bool:
    return "identtqueue.dev/draining-since" in (pod["metadata"].get("annotations") or {})


# --- pauses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("timings", [Timings(numbers_seconds=0.5)])
async def test_the_tasks_of_a_paused_job_start_nobody(operator, setup, raw):
    setup.fleet.create()
    setup.create({"pollPeriodSeconds": 1, "maxReplicas": 20})
    await setup.reason("Idle")
    await setup.is_heard(raw)
    async with Admin(setup.address) as admin:
        assert await admin.pause_job(setup.queue, "job")
        await setup.enqueue(3)
        await eventually(lambda: setup.status["tasks"]["held"] == 3)
        assert setup.fleet.replicas == 0
        await admin.resume_job(setup.queue, "job")
        await setup.replicas(3)
        assert [entry.act for entry in await admin.audit(setup.queue)] == [
            *("resume_job", "pause_job")
        ], "what the operator does is in its events"


async def test_a_pause_at_a_number_drains_down_to_it_and_holds(operator, setup):
    await setup.enqueue(3)
    setup.fleet.create(3)
    await setup.fleet.settle()
    busy = list(setup.fleet.workers.values())
    for worker in busy:
        await worker.claim()
    setup.create(pausedReplicas=1)
    await setup.reason("Draining")
    assert setup.fleet.replicas == 3, "they are busy"
    assert setup.condition("Paused") == ("True", "PausedAtReplicas")
    for worker in busy:
        await worker.finish()
    await setup.replicas(1)
    await setup.fleet.settle()
    await setup.enqueue(9)
    await setup.reason("PausedAtReplicas")
    await operator.looks()
    assert setup.fleet.replicas == 1
    setup.api.change("taskqueues", setup.name, {"spec": {"pausedReplicas": None}})
    await setup.replicas(9)
    await eventually(lambda: setup.condition("Paused") == ("False", "NotPaused"))


async def test_a_pause_in_one_direction_holds_that_direction(operator, setup):
    setup.fleet.create()
    setup.create({"scaleUp": {"paused": True}, "minReplicas": 1})
    await setup.reason("ScaleUpPaused")
    assert setup.fleet.replicas == 0
    idle = {"stabilizationSeconds": 0, "idleSeconds": 0}
    rules = {"scaleUp": {"paused": False}, "scaleDown": idle | {"paused": True}, "minReplicas": 0}
    setup.api.change("taskqueues", setup.name, {"spec": {"scaling": rules}})
    tasks = await setup.enqueue(2)
    await setup.replicas(2)
    for task in tasks:
        await setup.client.cancel(task)
    await setup.reason("ScaleDownPaused")
    assert setup.condition("ScalingLimited") == ("True", "ScaleDownPaused")
    assert setup.fleet.replicas == 2


@pytest.mark.slow
async def test_percent_steps_double_the_number_period_by_period(operator, setup):
    setup.fleet.create()
    double = {"type": "Percent", "value": 100, "periodSeconds": 1}
    setup.create({"maxReplicas": 20, "scaleUp": {"policies": [double]}})
    await setup.enqueue(40)
    await setup.replicas(20)
    written = [body["spec"]["replicas"] for body in setup.api.writes("/scale")]
    assert written == [1, 2, 4, 8, 16, 20]
