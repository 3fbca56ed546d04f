"""Packed tasks, as tests see and change them (see `lua/lib/packed.lua`)."""

from __future__ import annotations

import re
from typing import Final

import redis

from identtqueue.protocol.codec import function_name_of
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import queue_of

_TEXT: Final = re.compile(rb"(?:r(\d{13})([^ \n]+) )?p(\d{13})(?: ([^\n]+))?\n(.*)", re.DOTALL)


def fields_in(text: bytes) -> dict[str, bytes]:
    """Read a packed task as the HASH that it would have.

    Raises:
        AssertionError: it breaks the format.
    """
    match = _TEXT.fullmatch(text)
    assert match is not None, f"no packed task: {text!r}"
    started_at, owner, enqueued_at, waiters, payload = match.groups()
    fields = {"state": b"pending", "payload": payload, "enqueued_at": enqueued_at}
    fields["function"] = function_name_of(payload).encode()
    if owner:
        fields |= {"state": b"running", "attempt": b"1", "owner": owner, "started_at": started_at}
    return fields | ({"waiters": waiters} if waiters else {})


def unpack(raw: redis.Redis, task_id: str) -> str:
    """Give a task a HASH, if it is packed; return its key, so that a test can change its fields."""
    k = queue_keys(queue_of(task_id))
    short = task_id.partition(":")[2]
    text = raw.hget(k.packed_tasks, short)
    if text is not None:
        raw.hset(k.task(task_id), mapping=fields_in(text))
        raw.hdel(k.packed_tasks, short)
    return k.task(task_id)


def field(raw: redis.Redis, task_id: str, name: str) -> bytes | None:
    """Read a field of a task, which may be packed."""
    k = queue_keys(queue_of(task_id))
    text = raw.hget(k.packed_tasks, task_id.partition(":")[2])
    if text is not None:
        return fields_in(text).get(name)
    value: bytes | None = raw.hget(k.task(task_id), name)
    return value


def is_awaited(raw: redis.Redis, task_id: str) -> bool:
    """Return whether a client is registered that waits for a task."""
    return field(raw, task_id, "waiters") is not None


def remove(raw: redis.Redis, *task_ids: str) -> None:
    """Remove all that is kept of tasks, as if they had been evicted."""
    for task_id in task_ids:
        raw.delete(unpack(raw, task_id))
