"""Calls by which a worker waits for tasks and takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Claim, Claimed
from identtqueue.protocol.call import Call
from identtqueue.protocol.ends import CANCELLED, EXPIRED
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Attempt

SHORTEST_BLOCK_SECONDS: Final = 0.002
"""Shortest time to block for work. 0 would block for ever, and Redis 6.2 rounds 1 ms down to 0."""


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
        lambda reply: _parse_wake(wakes, reply),
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
    return _claim(queue, worker, limit, idle, tuple(shelves))


@lru_cache(maxsize=128)
def _claim(
    queue: str, worker: str, limit: int, idle: bool, shelves: tuple[str, ...]
) -> Call[Claimed]:
    """Make a claim, once: a busy worker sends the same one hundreds of times per second."""
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
            k.alarm,
            k.packed_tasks,
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
        lambda reply: _parse_claim(queue, reply),
        repeatable=False,
        is_kept=True,
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


def wake(queue: str, promised_ms: int = 0) -> Call[int]:
    """Wake another idle worker if tasks may start, or if none looks when the next one may.

    Args:
        queue: name of the queue.
        promised_ms: when the caller would have looked (`Claimed.alarm_ms`), and does not any more;
            0: it has not promised to.

    Returns:
        A call that returns how many tasks may start, counted as in `Claimed.pending`.
    """
    k = queue_keys(queue)
    return Call(
        "wake",
        (k.pending, k.wake, k.blocked, k.tombstones, k.suspects, k.scheduled, k.alarm),
        (k.task_prefix, promised_ms),
        int,
    )


_NO_NEWS: Final[Mapping[bytes, Any]] = {}


def _parse_wake(queues: Mapping[str, str], reply: list[bytes] | None) -> str | None:
    """Return the queue whose wake token was taken; None: none has come.

    Args:
        queues: the queues by the names of their `wake` lists.
        reply: the list and the token.
    """
    return queues[reply[0].decode()] if reply else None


_FIRST: Final = (1, 0, 0)
"""Number, failures and losses of a task's first attempt, of which the reply says nothing."""


_CLAIMS: Final = {claim.value: claim for claim in Claim}
_OK: Final = Claim.OK


def _parse_claim(queue: str, reply: list[Any]) -> Claimed:
    """Parse the answer to a claim."""
    status = _CLAIMS[reply[0]]
    if status is not _OK:
        return Claimed(status)
    now, pairs = reply[2], reply[4]
    news = dict(zip(pairs[::2], pairs[1::2], strict=True)) if pairs else _NO_NEWS
    attempts = tuple(
        _parse_attempt(queue, now, news, reply[i], reply[i + 1]) for i in range(5, len(reply), 2)
    )
    return Claimed(
        status,
        attempts,
        replies.maybe(reply[1]),
        reply[3],
        suspects=news.get(b"suspects", 0),
        hold_ms=news.get(b"hold"),
        shelves=tuple(name.decode() for name in news.get(b"shelves", ())),
        alarm_ms=now + reply[1] if reply[1] >= 0 else 0,
    )


def _parse_attempt(
    queue: str,
    now: int,
    news: Mapping[bytes, Any],
    task_id: bytes,
    task: bytes | list[Any],
) -> Attempt:
    """Parse what the answer to a claim says of one attempt.

    Args:
        queue: name of the queue.
        now: Redis' time.
        news: of all attempts.
        task_id: its task.
        task: the text of a packed task (see `lua/lib/packed.lua`); or of another one its payload,
            when it was enqueued, since when it is pending if that differs, and unless this is its
            first attempt: number of the attempt, failures and losses.
    """
    pending_since = later = None
    if isinstance(task, bytes):
        enqueued_at, payload = task[1:14], task[task.index(b"\n") + 1 :]
    else:
        payload, enqueued_at, pending_since, later = task
    number, failures, losses = map(int, later) if later else _FIRST
    enqueued_at_ms = int(enqueued_at)
    waited_ms = now - (int(pending_since) if pending_since else enqueued_at_ms)
    return Attempt(  # by position, since names cost a third more
        task_id.decode(),
        queue,
        number,
        failures,
        losses,
        enqueued_at_ms,
        now,  # started_at_ms
        max(0, waited_ms),
        payload,
        news.get(b"fence " + task_id, now) if news else now,  # fencing_token
        b"alone" in news,
    )
