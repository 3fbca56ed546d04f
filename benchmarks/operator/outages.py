"""Redis goes away and comes back: is it told, is nothing lowered, how soon does it go on."""

from __future__ import annotations

import time

from benchmarks.operator.api import Conditions, Replicas
from benchmarks.operator.stage import Stage, say
from identtqueue.protocol.submission import Submission

FLEET = 10
BACKLOG = 60
FLEET_NAMES = [f"fleet-{number}" for number in range(FLEET)]
EMPTY = "after"


async def outages(stage: Stage, repetitions: int) -> dict[str, list[float]]:
    """Kill Redis (or let it hang, every other time), bring it back, enqueue on an empty queue.

    Returns:
        Seconds until every TaskQueue says that Redis is unreachable; seconds from the return to the
        PATCH for a task that is enqueued then; Deployments with a backlog that were lowered.
    """
    await stage.create([*FLEET_NAMES, EMPTY])
    for name in FLEET_NAMES:
        await stage.client.submit_many(Submission(name, "job") for _ in range(BACKLOG))
    told, again = [], []
    names = [*FLEET_NAMES, EMPTY]
    async with (
        Replicas(stage.api, stage.namespace) as replicas,
        Conditions(stage.api, stage.namespace) as conditions,
    ):
        await stage.operator.start()
        for name in FLEET_NAMES:
            await replicas.at(name, BACKLOG // 10)
        for number in range(repetitions):
            hangs = number % 2 == 1
            begin = time.monotonic()
            (stage.redis.pause if hangs else stage.redis.kill)()
            await conditions.until(
                "all say unreachable",
                lambda: conditions.all_have(names, "RedisReachable", "False"),
            )
            told.append(time.monotonic() - begin)
            (stage.redis.resume if hangs else stage.redis.start)()
            begin = time.monotonic()
            task_id = await stage.client.enqueue_job(EMPTY, "job")
            again.append(await replicas.raised(EMPTY, begin) - begin)
            await conditions.until(
                "all say reachable", lambda: conditions.all_have(names, "RedisReachable", "True")
            )
            await stage.client.cancel(task_id)
            await replicas.at(EMPTY, 0)
            if (number + 1) % 10 == 0:
                say(f"{number + 1} of {repetitions} outages")
        lowered = sum(replicas.lowered(name) for name in FLEET_NAMES)
    return {"told_s": told, "again_s": again, "lowered": [float(lowered)]}
