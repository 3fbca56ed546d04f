"""Calls that move tasks from one queue to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Movable, Received
from identtqueue.protocol.call import PROTOCOL_VERSION, Call, Word
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import queue_of

MOVE_HOLD_MS: Final = 600_000
"""How long a moved task waits in its new queue, at most, until its mover has removed it from the
old one and lets it start."""

_MOVED: Final = ("payload", "function", "enqueued_at", "ttl", "unique", "unique_ttl", "tags")
"""Fields that a task keeps when it is moved."""

_RECEIVED: Final = (
    *("origin", "payload", "function", "enqueued_at", "expires_at"),
    *("ttl", "unique", "unique_ttl", "tags"),
)
"""Fields of a task in the order in which `receive.lua` reads them."""


def payload_size(task_id: str) -> Call[int]:
    """Read the size of a task's envelope in bytes; 0: it has none, or is packed and so is small."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HSTRLEN", (key,), ("payload",), int, is_script=False)


def movable(task_id: str) -> Call[Movable | None]:
    """Read what is moved of a task; None: it runs, has ended without failing, or is unknown."""
    k = queue_keys(queue_of(task_id))
    return Call(
        "fields",
        (k.task(task_id), k.packed_tasks),
        (task_id, "state", "started_at", "expires_at", *_MOVED),
        lambda reply: _parse_movable(task_id, reply),
    )


def due_time(task_id: str) -> Call[int | None]:
    """Read when a task is due, in ms since 1970; None: it is not scheduled."""
    key = queue_keys(queue_of(task_id)).scheduled
    return Call("ZSCORE", (key,), (task_id,), _parse_score, is_script=False)


def receive(
    queue: str, arriving: Mapping[str, Mapping[str, bytes]], *, note: bytes = b""
) -> Call[list[Received]]:
    """Put tasks into a queue to which they are moved. They start only after `MOVE_HOLD_MS`.

    Args:
        queue: name of the queue.
        arriving: id of each task here, and the fields of its hash (`Movable.fields`).
        note: for the audit list.

    Returns:
        A call that returns one answer per task, in order. Its `parse` raises ProtocolMismatch if
        the queue was written by another major version.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, k.unique_prefix, PROTOCOL_VERSION, MOVE_HOLD_MS, note]
    args.append(k.minute_prefix)
    for task_id, fields in arriving.items():
        args += (task_id, *(fields.get(name, b"") for name in _RECEIVED))
    return Call(
        "receive",
        (
            k.scheduled,
            k.dead,
            k.stats,
            k.meta,
            k.expiring,
            k.audit,
            k.enqueued,
            k.packed_tasks,
            k.new_answer(),
        ),
        tuple(args),
        _parse_received,
    )


def _parse_score(reply: bytes | float | None) -> int | None:
    return None if reply is None else int(float(reply))


def _parse_movable(task_id: str, reply: list[bytes | None]) -> Movable | None:
    state, started_at, expires_at = reply[:3]
    found = dict(zip(_MOVED, reply[3:], strict=True))
    if state not in (b"failed", b"pending", b"scheduled") or found["payload"] is None:
        return None
    dead = state == b"failed"
    if expires_at is not None and started_at is None and not dead:
        found["expires_at"] = expires_at
    fields = {name: value for name, value in found.items() if value is not None}
    # Who it was: the id alone may be used again for another task.
    fields["origin"] = b"%b %b" % (task_id.encode(), fields["enqueued_at"])
    return Movable(dead, fields)


def _parse_received(reply: list[bytes]) -> list[Received]:
    replies.check_protocol(reply)
    return [Received(answer) for answer in reply]
