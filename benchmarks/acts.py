"""What acts on many tasks cost: tasks per second, and how long a step keeps Redis from others.

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

from identtqueue.admin import Act, ActProgress, Admin, Filter, Place
from identtqueue.protocol import codec
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure, Task
from testing.redis_server import RedisServer

QUEUE: Final = "acts"
OTHER: Final = "acts-moved"

_FILL: Final = """
local kind, first, last = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
for i = first, last do
  local id = ARGV[2] .. kind .. i
  local job = i % 3 == 0 and 'other' or 'job'
  redis.call('HSET', ARGV[1] .. id, 'payload', ARGV[6], 'function', job, 'enqueued_at', i)
  if kind == 'pending' then
    redis.call('HSET', ARGV[1] .. id, 'state', 'pending')
    redis.call('RPUSH', KEYS[1], id)
  elseif kind == 'scheduled' then
    redis.call('HSET', ARGV[1] .. id, 'state', 'scheduled')
    redis.call('ZADD', KEYS[2], 4000000000000 + i, id)
  else
    redis.call('HSET', ARGV[1] .. id, 'state', 'failed', 'error', ARGV[7], 'started_at', i,
      'finished_at', i, 'attempt', 1, 'failures', 1)
    redis.call('ZADD', KEYS[3], 1700000000000 + i, id)
  end
end
"""


def fill(raw: redis.Redis, kind: str, number: int) -> None:
    """Put tasks into the queue: two of three are of the job `job`, the others of `other`."""
    k = queue_keys(QUEUE)
    payload = codec.encode_task(Task("job", ("s3://documents/2026/01/31/0001.jpg",)))
    failure = codec.encode_failure(Failure("ValueError", "the page is empty", "line\n" * 40))
    for first in range(0, number, 5_000):
        last = min(first + 5_000, number) - 1
        arguments = (k.task_prefix, f"{QUEUE}:", kind, first, last, payload, failure)
        raw.eval(_FILL, 3, k.pending, k.scheduled, k.dead, *arguments)


def cpu_ms(raw: redis.Redis) -> float:
    """Return the CPU time that the server has used so far."""
    used = raw.info("cpu")
    return 1_000 * float(used["used_cpu_sys"] + used["used_cpu_user"])


async def measure(raw: redis.Redis, name: str, steps: AsyncIterator[ActProgress]) -> None:
    """Act to the end, and print a line about it."""
    seconds, spent_ms, changed, scanned = 0.0, [], 0, 0
    before_ms, begun = cpu_ms(raw), time.perf_counter()
    async for step in steps:
        seconds += time.perf_counter() - begun
        after_ms = cpu_ms(raw)
        spent_ms.append(after_ms - before_ms)
        changed, scanned = step.changed, step.scanned
        before_ms, begun = cpu_ms(raw), time.perf_counter()
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
        fill(raw, "pending", pending)
        fill(raw, "dead", dead)
        fill(raw, "scheduled", dead)
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
            fill(raw, "dead", dead)
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
