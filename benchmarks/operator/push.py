"""From an enqueue on an empty queue to the PATCH of the Deployment, nothing else going on."""

from __future__ import annotations

import itertools
import time

from benchmarks.operator.api import Replicas
from benchmarks.operator.stage import Stage
from identtqueue.protocol.submission import Submission

ROTATION = 20
"""TaskQueues that take turns, so that each has long been at rest when it is rung."""
ONE_STEP_TASKS = 200


async def first_enqueue(stage: Stage, repetitions: int) -> dict[str, list[float]]:
    """Milliseconds from before the enqueue until the watch has the higher number."""
    names = [f"push-{number}" for number in range(ROTATION)]
    await stage.create(names)
    taken = []
    async with Replicas(stage.api, stage.namespace) as replicas:
        await stage.operator.start()
        await stage.operator.until_looked_after(len(names))
        for name in itertools.islice(itertools.cycle(names), repetitions):
            begin = time.monotonic()
            task_id = await stage.client.enqueue_job(name, "job")
            taken.append((await replicas.raised(name, begin) - begin) * 1000)
            await stage.client.cancel(task_id)
            await replicas.at(name, 0)
    return {"patch_ms": taken}


async def one_step(stage: Stage, repetitions: int) -> dict[str, list[float]]:
    """PATCHes that 200 tasks, enqueued together, cost until there are 20 replicas."""
    patches = []
    async with Replicas(stage.api, stage.namespace) as replicas:
        for number in range(repetitions):
            name = f"push-{number % ROTATION}"
            await replicas.at(name, 0)
            before = len(replicas.steps[name])
            receipts = await stage.client.submit_many(
                Submission(name, "job") for _ in range(ONE_STEP_TASKS)
            )
            await replicas.at(name, 20)
            patches.append(float(len(replicas.steps[name]) - before))
            for receipt in receipts:
                await stage.client.cancel(receipt.task_id)
    return {"patches": patches}
