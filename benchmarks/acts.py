"""Cost of acts on many tasks: tasks per second, and how long a step keeps Redis from others.

    python -m benchmarks.acts [--dead 100000] [--pending 1000000]

It starts a Redis of its own, fills a queue, and acts on all tasks of each place. A step is at least
two calls: one that reads a page, and one that changes what it found. So its CPU time, which other
processes of the machine do not disturb, is an upper bound for the time of one call.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from benchmarks.crowd import fill
from benchmarks.host import redis_cpu_seconds
from identtqueue.admin import Act, ActProgress, Admin, Filter, Place
from testing.redis_server import RedisServer

QUEUE: Final = "acts"
OTHER: Final = "acts-moved"


async def measure(raw: redis.Redis, name: str, steps: AsyncIterator[ActProgress]) -> None:
    """Act to the end, and print a line about it."""
    seconds, spent_ms, changed, scanned = 0.0, [], 0, 0
    before, begun = redis_cpu_seconds(raw), time.perf_counter()
    async for step in steps:
        seconds += time.perf_counter() - begun
        spent_ms.append(1_000 * (redis_cpu_seconds(raw) - before))
        changed, scanned = step.changed, step.scanned
        before, begun = redis_cpu_seconds(raw), time.perf_counter()
    spent_ms.sort()
    print(
        f"| {name} | {changed:,} of {scanned:,} | {changed / seconds:,.0f} | "
        f"{1_000 * sum(spent_ms) / changed:.0f} | {spent_ms[len(spent_ms) // 2]:.1f} | "
        f"{spent_ms[int(len(spent_ms) * 0.99)]:.1f} | {spent_ms[-1]:.1f} |",
        flush=True,
    )


async def main(dead: int, pending: int) -> None:
    """Run all acts, one after the other."""
    server = RedisServer().start()
    raw = server.client()
    try:
        fill(raw, QUEUE, "pending", pending)
        fill(raw, QUEUE, "dead", dead)
        fill(raw, QUEUE, "scheduled", dead)
        print("| act | changed of seen | tasks/s | CPU of Redis: µs/task | ms/step | p99 | most |")
        print("|---|---|---|---|---|---|---|")
        async with Admin(server.address, actor="bench") as admin:
            job, place, at = Filter(job="job"), Place, datetime.now(UTC) + timedelta(days=1)
            for name, steps in (
                ("replay, by job", admin.act(Act.REPLAY, QUEUE, place.DEAD, job)),
                ("move", admin.act(Act.MOVE, QUEUE, place.DEAD, to_queue=OTHER)),
                ("reschedule", admin.act(Act.RESCHEDULE, QUEUE, place.SCHEDULED, at=at)),
                ("start now", admin.act(Act.START_NOW, QUEUE, place.SCHEDULED)),
                ("cancel, by job", admin.act(Act.CANCEL, QUEUE, place.PENDING, job)),
                ("purge", admin.purge(QUEUE, place.PENDING)),
            ):
                await measure(raw, name, steps)
            fill(raw, QUEUE, "dead", dead)
            await measure(raw, "discard", admin.act(Act.DISCARD, QUEUE, place.DEAD))
    finally:
        raw.close()
        server.destroy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=int, default=100_000)
    parser.add_argument("--pending", type=int, default=1_000_000)
    given = parser.parse_args()
    asyncio.run(main(given.dead, given.pending))
