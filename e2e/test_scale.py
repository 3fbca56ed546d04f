"""Scaling by list length: from zero on the first push, and to zero without cutting a task off."""

from __future__ import annotations

import asyncio
import time

from identtqueue import State, TaskOptions
from identtqueue.protocol.submission import Submission
from testing.cluster.workload import deployment, task_queue


async def test_zero_to_n_in_one_step_and_back_to_zero(release, scene, watch, figure):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await scene.until_looked_after()
    replicas = watch()

    enqueued_at = time.time()
    receipts = await scene.client.submit_many(
        Submission(name, "nap", kwargs={"seconds": 2}) for _ in range(6)
    )
    tasks = [receipt.task_id for receipt in receipts]
    patched_at = await asyncio.to_thread(replicas.wait_for, lambda number: number > 0)
    figure(
        f"first enqueue -> Deployment PATCHed (seen by a watch): {patched_at - enqueued_at:.3f} s"
    )
    await asyncio.gather(*(scene.client.wait_for_result(task, 120) for task in tasks))
    figure(f"first enqueue -> 6 tasks of 2 s done, from zero: {time.time() - enqueued_at:.1f} s")

    done_at = time.time()
    zero_at = await asyncio.to_thread(
        replicas.wait_for, lambda number: number == 0, 90, raised=True
    )
    figure(f"last result -> 0 replicas (idleSeconds 2): {zero_at - done_at:.1f} s")
    assert replicas.steps[:2] == [0, 3], "in one step"
    assert max(replicas.steps) == 3
    info = [await scene.client.get_task(task) for task in tasks]
    assert all(task.attempt == 1 for task in info), "scaling down cost a task its attempt"

    decision = scene.kubectl.get("taskqueue", name)["status"]["lastDecision"]
    assert "ceil(" in decision["message"]
    await scene.until_told("ScaledUp", "ScaledToZero")


async def test_a_busy_worker_outlives_the_scale_down(release, scene):
    name = scene.name
    scene.kubectl.apply(
        deployment(release, name, name, grace_seconds=120),
        task_queue(release, name, name, drain={"timeoutSeconds": 100}),
    )
    long = await scene.client.enqueue_job(name, "nap", seconds=25)
    short = [await scene.client.enqueue_job(name, "nap", seconds=1) for _ in range(2)]
    await asyncio.gather(*(scene.client.wait_for_result(task, 90) for task in short))
    await scene.until_running(long)

    await scene.until("shrunk to 1", lambda: scene.replicas() == 1, 60)
    assert await scene.client.get_status(long) is State.RUNNING
    assert await scene.client.wait_for_result(long, 60) == 1, "it ran once, to its end"
    await scene.until("zero", lambda: scene.replicas() == 0, 60)


async def test_busy_workers_that_were_told_to_go_are_called_back(release, scene):
    """Work returns during a drain: no worker restarts, and no task is cut off."""
    name = scene.name

    def of(most: int) -> dict:
        scaling = {"maxReplicas": most, "concurrencyPerReplica": 1}
        return task_queue(release, name, name, scaling=scaling, drain={"timeoutSeconds": 100})

    async def until_draining(number: int) -> None:
        async def look() -> bool:
            found = await scene.admin.workers(name)
            return sum(worker.draining for worker in found) == number

        await scene.until_async(f"{number} workers are told to go", look, 30)

    scene.kubectl.apply(deployment(release, name, name, grace_seconds=120), of(3))
    naps = [await scene.client.enqueue_job(name, "nap", seconds=30) for _ in range(3)]
    await asyncio.gather(*(scene.until_running(task) for task in naps))
    before = {pod["metadata"]["uid"] for pod in scene.pods()}
    assert len(before) == 3

    scene.kubectl.apply(of(1))
    await until_draining(2)
    assert scene.replicas() == 3, "they are busy"
    scene.kubectl.apply(of(3))
    await until_draining(0)
    # Checked before the first task ends, because its worker may leave once it is idle.
    assert {pod["metadata"]["uid"] for pod in scene.pods()} == before

    for task in naps:
        assert await scene.client.wait_for_result(task, 60) == 1
    assert not any(
        status["restartCount"]
        for pod in scene.pods()
        for status in pod["status"]["containerStatuses"]
    )


async def test_as_many_workers_as_the_waiting_time_needs(release, scene):
    """With the strategy WaitTime, more tasks wait than one worker finishes in time."""
    name = scene.name
    strategy = {"type": "WaitTime", "waitTime": {"targetSeconds": 10}}
    scene.kubectl.apply(
        deployment(release, name, name),
        task_queue(release, name, name, scaling={"strategy": strategy, "maxReplicas": 3}),
    )
    await scene.until_looked_after()
    first = await scene.client.enqueue_job(name, "nap", seconds=2)
    assert await scene.client.wait_for_result(first, 60) == 1  # so the run time is known
    tasks = [await scene.client.enqueue_job(name, "nap", seconds=2) for _ in range(20)]
    await scene.until("all that may be", lambda: scene.replicas() == 3, 30)
    await scene.until(
        "told with its formula",
        lambda: any("left of 10 s" in message for _, message in scene.kubectl.events(name)),
        20,
    )
    for result in await scene.client.wait_many(tasks, 90):
        assert result.unwrap() == 1
    await scene.until("zero", lambda: scene.replicas() == 0, 60)


async def test_what_kubectl_shows(release, scene):
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await scene.until_looked_after()
    task = await scene.client.enqueue_job(name, "nap", seconds=8)
    await scene.until_running(task)

    columns = scene.kubectl("get", "tq", name).splitlines()[0].split()
    assert columns == [
        *("NAME", "WORKLOAD", "DESIRED", "CURRENT", "READYPODS", "QUEUED", "INFLIGHT"),
        *("OLDESTWAIT", "READY", "REASON", "AGE"),
    ]
    told = scene.kubectl("describe", "tq", name)
    assert told.index("Brief:") < told.index("Conditions:"), "the decision comes first"
    assert "ceil((" in told
    assert "ScaledUp" in told
    await scene.client.wait_for_result(task, 60)


async def test_workers_are_ready_when_a_scheduled_task_falls_due(release, scene, watch, figure):
    """From zero, pods are started earlier by the start-up time that was measured."""
    name = scene.name
    scene.kubectl.apply(deployment(release, name, name), task_queue(release, name, name))
    await scene.until_looked_after()
    first = await scene.client.enqueue_job(name, "nap", seconds=0)
    await scene.client.wait_for_result(first, 90)
    await scene.until("zero again", lambda: scene.replicas() == 0, 60)
    measured = scene.kubectl.get("taskqueue", name)["status"]["startupSeconds"]
    replicas = watch()

    delay = measured + 12
    options = TaskOptions(delay_seconds=delay)
    tasks = [
        await scene.client.enqueue_job(name, "nap", seconds=1, task_options=options)
        for _ in range(2)
    ]
    due_at = time.time() + delay
    scaled_at = await asyncio.to_thread(replicas.wait_for, lambda number: number == 2, 60)
    found = [await scene.until_running(task) for task in tasks]
    late = max(task.started_at_ms / 1000 for task in found) - due_at
    figure(
        f"scheduled task, from zero: pods asked for {due_at - scaled_at:.1f} s ahead "
        f"(a pod takes {measured} s), begun {late:.2f} s after it was due"
    )
    assert scaled_at < due_at
    message = scene.kubectl.get("taskqueue", name)["status"]["lastDecision"]["message"]
    assert "due within" in message or late < 2
    await asyncio.gather(*(scene.client.wait_for_result(task, 30) for task in tasks))


async def test_a_schedule_holds_workers(release, scene):
    name = scene.name
    always = {"name": "always", "start": "* * * * *", "durationSeconds": 120, "minReplicas": 2}
    bad = {"name": "bad", "start": "0 25 * * *", "end": "0 18 * * *", "minReplicas": 1}
    scene.kubectl.apply(
        deployment(release, name, name),
        task_queue(release, name, name, scaling={"schedules": [always]}),
    )
    await scene.until("the schedule is followed", lambda: scene.replicas() == 2, 30)
    await scene.until(
        "and told",
        lambda: (
            "Schedule"
            in scene.kubectl("get", "tq", name, "-o", "jsonpath={.status.lastDecision.limitedBy}")
        ),
    )
    scene.kubectl.apply(task_queue(release, name, name, scaling={"schedules": [bad]}))
    await scene.until(
        "what is wrong is said",
        lambda: "Bad hour" in scene.kubectl.condition(name, "Ready").get("message", ""),
    )
    both = {**always, "end": "0 18 * * *"}
    refused = task_queue(release, name, name, scaling={"schedules": [both]})
    assert "exactly one of end and durationSeconds" in scene.kubectl.refused(refused)
