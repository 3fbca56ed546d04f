"""2,000 TaskQueues on one Redis: at rest, all ringing, and after a restart of the operator."""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks.operator.api import CORE, OURS, Conditions, Replicas, Rollouts, Watch
from benchmarks.operator.stage import Stage, say

RINGS_PER_SECOND = 50
BURST = 200
OBSERVED_SECONDS = 300.0
CONTROLLER_SECONDS = 900.0
"""Time for the Deployment controller: it writes up to 3 times to each new Deployment, and at most
20 times in a second (`--kube-api-qps` of
https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/)."""


def names_of(number: int) -> list[str]:
    """Of TaskQueues, their Deployments and queues."""
    return [f"many-{i}" for i in range(number)]


async def settle(stage: Stage, number: int) -> dict[str, list[float]]:
    """Create them; the operator has looked at all. Seconds that this took, creation included.

    Returns when the Deployment controller has seen all as well: the operator lowers no number of
    replicas that the controller has not seen.
    """
    names = names_of(number)
    conditions = Conditions(stage.api, stage.namespace)
    rollouts = Rollouts(stage.api, stage.namespace)
    begin = time.monotonic()
    async with conditions, rollouts:
        await stage.create(names)
        await conditions.until(
            f"{number} observed", lambda: len(conditions.observed) >= number, OBSERVED_SECONDS
        )
        took = time.monotonic() - begin
        say(f"{number} TaskQueues looked after; waiting for the Deployment controller")
        await rollouts.until(
            f"{number} Deployments seen by their controller",
            lambda: len(rollouts.observed) >= number,
            CONTROLLER_SECONDS,
        )
    say("the Deployment controller has seen all")
    return {"created_and_observed_s": [took]}


async def idle(stage: Stage, seconds: float) -> dict[str, list[float]]:
    """Measure the resources that the operator uses while nothing happens."""
    task_queues = Watch(stage.api, stage.path(OURS, "taskqueues"))
    events = Watch(stage.api, stage.path(CORE, "events"))
    async with task_queues, events:
        cpu, writes, begin = (
            stage.operator.cpu_seconds(),
            await stage.operator.api_writes(),
            time.monotonic(),
        )
        await asyncio.sleep(seconds)  # this is the time that is measured
        took = time.monotonic() - begin
        return {
            "rss_mb": [stage.operator.rss_mb()],
            "core_percent": [(stage.operator.cpu_seconds() - cpu) / took * 100],
            "writes_per_second": [(await stage.operator.api_writes() - writes) / took],
            "seen_writes_per_second": [(task_queues.count + events.count) / took],
        }


async def burst(stage: Stage, number: int) -> dict[str, list[float]]:
    """One item each for 200 queues at once; seconds until the last Deployment is PATCHed."""
    names = random.Random(1).sample(names_of(number), min(BURST, number))
    task_queues = Watch(stage.api, stage.path(OURS, "taskqueues"))
    async with Replicas(stage.api, stage.namespace) as replicas, task_queues:
        begin = time.monotonic()
        task_ids = await asyncio.gather(*(stage.client.enqueue_job(n, "job") for n in names))
        raised = [await replicas.raised(name, begin) for name in names]
        for task_id in task_ids:
            await stage.client.cancel(task_id)
        for name in names:
            await replicas.at(name, 0)
        steps = max(len(replicas.steps[name]) for name in names)
    return {
        "all_patched_s": [max(raised) - begin],
        "steps": [float(steps)],
        "status_writes": [float(task_queues.count)],
    }


async def steady(stage: Stage, number: int, seconds: float) -> dict[str, list[float]]:
    """50 queues ring in each second; milliseconds from enqueue to PATCH."""
    names = random.Random(2).sample(
        names_of(number), min(round(RINGS_PER_SECOND * seconds), number)
    )
    async with Replicas(stage.api, stage.namespace) as replicas:

        async def ring(name: str) -> float:
            begin = time.monotonic()
            task_id = await stage.client.enqueue_job(name, "job")
            raised = await replicas.raised(name, begin)
            await stage.client.cancel(task_id)
            return (raised - begin) * 1000

        rings = []
        begin = time.monotonic()
        for i, name in enumerate(names):
            await asyncio.sleep(max(0.0, begin + i / RINGS_PER_SECOND - time.monotonic()))
            rings.append(asyncio.create_task(ring(name)))
        taken = await asyncio.gather(*rings)
        for name in names:
            await replicas.at(name, 0)
    return {"patch_ms": list(taken)}


async def restart(stage: Stage, number: int) -> dict[str, list[float]]:
    """Seconds from the start of a new operator until it has looked after all."""
    await stage.operator.stop()
    begin = time.monotonic()
    await stage.operator.start()
    await stage.operator.until_looked_after(number)
    say(f"{number} TaskQueues looked after again")
    return {"observed_s": [time.monotonic() - begin]}
