"""Calls that take tasks back from lost workers, and give up tasks that no worker can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from identtqueue.errors import InvalidInput
from identtqueue.protocol import codec, keys, replies
from identtqueue.protocol.answers import Recovery
from identtqueue.protocol.call import Call
from identtqueue.protocol.ends import CANCELLED, DEAD_LETTER_TTL_MS
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Failure


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


def connected(workers: Sequence[str]) -> Call[list[bool]]:
    """Check whether each worker's process holds its control connection.

    The kernel closes that connection when the process dies.
    """
    return Call(
        "PUBSUB",
        (),
        ("NUMSUB", *(keys.control_channel(worker) for worker in workers)),
        lambda reply: _parse_connected(len(workers), reply),
        is_script=False,
        merge=_join_connected,
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
            k.packed_tasks,
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
        _parse_recovery,
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


def _parse_connected(number: int, reply: list[Any]) -> list[bool]:
    """Parse the answer to PUBSUB NUMSUB: which channels have a subscriber.

    Args:
        number: how many channels were asked about.
        reply: the reply.

    Raises:
        ValueError: there is not one answer for each channel.
    """
    if len(reply) != 2 * number:
        raise ValueError("not one number for each channel")
    return [reply[i + 1] > 0 for i in range(0, len(reply), 2)]


def _join_connected(answers: Sequence[list[bool]]) -> list[bool]:
    """Join the answers of the nodes of a cluster: a subscriber is connected to one of them."""
    return [any(each) for each in zip(*answers, strict=True)]


def _parse_recovery(reply: list[bytes]) -> Recovery:
    """Parse the answer to a recovery."""
    if reply[0] not in (b"ok", b"more"):
        return Recovery(lost=False)
    fates: dict[bytes, list[str]] = {b"pending": [], b"failed": [], b"cancelled": []}
    isolated = []
    for i in range(1, len(reply), 2):
        task_id, fate = reply[i].decode(), reply[i + 1]
        if fate == b"suspect":
            isolated.append(task_id)
            fate = b"pending"
        fates[fate].append(task_id)
    return Recovery(
        lost=True,
        more=reply[0] == b"more",
        requeued=tuple(fates[b"pending"]),
        dead=tuple(fates[b"failed"]),
        cancelled=tuple(fates[b"cancelled"]),
        isolated=tuple(isolated),
    )
