"""Calls about schedules and about tasks that fall due."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.protocol import replies
from identtqueue.protocol.answers import CronInfo, CronPaused, Enqueued, Planned, Promoted, Receipt
from identtqueue.protocol.call import PROTOCOL_VERSION, Call, NewTask, Word
from identtqueue.protocol.ends import DEAD_LETTER_TTL_MS, EXPIRED
from identtqueue.protocol.keys import queue_keys

PROMOTED_AT_ONCE: Final = 200
"""Upper bound for the due tasks that one call makes pending. Redis does nothing else meanwhile."""

PROMOTED_MS: Final = 1_400
"""How long after a promotion other workers need not promote. It is shorter than the shortest pause
of one worker between two rounds of upkeep, so a worker on its own promotes in each."""

SCHEDULE_KEPT_MS: Final = 30_000
"""How long a definition of a schedule stays valid after the last worker that has it was seen. Then
an older definition may replace it. Workers plan their schedules three times as often."""

CRON_KEPT_MS: Final = 30 * 86_400_000
"""How long a schedule is listed that no worker declares any more."""


def promote(
    queue: str, limit: int = PROMOTED_AT_ONCE, *, serves: Sequence[str] = ()
) -> Call[Promoted]:
    """Make due tasks pending.

    The call also cancels expired tasks, removes old dead letters, and checks that held tasks can
    still start.

    Args:
        queue: name of the queue.
        limit: maximum number of tasks to make pending.
        serves: shelves whose tasks the caller may run, so that these are not given up.
    """
    k = queue_keys(queue)
    return Call(
        "promote",
        (
            k.scheduled,
            k.pending,
            k.wake,
            k.dead,
            k.blocked,
            k.limits,
            k.rates,
            k.tombstones,
            k.suspects,
            k.expiring,
            k.stats,
            k.shelves,
            k.served,
            k.cron,
            k.paused_jobs,
            k.ended,
            k.meta,
            k.alarm,
            k.promoted,
        ),
        (
            k.task_prefix,
            k.doorbell,
            limit,
            DEAD_LETTER_TTL_MS,
            k.running_prefix,
            k.unique_prefix,
            k.held_prefix,
            EXPIRED,
            k.shelf_prefix,
            PROMOTED_MS,
            *serves,
        ),
        _parse_promoted,
    )


def promoted_at(queue: str) -> Call[int]:
    """Ask when `promote` ran last, in Redis' time; 0: longer than `PROMOTED_MS` ago.

    It is also 0 while the queue has shelves, because each worker must promote for its own.
    """
    return Call(
        "GET", (queue_keys(queue).promoted,), (), lambda reply: int(reply or 0), is_script=False
    )


def ring(queue: str) -> Call[int]:
    """Ring the doorbell of a queue.

    The call returns how many connections listen; in a cluster, those of one node.
    """
    return Call("PUBLISH", (queue_keys(queue).doorbell,), (b"1",), int, is_script=False)


def schedule(
    queue: str,
    name: str,
    definition: str,
    task: NewTask,
    firings: Mapping[str, int],
    *,
    expression: str = "",
    timezone: str = "",
) -> Call[Planned]:
    """Plan the firings of a schedule that lie ahead.

    Args:
        queue: the queue in which they run.
        name: name of the schedule.
        definition: hash of all that the schedule declares. With a new hash, the firings that were
            planned under the old one are withdrawn.
        task: the task of each firing; its id is ignored.
        firings: task id of each firing -> its time, in ms since 1970.
        expression: the cron expression, for those who look at the schedule.
        timezone: its time zone, for the same.

    Returns:
        A call whose `parse` raises ProtocolMismatch if the queue was written by another major
        version.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, k.unique_prefix, k.doorbell, PROTOCOL_VERSION]
    args += (name, definition, task.payload, task.function_name)
    args += (msgspec.msgpack.encode(task.options), SCHEDULE_KEPT_MS, expression, timezone)
    args.append(k.minute_prefix)
    for task_id, fire_ms in firings.items():
        args += (task_id, fire_ms)
    return Call(
        "schedule",
        (
            k.cron,
            k.scheduled,
            k.stats,
            k.meta,
            k.wake,
            k.expiring,
            k.enqueued,
            k.packed_tasks,
        ),
        tuple(args),
        _parse_planned,
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
            k.packed_tasks,
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
    task_id = f"{queue}:cron.{name}.now-{os.urandom(6).hex()}"
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


def _parse_promoted(reply: list[Any]) -> Promoted:
    """Parse the answer to a promotion."""
    return Promoted(
        moved=reply[0],
        next_due_ms=replies.maybe(reply[1]),
        now_ms=reply[2],
        more=bool(reply[3]),
        shelves=tuple(name.decode() for name in reply[4]),
    )


def _parse_planned(reply: list[bytes]) -> Planned:
    """Parse the answer to the planning of a schedule."""
    replies.check_protocol(reply)
    return Planned(reply[0])


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
