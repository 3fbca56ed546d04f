"""The calls of administrators: what they change, what they list of it, and the audit list.

Each call that changes something takes a note, and its script writes the entry of the audit list
together with the change.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from identtqueue.protocol.answers import (
    AuditEntry,
    CronInfo,
    CronPaused,
    Enqueued,
    JobPaused,
    Receipt,
)
from identtqueue.protocol.call import Call
from identtqueue.protocol.keys import queue_keys

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
        (k.cron, k.scheduled, k.stats, k.wake, k.expiring, k.audit, k.new_answer()),
        (
            k.task_prefix,
            k.unique_prefix,
            k.doorbell,
            name,
            "pause" if stop else "resume",
            note,
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
            k.new_answer(),
        ),
        (k.task_prefix, k.unique_prefix, k.doorbell, name, task_id, note),
        lambda reply: _parse_run(task_id, reply),
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
