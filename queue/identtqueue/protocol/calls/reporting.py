"""Calls by which a worker reports what became of its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call, Word
from identtqueue.protocol.ends import CANCELLED, DEAD_LETTER_TTL_MS, KEPT, Keeping
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure, queue_of

T = TypeVar("T")

MOST_RELEASED: Final = 64
"""Upper bound for the attempts of one release. Redis does nothing else meanwhile."""


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
        (k.inflight(worker), k.stats, k.blocked, k.wake, k.ended, k.packed_tasks),
        tuple(args),
        lambda reply: _parse_finished(len(done), reply),
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
            k.packed_tasks,
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
        (
            k.inflight(worker),
            k.dead,
            k.stats,
            k.blocked,
            k.wake,
            k.ended,
            k.meta,
            k.info,
            k.packed_tasks,
        ),
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
        (k.inflight(worker), k.stats, k.blocked, k.wake, k.ended, k.meta, k.packed_tasks),
        (k.task_prefix, k.unique_prefix, worker, task_id, attempt, CANCELLED, k.running_prefix),
        Ack,
    )


def in_releases(attempts: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split attempts into those of one release each, in the order in which they are sent.

    The last ones come first, because each release puts its tasks before those that are there.
    """
    for end in range(len(attempts), 0, -MOST_RELEASED):
        yield attempts[max(0, end - MOST_RELEASED) : end]


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
            k.packed_tasks,
        ),
        tuple(args),
        _parse_acks,
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
            k.packed_tasks,
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
        (k.packed_tasks,),
        (k.task_prefix, task_id, worker, attempt, message, k.progress_channel(task_id)),
        Ack,
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


_ACKS: Final = {ack.value: ack for ack in Ack}
"""The members by value. One is looked up for each task, and the class would take ten times as
long."""


def _parse_finished(number: int, reply: bytes | list[bytes]) -> list[Ack]:
    """Parse the answer to a batch of results: one word if all were recorded, else one for each."""
    return [_ACKS[reply]] * number if isinstance(reply, bytes) else _parse_acks(reply)


def _parse_acks(reply: list[bytes]) -> list[Ack]:
    """Parse the answers to a batch of reports, in order."""
    return [_ACKS[ack] for ack in reply]
