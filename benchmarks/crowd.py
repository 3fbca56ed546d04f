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
    redis.call('ZADD', KEYS[3], ARGV[8] + i, id)
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
    payload = codec.encode_task(Task("job", ("s3://documents/2026/01/31/0001.jpg",)))
    failure = codec.encode_failure(Failure("ValueError", "the page is empty", "line\n" * 40))
    died_ms = round(time.time() * 1_000) - number  # old ones would be deleted
    for first in range(0, number, 5_000):
        last = min(first + 5_000, number) - 1
        arguments = (k.task_prefix, f"{queue}:", kind, first, last, payload, failure, died_ms)
        raw.eval(_FILL, 3, k.pending, k.scheduled, k.dead, *arguments)
