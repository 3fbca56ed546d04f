"""The commands of the protocol: one typed function builds each call.

`protocol/call.py` says what a call is, and `protocol/replies.py` parses what Redis answers. All
times are in ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import InvalidInput
from identtqueue.limits import JobLimits
from identtqueue.protocol import codec, keys, replies
from identtqueue.protocol.answers import (
    Ack,
    Announced,
    Cancelled,
    Claimed,
    Expiring,
    Lease,
    LimitsInUse,
    Planned,
    Promoted,
    QueueDepth,
    Receipt,
    Recovery,
    Scheduled,
    WorkerRow,
)
from identtqueue.protocol.call import KEPT, PROTOCOL_VERSION, Call, Keeping, NewTask, Word
from identtqueue.protocol.counting import Counts
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure, Progress, Result, State, TaskInfo, queue_of

DEAD_LETTER_TTL_MS: Final = 7 * 86_400_000
"""How long dead letters are kept: a week, so that Friday night's can still be read on Monday."""

MOST_INLINE_BYTES: Final = 64 * 1024
"""Upper bound for a result in a reply. A larger result is announced with its size, and fetched by a
second call (see `await_result`)."""

PROMOTED_AT_ONCE: Final = 200
"""Upper bound for the due tasks that one call makes pending. Redis does nothing else meanwhile."""

EXPIRED: Final = codec.encode_failure(Failure("Expired", "not started before expires_seconds"))
CANCELLED: Final = codec.encode_failure(Failure("Cancelled", "cancelled on request"))
"""The failures that scripts store for a task which has expired or was cancelled."""

SHORTEST_BLOCK_SECONDS: Final = 0.002
"""Shortest time to block for work. 0 would block for ever, and Redis 6.2 rounds 1 ms down to 0."""

SCHEDULE_KEPT_MS: Final = 30_000
"""How long a definition of a schedule stays valid after the last worker that has it was seen. Then
an older definition may replace it. Workers plan their schedules three times as often."""

REMEMBERED_MS: Final = 30 * 86_400_000
"""How long queues and jobs without any activity are remembered."""

MOST_QUEUES: Final = 10_000
"""Most queues that the registry remembers: those that were used last."""

ANSWER_MS: Final = 120_000
"""How long Redis keeps the answer of a call, for the case that it is sent again
(`lua/lib/once.lua`)."""


# --- client ---------------------------------------------------------------------------------


def enqueue(queue: str, tasks: Sequence[NewTask]) -> Call[list[Receipt]]:
    """Put tasks into a queue.

    A task whose id exists already is left as it is, unless the new task's option `replace` is set
    and the old one has ended.

    Args:
        queue: name of the queue.
        tasks: the tasks, all for this queue.

    Returns:
        A call that returns one receipt per task, in order. Its `parse` raises ProtocolMismatch if
        the queue was written by another major version.
    """
    k = queue_keys(queue)
    answer = "" if all(map(_tells_a_repeat, tasks)) else k.new_answer()
    args: list[Word] = [k.task_prefix, k.unique_prefix, k.doorbell, PROTOCOL_VERSION, answer]
    args.append(k.minute_prefix)
    for task in tasks:
        options = msgspec.msgpack.encode(task.options) if task.options else b""
        args += (task.task_id, task.payload, task.function_name, options)

    return Call(
        "enqueue",
        (
            k.pending,
            k.wake,
            k.scheduled,
            k.stats,
            k.meta,
            k.dead,
            k.tombstones,
            k.expiring,
            k.enqueued,
        ),
        tuple(args),
        lambda reply: replies.parse_receipts(tasks, reply),
    )


def enlist(queues: Sequence[str]) -> Call[bool]:
    """Note in the registry that queues are in use, and forget those that no longer are."""
    return Call("enlist", (keys.QUEUES,), (REMEMBERED_MS, MOST_QUEUES, *queues), replies.parse_ok)


def _tells_a_repeat(task: NewTask) -> bool:
    """Return whether the task itself would show that its enqueue was sent twice.

    It does if its id is random and its result is kept for at least as long as an answer. Then the
    script need not keep an answer.
    """
    if not task.random_id:
        return False
    return not task.options or int(task.options.get("ttl", ANSWER_MS)) >= ANSWER_MS


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
            k.task(task_id),
            k.pending,
            k.scheduled,
            k.stats,
            k.blocked,
            k.tombstones,
            k.expiring,
            k.ended,
            k.meta,
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
        lambda reply: replies.parse_awaited(task_id, reply),
        reply_bytes=size_bytes or 0,
    )


def children(parent: str, task_ids: Sequence[str]) -> Call[bool]:
    """Note in a task which tasks its job has enqueued. Nothing happens if the task is gone.

    Args:
        parent: the task whose job has enqueued them.
        task_ids: the tasks.
    """
    k = queue_keys(queue_of(parent))
    return Call("children", (k.task(parent), k.new_answer()), tuple(task_ids), bool)


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
    return Call(
        "HMGET",
        (queue_keys(queue_of(task_id)).task(task_id),),
        replies.INFO_FIELDS,
        lambda reply: replies.parse_task_info(task_id, reply),
        is_script=False,
    )


def task_payload(task_id: str) -> Call[bytes | None]:
    """Read the envelope of a task; None once the task has succeeded or was cancelled."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("payload",), replies.parse_first, is_script=False)


def cancel_asked(task_id: str) -> Call[int | None]:
    """Read the number of the attempt that a worker was asked to cancel; None: it was not asked."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call("HMGET", (key,), ("cancel", "attempt"), replies.parse_cancel_asked, is_script=False)


def last_progress(task_id: str) -> Call[Progress | None]:
    """Read the latest progress of a task's last attempt; None if it has reported nothing."""
    key = queue_keys(queue_of(task_id)).task(task_id)
    return Call(
        "HMGET", (key,), ("attempt", "progress"), replies.parse_last_progress, is_script=False
    )


# --- worker ---------------------------------------------------------------------------------


def register(
    queue: str,
    worker: str,
    lease_ms: int,
    info: Mapping[str, Any],
    limits: Mapping[str, JobLimits] | None = None,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    keeping: Keeping = KEPT,
) -> Call[int]:
    """Take a worker's first lease, and declare its jobs.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        lease_ms: length of the lease.
        info: the worker's pod, host, concurrency and so on.
        limits: the limits of each job; empty limits remove those of an earlier registration.
        declared: what is declared about each of these jobs, for those who look at the queue:
            `parameters`, `hidden`, `module` (see `JobInfo`).
        keeping: what is kept of tasks that have ended.

    Returns:
        A call that returns Redis' time. Its `parse` raises ProtocolMismatch if the queue was
        written by another major version.
    """
    k = queue_keys(queue)
    args: list[Word] = [worker, lease_ms, codec.encode_plain(dict(info)), PROTOCOL_VERSION]
    args += (REMEMBERED_MS, info.get("release") or "")
    args.append("" if keeping == KEPT else keeping.words())
    for job, limit in (limits or {}).items():
        declaration = (declared or {}).get(job, {})
        args += (job, _pack_limits(limit), codec.encode_plain(dict(declaration)))
    return Call(
        "register",
        (
            k.workers,
            k.info,
            k.meta,
            k.limits,
            k.blocked,
            k.rates,
            k.wake,
            k.jobs,
            k.enqueued,
            k.releases,
        ),
        tuple(args),
        replies.parse_registered,
    )


def permitted(queue: str, names: Sequence[str]) -> Call[list[str]]:
    """List which of the commands the caller's ACL lacks on this queue; empty before Redis 7.0."""
    k = queue_keys(queue)
    return Call("permitted", (k.doorbell,), tuple(names), replies.parse_names)


def _pack_limits(limits: JobLimits) -> bytes:
    """Encode limits as `lua/lib/limits.lua` reads them, and with the fields that `limits` shows."""
    packed: dict[str, float] = {}
    if limits.max_running is not None:
        packed["max"] = limits.max_running
    if (rate := limits.rate_limit) is not None:
        packed |= {"interval": rate.interval_ms, "burst": rate.burst_size}
        packed |= {"count": rate.count, "per_seconds": rate.per_seconds}
    return codec.encode_plain(packed) if packed else b""


def extend(queue: str, worker: str, lease_ms: int) -> Call[Lease]:
    """Renew a worker's lease.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        lease_ms: length of the new lease.
    """
    k = queue_keys(queue)
    return Call("extend", (k.workers, k.draining), (worker, lease_ms), Lease)


def leave(queue: str, worker: str) -> Call[bool]:
    """Give a worker's lease back; the call returns False while it owns tasks."""
    k = queue_keys(queue)
    return Call(
        "leave",
        (k.inflight(worker), k.workers, k.info, k.draining, k.counted),
        (worker,),
        replies.parse_left,
    )


def count(queue: str, worker: str, report: int, counts: Mapping[str, bytes]) -> Call[Ack]:
    """Add what a worker has counted since its last report to the numbers of the queue.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        report: number of the report, by which a repeat is recognized.
        counts: what it has counted, by job (see `counting.pack`).

    Returns:
        A call that returns OK, DONE for a repeat, or LOST if the worker has no lease; then nothing
        was added.
    """
    k = queue_keys(queue)
    args: list[Word] = [worker, report, k.minute_prefix, k.hour_prefix]
    for pair in counts.items():
        args += pair
    return Call("count", (k.workers, k.counted, k.meta), tuple(args), Ack)


def block_for_work(queues: Sequence[str], seconds: float) -> Call[str | None]:
    """Block until a wake token arrives on one of the queues.

    Args:
        queues: names of the queues.
        seconds: how long to block. A time below `SHORTEST_BLOCK_SECONDS` is raised to it.

    Returns:
        A call that returns the name of the queue, or None after `seconds`.
    """
    wakes = {queue_keys(queue).wake: queue for queue in queues}
    return Call(
        "BLPOP",
        tuple(wakes),
        (max(SHORTEST_BLOCK_SECONDS, seconds),),
        lambda reply: replies.parse_wake(wakes, reply),
        is_script=False,
        repeatable=False,
    )


def claim(
    queue: str, worker: str, limit: int, *, idle: bool = False, shelves: Sequence[str] = ()
) -> Call[Claimed]:
    """Take up to `limit` pending tasks.

    Args:
        queue: the queue of the tasks.
        worker: the worker that will run them.
        limit: maximum number of tasks.
        idle: whether the worker runs nothing, in any queue, and makes no other claim at the same
            time. Then it may get a suspect (an attempt that is `alone`), and must run nothing
            beside it.
        shelves: names of the shelves whose tasks it may run.
    """
    k = queue_keys(queue)
    return Call(
        "claim",
        (
            k.pending,
            k.inflight(worker),
            k.workers,
            k.scheduled,
            k.stats,
            k.paused,
            k.draining,
            k.wake,
            k.limits,
            k.blocked,
            k.rates,
            k.tombstones,
            k.suspects,
            k.isolating,
            k.expiring,
            k.shelves,
            k.served,
            k.cron,
            k.paused_jobs,
            k.ended,
            k.meta,
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            limit,
            k.doorbell,
            EXPIRED,
            CANCELLED,
            k.held_prefix,
            k.running_prefix,
            int(idle),
            k.shelf_prefix,
            *shelves,
        ),
        lambda reply: replies.parse_claim(queue, reply),
        repeatable=False,
    )


def in_flight(queue: str, worker: str) -> Call[list[str]]:
    """List the ids of the tasks that a worker owns."""
    return Call(
        "LRANGE",
        (queue_keys(queue).inflight(worker),),
        (0, -1),
        replies.parse_names,
        is_script=False,
    )


def finish(
    queue: str,
    worker: str,
    done: Sequence[tuple[str, int, bytes]],
    *,
    keeping: Keeping = KEPT,
    dropped: Sequence[str] = (),
) -> Call[list[Ack]]:
    """Record results, each exactly once.

    Args:
        queue: the queue of the tasks.
        worker: the worker that owns them.
        done: id, attempt number and encoded value of each.
        keeping: what is kept of tasks that have ended.
        dropped: ids of those whose arguments are not kept, because they are too large.

    Returns:
        A call that returns one answer per result, in order.
    """
    k = queue_keys(queue)
    names: Word = msgspec.msgpack.encode(dropped) if dropped else b""
    args: list[Word] = [k.task_prefix, k.unique_prefix, worker, k.running_prefix]
    args += (keeping.recent_ends, names if keeping.arguments else b"*")
    for triple in done:
        args += triple
    return Call(
        "finish",
        (k.inflight(worker), k.stats, k.blocked, k.wake, k.ended),
        tuple(args),
        replies.parse_acks,
    )


def retry(
    queue: str, worker: str, task_id: str, attempt: int, delay_ms: int, failure: bytes
) -> Call[Ack]:
    """Schedule the next attempt of a task that failed, or cancel the task if that was asked for.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        delay_ms: time until the next attempt.
        failure: the encoded failure.
    """
    k = queue_keys(queue)
    return Call(
        "retry",
        (
            k.inflight(worker),
            k.scheduled,
            k.stats,
            k.wake,
            k.blocked,
            k.ended,
            k.meta,
            k.info,
        ),
        (
            k.task_prefix,
            worker,
            task_id,
            attempt,
            delay_ms,
            failure,
            k.running_prefix,
            k.unique_prefix,
            CANCELLED,
        ),
        Ack,
    )


def bury(queue: str, worker: str, task_id: str, attempt: int, failure: bytes) -> Call[Ack]:
    """Make a task a dead letter after its attempt failed.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        failure: the encoded failure.
    """
    k = queue_keys(queue)
    return Call(
        "bury",
        (k.inflight(worker), k.dead, k.stats, k.blocked, k.wake, k.ended, k.meta, k.info),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            task_id,
            attempt,
            failure,
            DEAD_LETTER_TTL_MS,
            k.running_prefix,
        ),
        Ack,
    )


def abort(queue: str, worker: str, task_id: str, attempt: int) -> Call[Ack]:
    """End a running task as cancelled, after its worker was asked to cancel it.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
    """
    k = queue_keys(queue)
    return Call(
        "abort",
        (k.inflight(worker), k.stats, k.blocked, k.wake, k.ended, k.meta),
        (k.task_prefix, k.unique_prefix, worker, task_id, attempt, CANCELLED, k.running_prefix),
        Ack,
    )


def release(queue: str, worker: str, attempts: Sequence[tuple[str, int]]) -> Call[list[Ack]]:
    """Give tasks back to the head of the queue. This counts neither as a failure nor as a loss.

    A task whose cancellation was asked for is cancelled instead.

    Args:
        queue: the queue of the tasks.
        worker: the worker that owns them.
        attempts: id and attempt number of each.

    Returns:
        A call that returns one answer per task, in order.
    """
    k = queue_keys(queue)
    args: list[Word] = [k.task_prefix, worker, k.doorbell, k.held_prefix, k.running_prefix]
    args += (k.unique_prefix, CANCELLED)
    for pair in attempts:
        args += pair
    return Call(
        "release",
        (
            k.inflight(worker),
            k.pending,
            k.wake,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
            k.ended,
            k.meta,
            k.info,
        ),
        tuple(args),
        replies.parse_acks,
    )


def decline(
    queue: str, worker: str, task_id: str, attempt: int, signature: str, failure: Failure
) -> Call[Ack]:
    """Decline a task that this worker cannot run, and leave it to other workers.

    This counts neither as a failure nor as a loss.

    Args:
        queue: the queue of the task.
        worker: the worker that owns it.
        task_id: the task.
        attempt: number of the attempt.
        signature: hash of the job's signature in this worker; workers with the same one will not
            be offered the task.
        failure: why the worker cannot run it.
    """
    k = queue_keys(queue)
    line = f"- {worker} ({signature}): {failure.type}: {' '.join(failure.message[:500].split())}"
    return Call(
        "decline",
        (
            k.inflight(worker),
            k.stats,
            k.blocked,
            k.wake,
            k.shelves,
            k.expiring,
            k.ended,
            k.meta,
            k.info,
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            task_id,
            attempt,
            signature,
            codec.encode_failure(failure),
            line.encode("utf-8", "backslashreplace"),
            k.running_prefix,
            k.shelf_prefix,
            CANCELLED,
        ),
        Ack,
    )


def give_up(queue: str, shelves: Sequence[str], after_ms: int) -> Call[list[str]]:
    """Make tasks dead letters that no worker has been able to run for a long time.

    Args:
        queue: name of the queue.
        shelves: names of the shelves to look at.
        after_ms: how long no worker may have been able to run them.

    Returns:
        A call that returns the ids of these tasks.
    """
    k = queue_keys(queue)
    return Call(
        "give_up",
        (k.shelves, k.served, k.dead, k.stats, k.ended, k.meta),
        (
            k.task_prefix,
            k.unique_prefix,
            k.shelf_prefix,
            after_ms,
            DEAD_LETTER_TTL_MS,
            k.minute_prefix,
            k.hour_prefix,
            *shelves,
        ),
        replies.parse_names,
    )


def progress(worker: str, task_id: str, attempt: int, number: int, data: bytes) -> Call[Ack]:
    """Store and publish a progress value of an attempt.

    Args:
        worker: the worker that owns the task.
        task_id: the task.
        attempt: number of the attempt.
        number: counts the values of this attempt.
        data: the encoded value.
    """
    k = queue_keys(queue_of(task_id))
    message = b"%d %d %b" % (attempt, number, data)
    return Call(
        "progress",
        (k.task(task_id),),
        (worker, attempt, message, k.progress_channel(task_id)),
        Ack,
    )


def wake(queue: str) -> Call[int]:
    """Wake another idle worker if tasks may start; the call returns their number.

    They are counted as in `Claimed.pending`.
    """
    k = queue_keys(queue)
    return Call(
        "wake",
        (k.pending, k.wake, k.blocked, k.tombstones, k.suspects),
        (k.task_prefix,),
        int,
    )


# --- upkeep and administration ----------------------------------------------------------------


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
        (k.cron, k.scheduled, k.stats, k.meta, k.wake, k.expiring, k.enqueued),
        tuple(args),
        replies.parse_planned,
    )


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
            *serves,
        ),
        replies.parse_promoted,
    )


def ring(queue: str) -> Call[int]:
    """Ring the doorbell of a queue.

    The call returns how many connections listen; in a cluster, those of one node.
    """
    return Call("PUBLISH", (queue_keys(queue).doorbell,), (b"1",), int, is_script=False)


def expired(queue: str, now_ms: int, limit: int = 16) -> Call[list[str]]:
    """List workers whose lease had expired at `now_ms` (Redis time); `recover` checks it again.

    Args:
        queue: name of the queue.
        now_ms: a time of Redis.
        limit: maximum number of workers.
    """
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).workers,),
        ("-inf", now_ms, "LIMIT", 0, limit),
        replies.parse_names,
        is_script=False,
    )


def recover(queue: str, worker: str, *, waive_lease: bool, max_deliveries: int) -> Call[Recovery]:
    """Take the tasks back from a worker whose lease has expired or that is certainly dead.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        waive_lease: True if the worker is certainly dead. False: its lease must have expired.
        max_deliveries: how many workers a task may lose before it becomes a dead letter.

    Raises:
        InvalidInput: `max_deliveries` is less than 1.
    """
    if max_deliveries < 1:
        raise InvalidInput(f"max_deliveries={max_deliveries}: must be 1 or more")
    k = queue_keys(queue)
    lost = Failure(
        "WorkerLost",
        f"the worker was lost {max_deliveries} times or more while it ran this task, at last with "
        f"nothing else to run (max_deliveries={max_deliveries}); last on {worker}",
    )
    return Call(
        "recover",
        (
            k.inflight(worker),
            k.workers,
            k.info,
            k.draining,
            k.pending,
            k.wake,
            k.dead,
            k.stats,
            k.blocked,
            k.tombstones,
            k.suspects,
            k.counted,
            k.ended,
            k.meta,
        ),
        (
            k.task_prefix,
            k.unique_prefix,
            worker,
            k.doorbell,
            "waive" if waive_lease else "expired",
            max_deliveries,
            codec.encode_failure(lost),
            CANCELLED,
            DEAD_LETTER_TTL_MS,
            k.held_prefix,
            k.running_prefix,
            k.minute_prefix,
            k.hour_prefix,
        ),
        replies.parse_recovery,
    )


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


def scheduled_tasks(queue: str, offset: int, limit: int) -> Call[list[Scheduled]]:
    """List scheduled tasks with the times when they are due, the next one first.

    Args:
        queue: name of the queue.
        offset: how many to skip.
        limit: how many to return at most.
    """
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).scheduled,),
        ("-inf", "+inf", "WITHSCORES", "LIMIT", offset, limit),
        replies.parse_scheduled,
        is_script=False,
    )


def dead_letters(queue: str, offset: int, limit: int) -> Call[list[str]]:
    """List the ids of dead letters, the newest first.

    Args:
        queue: name of the queue.
        offset: how many to skip.
        limit: maximum number of ids.
    """
    return Call(
        "ZREVRANGE",
        (queue_keys(queue).dead,),
        (offset, offset + limit - 1),
        replies.parse_names,
        is_script=False,
    )


def depth(queue: str, within_ms: int = 0) -> Call[QueueDepth]:
    """Count the tasks of a queue by state, and the scheduled ones that fall due soon.

    Args:
        queue: name of the queue.
        within_ms: how far ahead `QueueDepth.due_soon` looks.
    """
    k = queue_keys(queue)
    return Call(
        "depth",
        (
            k.pending,
            k.workers,
            k.scheduled,
            k.dead,
            k.stats,
            k.paused,
            k.limits,
            k.blocked,
            k.rates,
            k.tombstones,
            k.suspects,
            k.expiring,
            k.shelves,
            k.served,
            k.paused_jobs,
        ),
        (
            k.task_prefix,
            k.inflight_prefix,
            within_ms,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
        ),
        replies.parse_depth,
    )


def queues_seen() -> Call[dict[str, int]]:
    """List the queues of the registry, each with the time of its last activity."""
    return Call(
        "ZRANGEBYSCORE",
        (keys.QUEUES,),
        ("-inf", "+inf", "WITHSCORES"),
        replies.parse_scores,
        is_script=False,
    )


def releases(queue: str) -> Call[dict[str, int]]:
    """List the releases of applications, each with the time when a worker of it first came."""
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).releases,),
        ("-inf", "+inf", "WITHSCORES"),
        replies.parse_scores,
        is_script=False,
    )


def describe(queue: str, worker: str, info: Mapping[str, Any]) -> Call[bool]:
    """Renew what a worker says about itself, if it is registered.

    Args:
        queue: name of the queue.
        worker: the worker incarnation.
        info: see `register`.
    """
    k = queue_keys(queue)
    args = (worker, codec.encode_plain(dict(info)))
    return Call("describe", (k.workers, k.info), args, replies.parse_ok)


def jobs_declared(queue: str) -> Call[dict[str, dict[str, Any]]]:
    """Read what workers have declared about the jobs of a queue, by job."""
    return Call(
        "HGETALL", (queue_keys(queue).jobs,), (), replies.parse_declarations, is_script=False
    )


def jobs_enqueued(queue: str) -> Call[dict[str, int]]:
    """List the jobs of a queue of which tasks were enqueued, with the time of the last one."""
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).enqueued,),
        ("-inf", "+inf", "WITHSCORES"),
        replies.parse_scores,
        is_script=False,
    )


def numbers_of_minute(queue: str, minute: int) -> Call[dict[str, Counts]]:
    """Read the numbers of a minute, by job.

    Args:
        queue: name of the queue.
        minute: minutes since 1970.
    """
    key = queue_keys(queue).minute_prefix + str(minute)
    return Call("HGETALL", (key,), (), replies.parse_numbers, is_script=False)


def numbers_of_hour(queue: str, hour: int) -> Call[dict[str, Counts]]:
    """Read the numbers of an hour, by job.

    The tasks that were enqueued since the minute of `rolled` are not in it yet.

    Args:
        queue: name of the queue.
        hour: hours since 1970.
    """
    key = queue_keys(queue).hour_prefix + str(hour)
    return Call("HGETALL", (key,), (), replies.parse_numbers, is_script=False)


def rolled(queue: str) -> Call[int]:
    """Read the last minute whose enqueued tasks are in the numbers of its hour; 0: none is."""
    return Call(
        "HMGET", (queue_keys(queue).meta,), ("rolled",), replies.parse_rolled, is_script=False
    )


def limits(queue: str) -> Call[list[LimitsInUse]]:
    """List the limits of a queue's jobs and how far they are used, sorted by job name."""
    k = queue_keys(queue)
    return Call(
        "limits",
        (k.limits, k.blocked, k.rates, k.tombstones, k.paused_jobs),
        (k.held_prefix, k.running_prefix, k.task_prefix),
        replies.parse_limits,
    )


def workers(queue: str) -> Call[list[WorkerRow]]:
    """List the workers of a queue, those with the oldest lease first."""
    k = queue_keys(queue)
    return Call(
        "workers", (k.workers, k.info, k.draining), (k.inflight_prefix,), replies.parse_workers
    )


def connected(workers: Sequence[str]) -> Call[list[bool]]:
    """Check whether each worker's process holds its control connection.

    The kernel closes that connection when the process dies.
    """
    return Call(
        "PUBSUB",
        (),
        ("NUMSUB", *(keys.control_channel(worker) for worker in workers)),
        lambda reply: replies.parse_connected(len(workers), reply),
        is_script=False,
        merge=replies.join_connected,
    )


# --- the server -----------------------------------------------------------------------------


def server_time() -> Call[float]:
    """Read Redis' time, in seconds since 1970."""
    return Call("TIME", (), (), replies.parse_time, is_script=False)


def server_info() -> Call[dict[str, str]]:
    """Read the `server` section of INFO; in a cluster, of the node that was started last."""
    return Call(
        "INFO", (), ("server",), replies.parse_info, is_script=False, merge=replies.newest_info
    )


def memory_info() -> Call[dict[str, str]]:
    """Read the `memory` section of INFO. Redis 6.2 takes only one section per call."""
    return Call("INFO", (), ("memory",), replies.parse_info, is_script=False)


def cluster_slots() -> Call[Sequence[Any]]:
    """Ask a node of a cluster which node has which slots."""
    return Call("CLUSTER", (), ("SLOTS",), list, is_script=False)


def role() -> Call[list[Any]]:
    """Ask a server for its role: master or replica."""
    return Call("ROLE", (), (), list, is_script=False)
