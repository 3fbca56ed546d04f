"""The Redis commands in the scripts of a worker, with which it checks its rights at the start.

`roles` derives them from the scripts, of which it reads all. A worker that did so would start a
tenth later. So they stand here, and a test compares the two.
"""

from __future__ import annotations

from typing import Final

WORKER_COMMANDS: Final = (
    "DEL EXISTS GET HDEL HEXISTS HGET HINCRBY HKEYS HMGET HSET HSTRLEN LINDEX LLEN LPOP LPOS LPUSH "
    "LRANGE LREM LTRIM PEXPIRE PTTL PUBLISH RPOP RPUSH SADD SCARD SET SISMEMBER SRANDMEMBER SREM "
    "TIME UNLINK ZADD ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK ZREM ZSCORE"
)
