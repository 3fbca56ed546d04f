"""The calls of administrators: what they change, what they list of it, and the audit list.

Each call that changes something takes a note, and its script writes the entry of the audit list
together with the change.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import ProtocolMismatch
from identtqueue.protocol import codec, keys
from identtqueue.protocol.answers import (
    AuditEntry,
    CronInfo,
    CronPaused,
    Enqueued,
    JobPaused,
    Movable,
    Receipt,
    Received,
    Replayed,
    Rescheduled,
    Revoked,
)
from identtqueue.protocol.call import PROTOCOL_VERSION, Call, Word
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure, queue_of

MOST_AT_ONCE: Final = 50
"""Most tasks that one call changes. Redis does nothing else meanwhile."""

MOVE_HOLD_MS: Final = 600_000
"""How long a moved task waits in its new queue, at most, until its mover has removed it from the
old one and lets it start."""

MOST_PAUSED_JOBS: Final = 1_000
"""Upper bound for the jobs of a queue that are paused at the same time."""

CRON_KEPT_MS: Final = 30 * 86_400_000
"""How long a schedule is listed that no worker declares any more."""

MOST_WORDS: Final = 500
"""Most characters of a note that say to what something was done."""


def new_note(who: str, act: str, what: str) -> bytes:
    """Encode an entry of the audit list, as `lua/lib/log_act.lua` completes it.

    Args:
        who: who acts.
        act: what is done.
        what: to what it is done; cut off after `MOST_WORDS` characters.
    """
    if len(what) > MOST_WORDS:
        what = what[: MOST_WORDS - 1] + "…"
    words = {"mark": secrets.token_hex(8), "who": who, "act": act, "what": what}
    return msgspec.msgpack.encode(words)


def audit(queue: str, limit: int) -> Call[list[AuditEntry]]:
    """Read the audit list of a queue, the newest entry first.

    Args:
        queue: name of the queue.
        limit: maximum number of entries.
    """
    key = queue_keys(queue).audit
    return Call("LRANGE", (key,), (0, limit - 1), _parse_audit, is_script=False)


def pause_job(queue: str, job: str, *, stop: bool, note: bytes = b"") -> Call[JobPaused]:
    """Stop all claims of one job's tasks, or resume them.

    Args:
        queue: name of the queue.
        job: name of the job.
        stop: True to pause, False to resume.
        note: for the audit list.
    """
    k = queue_keys(queue)
    return Call(
        "pause_job",
        (
            k.paused_jobs,
            k.blocked,
            k.pending,
            k.suspects,
            k.shelves,
            k.wake,
            k.audit,
            k.new_answer(),
        ),
        ("pause" if stop else "resume", job, MOST_PAUSED_JOBS, k.doorbell, note),
        JobPaused,
    )


def schedules(queue: str) -> Call[list[CronInfo]]:
    """List the schedules of a queue, by name."""
    k = queue_keys(queue)
    return Call("schedules", (k.cron, k.scheduled), (CRON_KEPT_MS,), _parse_schedules)


def pause_cron(queue: str, name: str, *, stop: bool, note: bytes = b"") -> Call[CronPaused]:
    """Withdraw the firings of a schedule and plan no others, or plan them again.

    Args:
        queue: name of the queue.
        name: name of the schedule.
        stop: True to pause, False to resume.
        note: for the audit list.
    """
    k = queue_keys(queue)
    return Call(
        "pause_cron",
        (
            k.cron,
            k.scheduled,
            k.stats,
            k.wake,
            k.expiring,
            k.audit,
            k.enqueued,
            k.new_answer(),
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            k.doorbell,
            name,
            "pause" if stop else "resume",
            note,
            k.minute_prefix,
        ),
        CronPaused,
    )


def run_cron(queue: str, name: str, *, note: bytes = b"") -> Call[Receipt | None]:
    """Enqueue a task of a schedule at once, beside its firings.

    Args:
        queue: name of the queue.
        name: name of the schedule.
        note: for the audit list.

    Returns:
        A call that returns None if the queue has no such schedule.
    """
    k = queue_keys(queue)
    task_id = f"{queue}:cron.{name}.now-{secrets.token_hex(6)}"
    return Call(
        "run_cron",
        (
            k.cron,
            k.pending,
            k.wake,
            k.stats,
            k.tombstones,
            k.expiring,
            k.audit,
            k.enqueued,
            k.new_answer(),
        ),
        (k.task_prefix, k.unique_prefix, k.doorbell, name, task_id, note, k.minute_prefix),
        lambda reply: _parse_run(task_id, reply),
    )


def revoke(
    queue: str, task_ids: Sequence[str], failure: Failure, *, asks: bool, note: bytes = b""
) -> Call[list[Revoked]]:
    """Cancel tasks that have not started.

    Args:
        queue: the queue of the tasks.
        task_ids: the tasks, at most `MOST_AT_ONCE`.
        failure: why, for those who wait for the tasks.
        asks: whether the workers of running ones are asked to cancel them.
        note: for the audit list.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    return Call(
        "revoke",
        (
            k.pending,
            k.scheduled,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
            k.wake,
            k.expiring,
            k.shelves,
            k.served,
            k.ended,
            k.meta,
            k.audit,
            k.new_answer(),
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            codec.encode_failure(failure),
            keys.CONTROL_PREFIX,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
            int(asks),
            note,
            *task_ids,
        ),
        lambda reply: [Revoked(answer) for answer in reply],
    )


def replay(queue: str, task_ids: Sequence[str], *, note: bytes = b"") -> Call[list[Replayed]]:
    """Put dead letters back into their queue, with their unique keys and no failures or losses.

    Args:
        queue: the queue of the tasks.
        task_ids: the tasks, at most `MOST_AT_ONCE`.
        note: for the audit list.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    return Call(
        "replay",
        (k.dead, k.pending, k.wake, k.stats, k.tombstones, k.audit, k.new_answer()),
        (k.task_prefix, k.doorbell, k.unique_prefix, note, *task_ids),
        lambda reply: [Replayed(answer) for answer in reply],
    )


def discard(queue: str, task_ids: Sequence[str], *, note: bytes = b"") -> Call[list[Replayed]]:
    """Delete dead letters.

    Args:
        queue: the queue of the tasks.
        task_ids: the tasks, at most `MOST_AT_ONCE`.
        note: for the audit list.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    return Call(
        "discard",
        (k.dead, k.audit, k.new_answer()),
        (k.task_prefix, note, *task_ids),
        lambda reply: [Replayed(answer) for answer in reply],
    )


def reschedule(
    queue: str, due_ms: Mapping[str, int], *, note: bytes = b""
) -> Call[list[Rescheduled]]:
    """Change when scheduled tasks are due.

    Args:
        queue: the queue of the tasks.
        due_ms: the tasks, at most `MOST_AT_ONCE`, and when each is due, in ms since 1970; 0: now,
            unless it is due already.
        note: for the audit list.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, k.doorbell, note]
    for pair in due_ms.items():
        args += pair
    return Call(
        "reschedule",
        (k.scheduled, k.wake, k.audit, k.new_answer()),
        tuple(args),
        lambda reply: [Rescheduled(answer) for answer in reply],
    )


_MOVED: Final = ("payload", "function", "enqueued_at", "ttl", "unique", "unique_ttl", "tags")
"""Fields that a task keeps when it is moved."""

_RECEIVED: Final = (
    *("origin", "payload", "function", "enqueued_at", "expires_at"),
    *("ttl", "unique", "unique_ttl", "tags"),
)
"""Fields of a task in the order in which `receive.lua` reads them."""


def payload_size(task_id: str) -> Call[int]:
    """Read the size of a task's envelope in bytes; 0: it has none."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HSTRLEN", (key,), ("payload",), int, is_script=False)


def movable(task_id: str) -> Call[Movable | None]:
    """Read what is moved of a task; None: it runs, has ended without failing, or is unknown."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call(
        "HMGET",
        (key,),
        ("state", "started_at", "expires_at", *_MOVED),
        lambda reply: _parse_movable(task_id, reply),
        is_script=False,
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
            k.new_answer(),
        ),
        tuple(args),
        _parse_received,
    )


class _Entry(msgspec.Struct):
    """An entry of the audit list, as the scripts write it."""

    at: int
    who: str
    act: str
    what: str
    matched: int
    changed: int


_read_entry: Final = msgspec.msgpack.Decoder(_Entry).decode


def _parse_audit(reply: list[bytes]) -> list[AuditEntry]:
    entries = map(_read_entry, reply)
    return [AuditEntry(e.at, e.who, e.act, e.what, e.matched, e.changed) for e in entries]


def _parse_schedules(reply: list[Any]) -> list[CronInfo]:
    return [
        CronInfo(
            name=reply[i].decode(),
            job=reply[i + 1].decode(),
            expression=reply[i + 2].decode(),
            zone=reply[i + 3].decode(),
            paused=bool(reply[i + 4]),
            declared_ms=reply[i + 5],
            next_ms=None if reply[i + 6] < 0 else reply[i + 6],
            last_ms=None if reply[i + 7] < 0 else reply[i + 7],
        )
        for i in range(0, len(reply), 8)
    ]


def _parse_run(task_id: str, reply: list[bytes]) -> Receipt | None:
    if reply[0] == b"missing":
        return None
    if reply[0] == b"unique":
        return Receipt(reply[1].decode(), Enqueued.UNIQUE)
    return Receipt(task_id, Enqueued.OK)


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
    if reply and reply[0] == b"protocol":
        raise ProtocolMismatch(reply[1].decode(), PROTOCOL_VERSION)
    return [Received(answer) for answer in reply]
