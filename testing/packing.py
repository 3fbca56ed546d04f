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
    rb"p(\d{13})(?: ([^\n]+))?\n(.*)"
    rb"|r(\d{13})(\d{13})([^ \n]+)(?: ([^\n]+))?\n(.*)"
    rb"|[st](\d{13})(\d{13})(\d{13})(..)([^ \n]+)\n(.*)",
    re.DOTALL,
)


def fields_in(text: bytes) -> dict[str, bytes]:
    """Read a packed task as the HASH that it would have.

    Raises:
        AssertionError: it breaks the format.
    """
    match = _TEXT.fullmatch(text)
    assert match is not None, f"no packed task: {text!r}"
    fields: dict[str, bytes | None]
    if text.startswith(b"p"):
        names = ("enqueued_at", "waiters", "payload")
        fields = dict(zip(names, match.groups()[:3], strict=True)) | {"state": b"pending"}
    elif text.startswith(b"r"):
        names = ("enqueued_at", "started_at", "owner", "waiters", "payload")
        fields = dict(zip(names, match.groups()[3:8], strict=True))
        fields |= {"state": b"running", "attempt": b"1"}
    else:
        *found, size, owner, rest = match.groups()[8:]
        end = int.from_bytes(size, "big")
        fields = dict(zip(("enqueued_at", "started_at", "finished_at"), found, strict=True))
        fields |= {"state": b"succeeded", "attempt": b"1", "owner": owner, "result": rest[:end]}
        fields["payload" if text.startswith(b"s") else "function"] = rest[end:]
    if (payload := fields.get("payload")) is not None:
        fields["function"] = function_name_of(payload).encode()
    return {name: value for name, value in fields.items() if value is not None}


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
