"""`restoreReplicas`: the number that the workload had comes back when the TaskQueue is deleted."""

from testing.waiting import eventually


async def restored(setup, count) -> None:
    await eventually(lambda: setup.fleet.replicas == count, f"{count} replicas")


async def test_the_number_is_stored_before_it_is_changed(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    stored = []

    def look(path, write):
        if path.endswith("/scale"):
            stored.append(setup.status.get("originalReplicas"))
        return write()

    setup.api.around_write = look
    setup.create(restoreReplicas=True)
    await setup.replicas(0)
    assert set(stored) == {2}


async def test_raised_again_at_once(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create(restoreReplicas=True)
    await setup.replicas(0)
    await setup.fleet.settle()
    setup.api.remove("taskqueues", setup.name)
    await restored(setup, 2)


async def test_lowered_when_workers_have_finished(operator, setup):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 3}, restoreReplicas=True)
    await setup.replicas(3)
    await setup.fleet.settle()
    await setup.enqueue(3)
    for worker in setup.fleet.workers.values():
        assert await worker.claim()
    setup.api.remove("taskqueues", setup.name)
    first, *_ = setup.fleet.workers.values()
    await first.finish()
    await restored(setup, 2)
    await setup.fleet.settle()
    for worker in setup.fleet.workers.values():
        await worker.finish()
    await restored(setup, 1)


async def test_it_outlives_the_operator(operator, setup):
    setup.fleet.create(3)
    await setup.fleet.settle()
    setup.create(restoreReplicas=True)
    await setup.replicas(0)
    await setup.fleet.settle()
    await operator.stop()
    await operator.start()
    await setup.reason("Idle")
    assert setup.status["originalReplicas"] == 3
    setup.api.remove("taskqueues", setup.name)
    await restored(setup, 3)


async def test_not_where_another_taskqueue_goes_on(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create(restoreReplicas=True)
    await setup.replicas(0)
    await setup.fleet.settle()
    setup.create(name="next")
    await eventually(lambda: operator.failed_rounds == 0)
    setup.api.remove("taskqueues", setup.name)
    await eventually(lambda: "reason" in setup.api.get("taskqueues", "next").get("status", {}))
    await operator.looks()
    assert setup.fleet.replicas == 0


async def test_without_the_field_the_number_stays(operator, setup):
    setup.fleet.create(2)
    await setup.fleet.settle()
    setup.create()
    await setup.replicas(0)
    await setup.fleet.settle()
    setup.api.remove("taskqueues", setup.name)
    await eventually(lambda: not operator.controller.reconcilers)
    await operator.stop()  # which waits for what is left to do
    assert setup.fleet.replicas == 0


async def test_an_operator_that_stops_does_not_wait_for_it(operator, setup, stopwatch):
    setup.fleet.create(1)
    await setup.fleet.settle()
    setup.create({"minReplicas": 2}, restoreReplicas=True)
    await setup.replicas(2)
    await setup.fleet.settle()
    await setup.enqueue(2)
    for worker in setup.fleet.workers.values():
        assert await worker.claim()
    setup.api.remove("taskqueues", setup.name)
    await eventually(lambda: not operator.controller.reconcilers)
    await operator.stop()
    assert stopwatch() < 30
    assert setup.fleet.replicas == 2
