"""What asyncio and blocking connections share: words to send, replies and errors to read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import hiredis
from redis import exceptions as redis_errors
from redis.backoff import EqualJitterBackoff

from identtqueue.errors import (
    RedisAuthFailed,
    RedisError,
    RedisFull,
    RedisTooOld,
    RedisUnavailable,
)
from identtqueue.protocol.commands import Call, Word
from identtqueue.protocol.scripts import script

OLDEST_REDIS: Final = (6, 2)
"""BLMOVE-era server: LPOP with a count, and effects replication by default."""

CONNECTION_LOST: Final = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    OSError,
    EOFError,
    TimeoutError,
)

_PASSING: Final = (
    redis_errors.BusyLoadingError,
    redis_errors.ClusterDownError,  # MASTERDOWN too
    redis_errors.ReadOnlyError,
    redis_errors.TryAgainError,
)
_PASSING_TEXT: Final = re.compile(r"(BUSY|UNKILLABLE) |.* -READONLY ")
"""Without a class in redis-py: a script that runs for too long; and how 6.2 quotes what a script
was told."""

_BACKOFF: Final = EqualJitterBackoff(base=0.05, cap=2.0)


def backoff_seconds(failures: int) -> float:
    """The pause after so many failures in a row.

    Between the half and the whole of 50 ms, doubling to 2 s: the jitter is there at the cap too,
    so that a fleet does not return in step after a long outage.
    """
    return float(_BACKOFF.compute(min(failures, 16)))  # 2**16 is past the cap


def words(call: Call[Any]) -> tuple[Word, ...]:
    """The command as Redis wants it."""
    if not call.is_script:
        return (call.name, *call.args)
    loaded = script(call.name)
    if len(call.keys) != loaded.key_count:
        raise ValueError(f"{call.name} takes {loaded.key_count} keys, got {len(call.keys)}")
    return ("EVALSHA", loaded.sha, loaded.key_count, *call.keys, *call.args)


def pack(batch: Iterable[tuple[Word, ...]]) -> list[bytes]:
    """Commands as they go over the wire.

    By hiredis: redis-py's own packing took a quarter of a busy worker's time.
    """
    return [hiredis.pack_command(words) for words in batch]  # type: ignore[arg-type]  # its stub


def load_words(names: Sequence[str]) -> list[tuple[Word, ...]]:
    """SCRIPT LOAD for each."""
    return [("SCRIPT", "LOAD", script(name).source) for name in names]


def is_missing_script(reply: object) -> bool:
    """Redis forgot its scripts (restart, failover, SCRIPT FLUSH); the call did nothing."""
    return isinstance(reply, redis_errors.NoScriptError)


def translate(error: BaseException) -> RedisError:
    """One of this library's errors for one of redis-py's."""
    text = str(error)
    if isinstance(error, RedisError):
        return error
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.NoPermissionError):
        return RedisAuthFailed(
            f"Redis refused the login or a command: {text}. Check user name, password and ACL"
        )
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM command not allowed" in text:
        return RedisFull(f"Redis is full, nothing was written: {text}")
    if isinstance(error, (*CONNECTION_LOST, *_PASSING)) or _PASSING_TEXT.match(text):
        return RedisUnavailable(f"Redis can't be reached: {text or type(error).__name__}")
    return RedisError(text)


def check_version(info: dict[str, str]) -> None:
    """Refuse a server that lacks what the scripts use.

    Raises:
        RedisTooOld: older than 6.2.
    """
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_REDIS:
        raise RedisTooOld(version, ".".join(map(str, OLDEST_REDIS)))


def fail(error: BaseException) -> NoReturn:
    """Raise the translated error."""
    raise translate(error) from error
