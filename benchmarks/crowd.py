"""A crowded queue: tasks by the hundred thousand, written into Redis by a script."""

from __future__ import annotations

import time
from typing import Final

import redis

from identtqueue.protocol import codec
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure, Task

_FILL: Final = """
local kind, first, last = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
for i = first, last do
  local id, is_other = ARGV[2] .. kind .. i, i % 3 == 0
  local payload = is_other and ARGV[7] or ARGV[6]
  if kind == 'pending' then  -- packed, as an ordinary task is: see lua/lib/packed.lua
    redis.call('HSET', KEYS[4], kind .. i, string.format('p%013d\\n', i) .. payload)
    redis.call('RPUSH', KEYS[1], id)
  else
    redis.call('HSET', ARGV[1] .. id, 'payload', payload, 'function', is_other and 'other' or 'job',
      'enqueued_at', i)
  end
  if kind == 'scheduled' then
    redis.call('HSET', ARGV[1] .. id, 'state', 'scheduled')
    redis.call('ZADD', KEYS[2], 4000000000000 + i, id)
  elseif kind == 'dead' then
    redis.call('HSET', ARGV[1] .. id, 'state', 'failed', 'error', ARGV[8], 'started_at', i,
      'finished_at', i, 'attempt', 1, 'failures', 1)
    redis.call('ZADD', KEYS[3], ARGV[9] + i, id)
  end
end
"""


def fill(raw: redis.Redis, queue: str, kind: str, number: int) -> None:
    """Put tasks into a queue: two of three are of the job `job`, the others of `other`.

    Args:
        raw: a connection to Redis.
        queue: name of the queue.
        kind: `pending`, `scheduled` or `dead`.
        number: how many tasks.
    """
    k = queue_keys(queue)
    scan = ("s3://documents/2026/01/31/0001.jpg",)
    payloads = [codec.encode_task(Task(job, scan)) for job in ("job", "other")]
    failure = codec.encode_failure(Failure("ValueError", "the page is empty", "line\n" * 40))
    died_ms = round(time.time() * 1_000) - number  # old ones would be deleted
    for first in range(0, number, 5_000):
        last = min(first + 5_000, number) - 1
        arguments = (k.task_prefix, f"{queue}:", kind, first, last, *payloads, failure, died_ms)
        raw.eval(_FILL, 4, k.pending, k.scheduled, k.dead, k.packed_tasks, *arguments)
