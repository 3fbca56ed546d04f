"""All that is kept of one task: the call that reads it, and how its reply is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from identtqueue.errors import PayloadUndecodable
from identtqueue.protocol import codec, replies
from identtqueue.protocol.call import Call
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import TaskInfo, queue_of

MOST_SHOWN_BYTES: Final = 1024 * 1024
"""Upper bound for the arguments and for the result that are read to be shown."""

_MORE_FIELDS: Final = (
    "pending_since",
    "held",
    "suspect",
    "shelf",
    "expires_at",
    "ttl",
    "unique",
    "cron",
    "tags",
    "parent",
    "children",
    "children_count",
    "history",
)


class PastAttempt(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that has ended without success, as `lua/lib/history.lua` writes it."""

    number: int
    worker: str
    pod: str
    started_at_ms: int
    waited_ms: int
    ran_ms: int
    outcome: str
    error_type: str
    error_line: str


class KeptTask(msgspec.Struct, frozen=True):
    """All that Redis keeps of a task.

    Attributes:
        info: what `Admin.task` returns.
        now_ms: Redis' time.
        forgotten_in_ms: time until Redis forgets the task; None: it has not ended.
        due_ms: when it is due; None: it is not scheduled.
        worker: what the last worker wrote about itself; empty if it is no longer registered.
        job: what workers have declared about its job; empty: nothing.
        payload: the envelope; None: it is not kept, or larger than asked for.
        payload_bytes: its size; 0: it is not kept.
        result: the encoded result; None: there is none, or it is larger than asked for.
        result_bytes: its size.
        pending_since_ms: since when it was pending the last time; None: since it was enqueued.
        is_held: whether it waits where only some workers, or none, may start it now.
        expires_at_ms: when it is dropped unless it has started; None: never.
        result_ttl_ms: how long its result is kept; None: the default.
        unique_key: its unique key.
        schedule: name of the schedule that has fired it.
        tags: its tags.
        parent: the task whose job has enqueued it.
        children: the first tasks that its job has enqueued.
        children_count: how many these were.
        past: its attempts that have ended without success.
    """

    info: TaskInfo
    now_ms: int
    forgotten_in_ms: int | None
    due_ms: int | None
    worker: Mapping[str, Any]
    job: Mapping[str, Any]
    payload: bytes | None
    payload_bytes: int
    result: bytes | None
    result_bytes: int
    pending_since_ms: int | None
    is_held: bool
    expires_at_ms: int | None
    result_ttl_ms: int | None
    unique_key: str | None
    schedule: str | None
    tags: tuple[str, ...]
    parent: str | None
    children: tuple[str, ...]
    children_count: int
    past: tuple[PastAttempt, ...]


def record(task_id: str, most_bytes: int = MOST_SHOWN_BYTES) -> Call[KeptTask | None]:
    """Read all that is kept of a task; None if there is no such task.

    Args:
        task_id: the task.
        most_bytes: largest arguments and largest result that are read.
    """
    k = queue_keys(queue_of(task_id))
    return Call(
        "record",
        (k.task(task_id), k.info, k.scheduled, k.jobs, k.packed_tasks),
        (task_id, most_bytes, *replies.INFO_FIELDS, *_MORE_FIELDS),
        lambda reply: _parse(task_id, reply),
    )


_history_decoder: Final = msgspec.msgpack.Decoder(tuple[PastAttempt, ...])


def _parse(task_id: str, reply: list[Any]) -> KeptTask | None:
    if not reply:
        return None
    head, payload, result = reply[:3]
    now_ms, ttl_ms, due, about, declared, payload_bytes, result_bytes = head
    split = 3 + len(replies.INFO_FIELDS)
    info = replies.parse_task_info(task_id, reply[3:split])
    if info is None:
        return None
    since, held, suspect, shelf, expires, ttl, unique, cron = reply[split : split + 8]
    tags, parent, children, children_count, history = reply[split + 8 :]
    return KeptTask(
        info=info,
        now_ms=now_ms,
        forgotten_in_ms=ttl_ms if ttl_ms >= 0 else None,
        due_ms=int(float(due)) if due else None,
        worker=_plain_map(about),
        job=_plain_map(declared),
        payload=payload,
        payload_bytes=payload_bytes,
        result=result,
        result_bytes=result_bytes,
        pending_since_ms=_number(since),
        is_held=any((held, suspect, shelf)),
        expires_at_ms=_number(expires),
        result_ttl_ms=_number(ttl),
        unique_key=_text(unique),
        schedule=_text(cron),
        tags=replies.parse_tags(tags),
        parent=_text(parent),
        children=tuple(children.decode().split("\n")) if children else (),
        children_count=_number(children_count) or 0,
        past=_past(history),
    )


def _plain_map(packed: bytes | None) -> Mapping[str, Any]:
    try:
        said = codec.decode_value(packed) if packed else {}
    except PayloadUndecodable:
        said = {}
    return said if isinstance(said, dict) else {}


def _past(packed: bytes | None) -> tuple[PastAttempt, ...]:
    return _history_decoder.decode(packed) if packed else ()


def _number(stored: bytes | None) -> int | None:
    return int(stored) if stored else None


def _text(stored: bytes | None) -> str | None:
    return stored.decode() if stored else None
