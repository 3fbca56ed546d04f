"""Tasks of workers that died come back: on evidence at once, else when the lease ends."""

from identtqueue.admin import Admin
from testing.waiting import eventually


async def busy_fleet(setup, lease_seconds=60):
    """One pod whose worker has begun the only task."""
    setup.fleet.create(1)
    worker = await setup.fleet.add_pod(lease_seconds)
    setup.fleet.count()
    (task_id,) = await setup.enqueue(1)
    assert await worker.claim() == [task_id]
    return worker, task_id


def queued(setup, raw):
    async def is_back():
        async with Admin(setup.address) as admin:
            depth = (await admin.depths([setup.queue]))[setup.queue]
            return depth.queued == 1 and depth.in_flight == 0

    return is_back


async def test_a_container_that_was_killed(operator, setup, raw):
    worker, _ = await busy_fleet(setup)
    setup.create()
    await setup.reason("Working")
    await worker.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    await eventually(queued(setup, raw), "the task is back")
    message = await setup.told("TasksRequeued")
    assert f"worker in {worker.pod_name}: container ended (worker: Error, exit code 137)" in message
    await eventually(lambda: setup.status.get("recovered"))
    assert setup.status["recovered"]["total"] == 1


async def test_the_report_may_come_before_the_connection_closes(operator, setup, raw):
    worker, _ = await busy_fleet(setup)
    setup.create()
    await setup.reason("Working")
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    reconciler = next(iter(operator.controller.reconcilers.values()))
    await eventually(lambda: reconciler.decision and reconciler.decision.evidence.suspects)
    assert setup.events("TasksRequeued") == []
    await worker.die()
    await setup.told("TasksRequeued")


async def test_the_next_incarnation_keeps_what_it_has(operator, setup, raw):
    worker, task_id = await busy_fleet(setup)
    setup.create()
    await setup.reason("Working")
    await worker.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    await setup.told("TasksRequeued")
    successor = await setup.fleet.start_worker(setup.api.get("pods", worker.pod_name))
    assert await successor.claim() == [task_id]
    await setup.reason("Working")
    setup.api.change("pods", worker.pod_name, {"metadata": {"labels": {"poke": "1"}}})
    (ack,) = await successor.finish()
    assert ack.recorded


async def test_a_pod_that_is_deleted_with_a_report(operator, setup, raw):
    worker, _ = await busy_fleet(setup)
    setup.create()
    await setup.reason("Working")
    setup.api.change(
        "pods", worker.pod_name, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    )
    setup.fleet.container_ended(worker.pod_name)
    setup.api.remove("pods", worker.pod_name)
    await worker.die()
    await setup.told("TasksRequeued")


async def test_a_pod_that_is_force_deleted(operator, setup, raw):
    worker, _ = await busy_fleet(setup)
    setup.create(recovery={"leaseSeconds": 5})
    await setup.reason("Working")
    await worker.die()
    setup.api.remove("pods", worker.pod_name)
    assert "pod gone and connection closed" in await setup.told("TasksRequeued")


async def test_a_force_deleted_pod_whose_worker_lives_keeps_its_lease(operator, setup, raw):
    worker, _ = await busy_fleet(setup)
    setup.create()
    await setup.reason("Working")
    setup.api.remove("pods", worker.pod_name)
    reconciler = next(iter(operator.controller.reconcilers.values()))
    await eventually(lambda: any(pod.gone_at for pod in reconciler.seen.pods))
    assert reconciler.decision.evidence.deaths == ()
    (ack,) = await worker.finish()
    assert ack.recorded


async def test_a_silent_node_is_waited_for_until_the_lease_ends(operator, setup, raw):
    worker, _ = await busy_fleet(setup, lease_seconds=1.5)
    setup.create(recovery={"leaseSeconds": 5})
    await setup.reason("Working")
    await worker.die()
    assert "lease ran out" in await setup.told("TasksRequeued")


async def test_a_task_that_kills_its_worker_again_becomes_a_dead_letter(operator, setup, raw):
    worker, task_id = await busy_fleet(setup)
    setup.create(recovery={"maxDeliveries": 1})
    await setup.reason("Working")
    await worker.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    await setup.told("TasksRequeued")
    successor = await setup.fleet.start_worker(setup.api.get("pods", worker.pod_name))
    assert await successor.claim() == [task_id]
    await successor.die()
    setup.fleet.container_ended(worker.pod_name, restarted=True)
    message = await setup.told("TaskDeadLettered")
    assert task_id in message


async def test_recovery_goes_on_while_paused_or_without_a_deployment(operator, setup, raw):
    worker, _ = await busy_fleet(setup, lease_seconds=1)
    setup.create(paused=True, recovery={"leaseSeconds": 5})
    await setup.reason("Paused")
    setup.api.remove("deployments", setup.name)
    await worker.die()
    await setup.told("TasksRequeued")
