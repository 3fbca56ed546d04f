"""Calls about one task: its result, its state, and its cancellation."""

from __future__ import annotations

from typing import Any, Final

from identtqueue.protocol import keys, replies
from identtqueue.protocol.answers import Announced, Cancelled, Expiring
from identtqueue.protocol.call import Call
from identtqueue.protocol.ends import CANCELLED, EXPIRED
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Progress, Result, State, TaskInfo, queue_of

MOST_INLINE_BYTES: Final = 64 * 1024
"""Upper bound for a result in a reply. A larger result is announced with its size, and fetched by a
second call (see `await_result`)."""


def await_result(
    task_id: str, reply_channel: str = "", *, size_bytes: int | None = None
) -> Call[Result | Expiring | State | Announced | None]:
    """Ask for the result of a task, and register a channel if it has not ended.

    A task that has expired is cancelled by this call.

    Args:
        task_id: the task.
        reply_channel: channel to notify when the task ends; empty: none.
        size_bytes: size of a result that was announced before. The result is then sent, whatever
            its size is by now.

    Returns:
        A call that returns the result, or only its size if it is large (`Announced`), or the state
        of a task that has not ended, or None if there is no such task.
    """
    k = queue_keys(queue_of(task_id))
    most_bytes = MOST_INLINE_BYTES if size_bytes is None else -1
    return Call(
        "await",
        (
            k.pending,
            k.scheduled,
            k.stats,
            k.blocked,
            k.tombstones,
            k.expiring,
            k.ended,
            k.meta,
            k.packed_tasks,
        ),
        (
            reply_channel,
            most_bytes,
            k.task_prefix,
            k.unique_prefix,
            k.held_prefix,
            task_id,
            EXPIRED,
        ),
        lambda reply: _parse_awaited(task_id, reply),
        reply_bytes=size_bytes or 0,
    )


def cancel(task_id: str) -> Call[Cancelled]:
    """Cancel a task, or ask its worker to cancel it if it is running."""
    k = queue_keys(queue_of(task_id))
    return Call(
        "cancel",
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
            k.packed_tasks,
            k.new_answer(),
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            task_id,
            CANCELLED,
            keys.CONTROL_PREFIX,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
        ),
        Cancelled,
    )


def task_info(task_id: str) -> Call[TaskInfo | None]:
    """Read all that is known of a task; None if there is no such task."""
    k = queue_keys(queue_of(task_id))
    return Call(
        "fields",
        (k.task(task_id), k.packed_tasks),
        (task_id, *replies.INFO_FIELDS),
        lambda reply: replies.parse_task_info(task_id, reply),
    )


def task_payload(task_id: str) -> Call[bytes | None]:
    """Read the envelope of a task; None once the task has succeeded or was cancelled."""
    k = queue_keys(queue_of(task_id))
    return Call("fields", (k.task(task_id), k.packed_tasks), (task_id, "payload"), _parse_first)


def cancel_asked(task_id: str) -> Call[int | None]:
    """Read the number of the attempt that a worker was asked to cancel; None: it was not asked.

    A task whose worker was asked is not packed.
    """
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("cancel", "attempt"), _parse_cancel_asked, is_script=False)


def last_progress(task_id: str) -> Call[Progress | None]:
    """Read the latest progress of a task's last attempt; None if it has reported nothing.

    A task that has reported progress is not packed.
    """
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("attempt", "progress"), _parse_last_progress, is_script=False)


def _parse_awaited(task_id: str, reply: list[Any]) -> Result | Expiring | State | Announced | None:
    """Parse the answer to `await`; see `await_result`."""
    if reply[0] == b"missing":
        return None
    state = State(reply[0].decode())
    if not state.ended:
        return state if reply[1] < 0 else Expiring(state, reply[1])
    return (
        Announced(reply[2]) if reply[1] is None else replies.parse_result(task_id, state, reply[1])
    )


def _parse_first(reply: list[bytes | None]) -> bytes | None:
    """Take the only field that was asked for, as it is."""
    return reply[0]


def _parse_cancel_asked(reply: list[bytes | None]) -> int | None:
    """Parse the fields `cancel` and `attempt` of a task."""
    asked, attempt = reply
    return int(attempt) if asked and attempt else None


def _parse_last_progress(reply: list[bytes | None]) -> Progress | None:
    """Parse the fields `attempt` and `progress` of a task."""
    return replies.progress_of(int(reply[0] or 0), reply[1])
