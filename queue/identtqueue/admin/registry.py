"""The registry: which queues a Redis has, and which jobs a queue has."""

from __future__ import annotations

import asyncio
from typing import Any

from identtqueue.protocol.answers import JobInfo, QueueInfo
from identtqueue.protocol.call import REMEMBERED_MS
from identtqueue.protocol.calls import checkup, registry, server_facts
from identtqueue.task import check_queue_name
from identtqueue.transport.connection import AsyncRedis


async def list_queues(redis: AsyncRedis) -> list[QueueInfo]:
    """List the queues of a Redis: see `Admin.queues`."""
    seen, now = await asyncio.gather(
        redis.run(registry.queues_seen()), redis.run(server_facts.server_time())
    )
    oldest = now * 1000 - REMEMBERED_MS
    return [QueueInfo(name, seen[name]) for name in sorted(seen) if seen[name] > oldest]


async def list_jobs(redis: AsyncRedis, queue: str) -> list[JobInfo]:
    """List the jobs of a queue: see `Admin.jobs`."""
    check_queue_name(queue)
    declared, enqueued, paused = await asyncio.gather(
        redis.run(registry.jobs_declared(queue)),
        redis.run(registry.jobs_enqueued(queue)),
        redis.run(checkup.paused_jobs(queue)),
    )
    return [
        _job(name, declared.get(name, {}), enqueued.get(name), paused=name in paused)
        for name in sorted({*declared, *enqueued, *paused})
    ]


def _job(
    name: str, declared: dict[str, Any], last_enqueued_at_ms: int | None, *, paused: bool
) -> JobInfo:
    return JobInfo(
        name,
        declared_at_ms=_number(declared.get("declared_at")),
        last_enqueued_at_ms=last_enqueued_at_ms,
        parameters=_names(declared.get("parameters")),
        hidden=_names(declared.get("hidden")),
        module=str(declared.get("module", "")),
        paused=paused,
        declared=declared,
    )


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
