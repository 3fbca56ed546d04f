"""Reads what the doctor wants to know of a queue. It writes nothing and promotes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from identtqueue.admin import Admin, JobInfo, WorkerInfo
from identtqueue.cli.doctor.facts import QueueFacts, RunningFacts
from identtqueue.errors import PayloadUndecodable
from identtqueue.protocol import codec
from identtqueue.protocol.calls import checkup, claiming, inspecting, one_task
from identtqueue.task import TaskInfo
from identtqueue.transport.connection import AsyncRedis

HOUR_MS: Final = 3_600_000

YOUNG_MS: Final = 60_000
"""Attempts that run for less are not looked at: no check has anything to say of them."""

MOST_RUNNING: Final = 100
"""How many of the longest attempts of a queue are looked at."""


async def read_queue(redis: AsyncRedis, admin: Admin, queue: str, now_ms: int) -> QueueFacts:
    """Read one queue.

    Args:
        redis: for calls that `Admin` does not have.
        admin: for the others.
        queue: name of the queue.
        now_ms: Redis' time, in ms since 1970.

    Raises:
        InvalidQueueName: the name breaks the rule.
    """
    depth, protocol, paused_at_ms, paused_jobs = await asyncio.gather(
        redis.run(inspecting.depth(queue)),
        redis.run(checkup.protocol_version(queue)),
        redis.run(checkup.paused_at(queue)),
        redis.run(checkup.paused_jobs(queue)),
    )
    suspects, dead, shelves = await asyncio.gather(
        redis.run(checkup.suspects(queue)),
        redis.run(checkup.dead_since(queue, now_ms - HOUR_MS)),
        redis.run(checkup.shelves(queue)),
    )
    workers, jobs, limits = await asyncio.gather(
        admin.workers(queue), admin.jobs(queue), admin.limits(queue)
    )
    return QueueFacts(
        name=queue,
        depth=depth,
        protocol=protocol,
        paused_at_ms=paused_at_ms,
        paused_jobs=paused_jobs,
        workers=workers,
        running=await _running(redis, queue, workers, jobs, now_ms),
        shelves=shelves,
        limits=limits,
        jobs=jobs,
        suspects=suspects,
        dead_lately=dead,
    )


async def _running(
    redis: AsyncRedis,
    queue: str,
    workers: Sequence[WorkerInfo],
    jobs: Sequence[JobInfo],
    now_ms: int,
) -> list[RunningFacts]:
    """Read the attempts that have run longest, and how long they may run."""
    owners = [worker for worker in workers if worker.worker_id]
    owned = await redis.run_all([claiming.in_flight(queue, w.worker_id) for w in owners])
    ids = [task_id for each in owned for task_id in each]
    infos = await redis.run_all([one_task.task_info(task_id) for task_id in ids])
    old = [
        info
        for info in infos
        if info is not None and now_ms - (info.started_at_ms or now_ms) > YOUNG_MS
    ]
    old.sort(key=lambda info: info.started_at_ms or 0)
    old = old[:MOST_RUNNING]
    payloads = await redis.run_all([one_task.task_payload(info.task_id) for info in old])
    of_worker = {worker.worker_id: worker.timeout_ms for worker in owners}
    of_job = {job.name: job.declared.get("timeout_ms") for job in jobs}
    return [
        RunningFacts(
            task_id=info.task_id,
            job=info.function_name,
            worker_id=info.owner or "",
            ran_ms=now_ms - (info.started_at_ms or now_ms),
            timeout_ms=_timeout_ms(info, payload, of_job, of_worker),
        )
        for info, payload in zip(old, payloads, strict=True)
    ]


def _timeout_ms(
    info: TaskInfo,
    payload: bytes | None,
    of_job: Mapping[str, int | None],
    of_worker: Mapping[str, int | None],
) -> int | None:
    """Return how long an attempt may run: as its task says, else its job, else its worker."""
    try:
        task = codec.decode_task(payload) if payload else None
    except PayloadUndecodable:
        task = None
    if task is not None and task.timeout_seconds is not None:
        return round(task.timeout_seconds * 1000)
    own = of_job.get(info.function_name)
    return own if own is not None else of_worker.get(info.owner or "")
