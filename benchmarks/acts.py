"""What acts on many tasks cost: tasks per second, and how long one call keeps Redis from others.

    python -m benchmarks.acts [--dead 100000] [--pending 1000000]

It starts a Redis of its own, fills a queue, and acts on all tasks of each place. The time of a call
is the one that Redis counts for the script; the slow log tells the longest one.
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
SLOW_MICROSECONDS: Final = 1_000

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


async def measure(raw: redis.Redis, name: str, steps: AsyncIterator[ActProgress]) -> None:
    """Act to the end, and print a line about it."""
    raw.config_resetstat()
    raw.slowlog_reset()
    begun = time.perf_counter()
    (*_, step) = [step async for step in steps]
    seconds = time.perf_counter() - begun
    scripts = raw.info("commandstats")["cmdstat_evalsha"]
    slowest = max((row["duration"] for row in raw.slowlog_get(1_000)), default=SLOW_MICROSECONDS)
    print(
        f"| {name} | {step.changed:,} of {step.scanned:,} | {step.changed / seconds:,.0f} | "
        f"{scripts['usec'] / step.changed:.0f} | {scripts['usec_per_call'] / 1_000:.1f} | "
        f"{slowest / 1_000:.1f} |",
        flush=True,
    )


async def main(dead: int, pending: int) -> None:
    """Run all acts, one after the other."""
    server = RedisServer().start()
    raw = server.client()
    raw.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
    raw.config_set("slowlog-max-len", 1_000)
    try:
        fill(raw, "pending", pending)
        fill(raw, "dead", dead)
        fill(raw, "scheduled", dead)
        print("| act | changed of seen | tasks/s | Redis µs/task | ms a call | longest call, ms |")
        print("|---|---|---|---|---|---|")
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
