"""Packed tasks, as tests see and change them (see `lua/lib/packed.lua`)."""

from __future__ import annotations

import re
from typing import Final

import redis

from identtqueue.protocol.codec import function_name_of
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import queue_of

KEPT_MS: Final = 3_600_000
"""How long a packed task is kept after its end."""

_TEXT: Final = re.compile(
    rb"(?:([st])(\d{13})(..))?(?:r(\d{13})([^ \n]+) )?p(\d{13})(?: ([^\n]+))?\n(.*)", re.DOTALL
)


def fields_in(text: bytes) -> dict[str, bytes]:
    """Read a packed task as the HASH that it would have.

    Raises:
        AssertionError: it breaks the format.
    """
    result = None
    if text[:1] in (b"s", b"t"):
        end = 16 + int.from_bytes(text[14:16], "big")
        result, text = text[16:end], text[:16] + text[end:]
    match = _TEXT.fullmatch(text)
    assert match is not None, f"no packed task: {text!r}"
    letter, finished_at, _, started_at, owner, enqueued_at, waiters, payload = match.groups()
    found: dict[str, bytes | None] = {
        "state": b"succeeded" if letter else b"running" if owner else b"pending",
        "function": payload if letter == b"t" else function_name_of(payload).encode(),
        "payload": None if letter == b"t" else payload,
        "attempt": b"1" if owner else None,
    }
    found |= {"enqueued_at": enqueued_at, "started_at": started_at, "finished_at": finished_at}
    found |= {"owner": owner, "waiters": waiters, "result": result}
    return {name: value for name, value in found.items() if value is not None}


def unpack(raw: redis.Redis, task_id: str) -> str:
    """Give a task a HASH, if it is packed; return its key, so that a test can change its fields."""
    k = queue_keys(queue_of(task_id))
    short = task_id.partition(":")[2]
    text = raw.hget(k.packed_tasks, short)
    if text is not None:
        fields = fields_in(text)
        raw.hset(k.task(task_id), mapping=fields)
        if "finished_at" in fields:
            raw.pexpireat(k.task(task_id), int(fields["finished_at"]) + KEPT_MS)
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
