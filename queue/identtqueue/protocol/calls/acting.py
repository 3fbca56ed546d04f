"""Calls by which administrators change a queue and its tasks, and the audit list.

Each call that changes something takes a note, and its script writes the entry of the audit list
together with the change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from identtqueue.protocol import codec, keys, replies
from identtqueue.protocol.answers import AuditEntry, JobPaused, Replayed, Rescheduled, Revoked
from identtqueue.protocol.call import Call, Word
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure

MOST_AT_ONCE: Final = 50
"""Most tasks that one call changes. Redis does nothing else meanwhile."""

MOST_PAUSED_JOBS: Final = 1_000
"""Upper bound for the jobs of a queue that are paused at the same time."""

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
    words = {"mark": os.urandom(8).hex(), "who": who, "act": act, "what": what}
    return msgspec.msgpack.encode(words)


def audit(queue: str, limit: int) -> Call[list[AuditEntry]]:
    """Read the audit list of a queue, the newest entry first.

    Args:
        queue: name of the queue.
        limit: maximum number of entries.
    """
    key = queue_keys(queue).audit
    return Call("LRANGE", (key,), (0, limit - 1), _parse_audit, is_script=False)


def drain(queue: str, workers: Sequence[str], *, stop: bool, note: bytes = b"") -> Call[list[str]]:
    """Ask workers to stop fetching, or call them back.

    Args:
        queue: name of the queue.
        workers: the worker incarnations.
        stop: True to drain, False to call back.
        note: for the audit list (`acting.new_note`).

    Returns:
        A call that returns the workers whose state changed.
    """
    k = queue_keys(queue)
    return Call(
        "drain",
        (k.workers, k.draining, k.audit, k.new_answer()),
        ("drain" if stop else "undrain", keys.CONTROL_PREFIX, note, *workers),
        replies.parse_names,
    )


def pause(queue: str, *, stop: bool, note: bytes = b"") -> Call[bool]:
    """Stop all claims from a queue, or resume them; the call returns whether that was a change.

    Args:
        queue: name of the queue.
        stop: True to pause, False to resume.
        note: for the audit list (`acting.new_note`).
    """
    k = queue_keys(queue)
    return Call(
        "pause",
        (k.paused, k.pending, k.wake, k.blocked, k.suspects, k.audit, k.new_answer()),
        ("pause" if stop else "resume", k.doorbell, note),
        bool,
    )


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
            k.packed_tasks,
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
        (
            k.dead,
            k.pending,
            k.wake,
            k.stats,
            k.tombstones,
            k.audit,
            k.packed_tasks,
            k.new_answer(),
        ),
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
        (k.dead, k.audit, k.packed_tasks, k.new_answer()),
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
        (k.scheduled, k.wake, k.audit, k.packed_tasks, k.new_answer()),
        tuple(args),
        lambda reply: [Rescheduled(answer) for answer in reply],
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
