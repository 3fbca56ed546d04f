"""Reading: everything that one decision rests on, into one `Observed`.

The cluster's part comes from the watches' cache (a workload that is not there is asked for), the
queues' part from Redis: one round trip for the depths, and one more for the workers where there are
any. What can't be read is None, never zero.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from identtqueue.admin import Admin, QueueDepth, WorkerInfo
from identtqueue.errors import IdenttqueueError

from .cluster import Cluster
from .doorbell import Endpoint
from .kube import Kube
from .model import Depth, Observed, Source, Worker, Workload, WorkloadKey
from .replicasets import ReplicaSets


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers in some queues, and what of their entries can't be read."""

    workers: tuple[Worker, ...] = ()
    flaws: tuple[str, ...] = ()


async def observe(
    owner: str,
    workload: WorkloadKey,
    queues: Sequence[str],
    endpoint: Endpoint | Source,
    *,
    cluster: Cluster,
    kube: Kube,
    replica_sets: ReplicaSets,
    at: float,
    steady_at: float,
    conflict: str = "",
    rival: bool = False,
    shared: str = "",
    due_within_seconds: float = 0.0,
) -> Observed:
    """Look at everything.

    Args:
        owner: UID of the TaskQueue.
        workload: which one is scaled.
        queues: whose tasks it runs.
        endpoint: where the queues are; or why that is not known.
        cluster: the watches' cache.
        kube: for what the cache does not have.
        replica_sets: says which pods belong to the workload.
        at: the time, seconds since the epoch.
        steady_at: the same on the monotonic clock.
        conflict: who else scales the workload.
        rival: whether that is an older TaskQueue.
        shared: which other TaskQueue counts the same tasks.
        due_within_seconds: how far ahead to look for tasks that fall due.

    Raises:
        ApiError: the API server could not be asked.
    """
    found = await find_workload(workload, cluster, kube)
    pods = cluster.pods(found) if found else ()
    if found is not None:
        pods = await replica_sets.tell_apart(pods, found)
    depth, found_workers, source = await _queues(owner, endpoint, queues, due_within_seconds)
    return Observed(
        at=at,
        steady_at=steady_at,
        source=source,
        depth=depth,
        workers=found_workers.workers,
        flaws=found_workers.flaws,
        workload=found,
        pods=pods,
        conflict=conflict,
        rival=rival,
        queues=tuple(queues),
        shared=shared,
    )


async def find_workload(workload: WorkloadKey, cluster: Cluster, kube: Kube) -> Workload | None:
    """The workload; one that the cache does not have is asked for."""
    known = cluster.workload(workload)
    if known is None and not cluster.is_missing(workload):
        known = await kube.get_workload(workload)
        if known is None:
            cluster.note_missing(workload)
        else:
            cluster.put_workload(known)
    return known


async def _queues(
    owner: str, endpoint: Endpoint | Source, queues: Sequence[str], due_within_seconds: float
) -> tuple[Depth | None, Workers, Source]:
    if isinstance(endpoint, Source):
        return None, Workers(), endpoint
    if endpoint.in_trouble or not endpoint.hears(owner):
        return None, Workers(), endpoint.source(owner)
    try:
        found = await endpoint.admin.depths(queues, due_within_seconds=due_within_seconds)
        busy = [queue for queue, depth in found.items() if depth.workers]
        workers = await read_workers(endpoint.admin, busy)
    except IdenttqueueError as error:
        endpoint.failed(error, owner)
        return None, Workers(), endpoint.source(owner)
    endpoint.answered(owner)
    return sum_up(found.values(), due_within_seconds), workers, endpoint.source(owner)


async def read_workers(admin: Admin, queues: Sequence[str]) -> Workers:
    """Read who works on these queues.

    An entry that can't be read in part counts for what can be: the tasks of that worker must be
    found when its lease ends.
    """
    rows: dict[str, list[tuple[str, WorkerInfo]]] = defaultdict(list)
    flaws: list[str] = []
    for queue, found in zip(
        queues, await asyncio.gather(*(admin.workers(queue) for queue in queues)), strict=True
    ):
        for info in found:
            if info.flaw:
                flaws.append(f"queue {queue}: {info.flaw}")
            if info.worker_id:
                rows[info.worker_id].append((queue, info))
    return Workers(tuple(_merge(of_one) for of_one in rows.values()), tuple(flaws))


def _merge(rows: Sequence[tuple[str, WorkerInfo]]) -> Worker:
    """One incarnation, from what each of its queues says."""
    infos = [info for _, info in rows]
    first = infos[0]
    return Worker(
        worker_id=first.worker_id,
        queues=tuple(queue for queue, _ in rows),
        host=first.host,
        pod_uid=first.pod_uid,
        container=first.container,
        in_flight=sum(info.in_flight for info in infos),
        draining_in=tuple(queue for queue, info in rows if info.draining),
        connected=any(info.connected for info in infos),
        lease_left_seconds=min(info.lease_expires_in_ms for info in infos) / 1000,
        registered_at=first.registered_at_ms / 1000,
    )


def sum_up(depths: Iterable[QueueDepth], due_within_seconds: float = 0.0) -> Depth:
    """Several queues as one."""
    depths = list(depths)
    waits = [d.oldest_wait_ms for d in depths if d.oldest_wait_ms is not None and not d.paused]
    dues = [d.next_due_in_ms for d in depths if d.next_due_in_ms is not None]
    limited = [d.next_held_in_ms for d in depths if d.next_held_in_ms is not None and not d.paused]
    return Depth(
        queued=sum(d.queued for d in depths),
        in_flight=sum(d.in_flight for d in depths),
        scheduled=sum(d.scheduled for d in depths),
        dead=sum(d.dead for d in depths),
        paused=sum(d.queued for d in depths if d.paused),
        held=sum(d.held for d in depths if not d.paused),
        next_held_seconds=min(limited) / 1000 if limited else None,
        workers=sum(d.workers for d in depths),
        oldest_wait_seconds=max(waits) / 1000 if waits else None,
        next_due_seconds=min(dues) / 1000 if dues else None,
        due_soon=sum(d.due_soon for d in depths if not d.paused),
        due_within_seconds=due_within_seconds,
        enqueued_total=sum(d.counters.get("enqueued", 0) for d in depths),
        ended_total=sum(
            d.counters.get(name, 0) for d in depths for name in ("succeeded", "failed", "retried")
        ),
        run_ms_total=sum(d.counters.get("run_ms", 0) for d in depths),
    )
