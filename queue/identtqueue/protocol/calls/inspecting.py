"""Calls that read a queue's numbers, limits and workers. None of them writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from identtqueue.errors import PayloadUndecodable
from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import codec, counting, replies
from identtqueue.protocol.answers import LimitsInUse, QueueDepth, WorkerRow
from identtqueue.protocol.call import Call
from identtqueue.protocol.counting import Counts
from identtqueue.protocol.keys import queue_keys

LONGEST_WORKER_ID: Final = 512
LONGEST_INFO_TEXT: Final = 512

_INFO_TEXTS: Final = (
    "pod_uid",
    "pod_name",
    "container",
    "host",
    "boot",
    "domain",
    "process",
    "version",
    "node",
    "release",
)

_INFO_NUMBERS: Final = ("concurrency", "registered_at_ms", "timeout_ms", "rss_bytes")

_INFO_SIGNED: Final = ("clock_ahead_ms",)
"""Numbers that may be negative."""


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
            k.packed_tasks,
        ),
        (
            k.task_prefix,
            k.inflight_prefix,
            within_ms,
            k.held_prefix,
            k.running_prefix,
            k.shelf_prefix,
        ),
        _parse_depth,
    )


def limits(queue: str) -> Call[list[LimitsInUse]]:
    """List the limits of a queue's jobs and how far they are used, sorted by job name."""
    k = queue_keys(queue)
    return Call(
        "limits",
        (k.limits, k.blocked, k.rates, k.tombstones, k.paused_jobs),
        (k.held_prefix, k.running_prefix, k.task_prefix),
        _parse_limits,
    )


def workers(queue: str) -> Call[list[WorkerRow]]:
    """List the workers of a queue, those with the oldest lease first."""
    k = queue_keys(queue)
    return Call("workers", (k.workers, k.info, k.draining), (k.inflight_prefix,), _parse_workers)


def numbers_of_minute(queue: str, minute: int) -> Call[dict[str, Counts]]:
    """Read the numbers of a minute, by job.

    Args:
        queue: name of the queue.
        minute: minutes since 1970.
    """
    key = queue_keys(queue).minute_prefix + str(minute)
    return Call("HGETALL", (key,), (), _parse_numbers, is_script=False)


def numbers_of_hour(queue: str, hour: int) -> Call[dict[str, Counts]]:
    """Read the numbers of an hour, by job.

    The tasks that were enqueued since the minute of `rolled` are not in it yet.

    Args:
        queue: name of the queue.
        hour: hours since 1970.
    """
    key = queue_keys(queue).hour_prefix + str(hour)
    return Call("HGETALL", (key,), (), _parse_numbers, is_script=False)


def rolled(queue: str) -> Call[int]:
    """Read the last minute whose enqueued tasks are in the numbers of its hour; 0: none is."""
    return Call("HMGET", (queue_keys(queue).meta,), ("rolled",), _parse_rolled, is_script=False)


def _parse_depth(reply: list[Any]) -> QueueDepth:
    """Parse the answer to `depth`."""
    numbers = [replies.checked_number(value) for value in reply[:12]]
    counters = {
        reply[i].decode(): replies.parse_count(reply[i + 1]) for i in range(12, len(reply), 2)
    }
    return QueueDepth(
        queued=numbers[0],
        in_flight=numbers[1],
        scheduled=numbers[2],
        dead=numbers[3],
        oldest_wait_ms=replies.maybe(numbers[4]),
        next_due_in_ms=replies.maybe(numbers[5]),
        due_soon=numbers[6],
        paused=bool(numbers[7]),
        workers=numbers[8],
        counters=counters,
        held=numbers[10],
        next_held_in_ms=replies.maybe(numbers[11]),
    )


def _parse_limits(reply: list[Any]) -> list[LimitsInUse]:
    """Parse the limits of the jobs, and sort them by job name."""
    found = [
        LimitsInUse(
            job=reply[i].decode(),
            limits=_unpack_limits(reply[i + 1]),
            running=reply[i + 2],
            held=reply[i + 3],
            next_start_in_ms=replies.maybe(reply[i + 4]),
            paused=bool(reply[i + 5]),
        )
        for i in range(0, len(reply), 6)
    ]
    return sorted(found, key=lambda limits: limits.job)


def _unpack_limits(packed: bytes) -> JobLimits:
    fields = codec.decode_value(packed) if packed else {}
    rate = (
        RateLimit(fields["count"], fields["per_seconds"], fields["burst"])
        if "count" in fields
        else None
    )
    return JobLimits(max_running=fields.get("max"), rate_limit=rate)


def _parse_numbers(reply: list[Any] | Mapping[bytes, bytes]) -> dict[str, counting.Counts]:
    """Parse the numbers of a minute or an hour, by job."""
    return counting.parse_numbers(replies.parse_fields(reply))


def _parse_rolled(reply: list[bytes | None]) -> int:
    """Parse the last minute whose enqueued tasks are in the numbers of its hour; 0: none is."""
    return int(reply[0] or 0)


def _parse_workers(reply: list[Any]) -> list[WorkerRow]:
    """Parse the rows of the workers."""
    if len(reply) % 5:
        raise ValueError("no rows of workers")
    return [_worker_row(*reply[i : i + 5]) for i in range(0, len(reply), 5)]


def _worker_row(
    worker_id: bytes, lease_ms: int, in_flight: int, draining: int, packed: bytes
) -> WorkerRow:
    """Parse one row. A flaw in it, which no worker has written, does not affect the other rows."""
    info, flaws = _worker_info(packed)
    readable = worker_id.decode(errors="replace")
    if readable.encode() != worker_id or not 0 < len(worker_id) <= LONGEST_WORKER_ID:
        readable, flaws = "", ["worker_id"]
    flaw = f"{', '.join(flaws)} of worker {readable or 'without a name'}" if flaws else ""
    return WorkerRow(
        readable,
        replies.checked_number(lease_ms),
        replies.checked_number(in_flight),
        bool(draining),
        info,
        flaw,
    )


def _worker_info(packed: bytes) -> tuple[dict[str, Any], list[str]]:
    """Decode the info that a worker wrote, and list the names of fields of unexpected form."""
    try:
        said = codec.decode_value(packed) if packed else {}
    except PayloadUndecodable:
        said = None
    if not isinstance(said, dict):
        return {}, ["info"]
    info: dict[str, Any] = {}
    for name in _INFO_TEXTS:
        value = said.get(name)
        if isinstance(value, str) and len(value) <= LONGEST_INFO_TEXT:
            info[name] = value
    for name in (*_INFO_NUMBERS, *_INFO_SIGNED):
        value = said.get(name)
        least = -(1 << 53) if name in _INFO_SIGNED else -1
        if isinstance(value, int) and not isinstance(value, bool) and least < value < 1 << 53:
            info[name] = value
    known = (*_INFO_TEXTS, *_INFO_NUMBERS, *_INFO_SIGNED)
    return info, [n for n in known if said.get(n) is not None and n not in info]
