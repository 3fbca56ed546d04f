"""Calls by which a worker registers, keeps its lease, and gives it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from identtqueue.limits import JobLimits
from identtqueue.protocol import codec, replies
from identtqueue.protocol.answers import Lease
from identtqueue.protocol.call import PROTOCOL_VERSION, REMEMBERED_MS, Call, Word
from identtqueue.protocol.ends import KEPT, Keeping
from identtqueue.protocol.keys import queue_keys


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
        _parse_registered,
    )


def _pack_limits(limits: JobLimits) -> bytes:
    """Encode limits as `lua/lib/limits.lua` reads them, and with the fields that `limits` shows."""
    packed: dict[str, float] = {}
    if limits.max_running is not None:
        packed["max"] = limits.max_running
    if (rate := limits.rate_limit) is not None:
        packed |= {"interval": rate.interval_ms, "burst": rate.burst_size}
        packed |= {"count": rate.count, "per_seconds": rate.per_seconds}
    return codec.encode_plain(packed) if packed else b""


def permitted(queue: str, names: Sequence[str]) -> Call[list[str]]:
    """List which of the commands the caller's ACL lacks on this queue; empty before Redis 7.0."""
    k = queue_keys(queue)
    return Call("permitted", (k.doorbell,), tuple(names), replies.parse_names)


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
        _parse_left,
    )


def _parse_registered(reply: list[Any]) -> int:
    """Parse the answer to a registration: Redis' time."""
    replies.check_protocol(reply)
    return int(reply[1])


def _parse_left(reply: bytes) -> bool:
    """Parse the answer to `leave`: whether the lease was given back."""
    return reply == b"ok"
