"""Observation: everything that one decision rests on, in one `Observed`.

The cluster's part comes from the watches' cache (a workload that is not there is asked for), the
queues' part from Redis: for each trigger one round trip for the depths, and one more for the
workers where there are any. Triggers are read concurrently, so a silent Redis delays the round by
its time-out at most. What can't be read is None, never zero.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from identtqueue.admin import Admin, QueueDepth, WorkerInfo
from identtqueue.errors import IdenttqueueError
from identtqueue_operator.model import Depth, Observed, Reference, Trigger, Worker
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.workload.lookup import Workloads


async def observe(
    workload: Reference,
    connections: Sequence[Connection],
    *,
    workloads: Workloads,
    at: float,
    steady_at: float,
    due_within_seconds: float = 0.0,
) -> Observed:
    """Observe a workload, its pods and its queues.

    Args:
        workload: which one is scaled.
        connections: to the queues of its triggers.
        workloads: knows the workload, and which pods belong to it.
        at: the time, seconds since the epoch.
        steady_at: the same on the monotonic clock.
        due_within_seconds: how far ahead to look for tasks that fall due.

    Returns:
        All but what only the controller knows: who else scales the workload or counts the tasks.

    Raises:
        WorkloadTrouble: the workload can't be read, and it is known what to do about it.
        ApiError: the API server could not be asked.
    """
    found, pods = await workloads.look(workload)
    looks = await asyncio.gather(*(_look(each, due_within_seconds) for each in connections))
    looks = _without_repetitions(looks)
    return Observed(
        at=at,
        steady_at=steady_at,
        triggers=tuple(look.trigger for look in looks),
        depth=_total(looks, due_within_seconds),
        workers=tuple(worker for look in looks for worker in merge(look.rows, look.trigger.name)),
        flaws=tuple(flaw for look in looks for flaw in _flaws(look.rows)),
        workload=found,
        pods=pods,
    )


# --- the queues -----------------------------------------------------------------------------------

Rows = Sequence[tuple[str, WorkerInfo]]
"""Rows of workers, each with the name of its queue."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The answers of one trigger's Redis."""

    trigger: Trigger
    depths: Mapping[str, QueueDepth] = field(default_factory=dict)
    rows: Rows = ()


async def _look(connection: Connection, due_within_seconds: float) -> _Look:
    trigger = Trigger(connection.name, connection.queues, connection.address)
    admin = connection.admin
    if admin is None:
        return _Look(replace(trigger, source=connection.source))
    try:
        depths = await admin.depths(connection.queues, due_within_seconds=due_within_seconds)
        rows = await _read_rows(admin, [name for name, depth in depths.items() if depth.workers])
    except IdenttqueueError as error:
        connection.failed(error)
        return _Look(replace(trigger, source=connection.source))
    connection.answered()
    depth = sum_up(depths.values(), due_within_seconds)
    return _Look(replace(trigger, source=connection.source, depth=depth), depths, rows)


def _total(looks: Sequence[_Look], due_within_seconds: float) -> Depth | None:
    """Sum up all that could be read; a queue that two triggers name is one queue."""
    read = [look for look in looks if look.trigger.depth is not None]
    if len(read) == 1:
        return read[0].trigger.depth
    depths = {(look.trigger.redis, name): d for look in read for name, d in look.depths.items()}
    return sum_up(depths.values(), due_within_seconds) if read else None


def _without_repetitions(looks: Sequence[_Look]) -> list[_Look]:
    """Keep the rows of a queue in one look only, if several triggers name the queue."""
    found: list[_Look] = []
    taken: set[tuple[str, str]] = set()
    for look in looks:
        redis = look.trigger.redis
        rows = [row for row in look.rows if (redis, row[0]) not in taken]
        taken.update((redis, queue) for queue in look.depths)
        found.append(replace(look, rows=rows))
    return found


def _flaws(rows: Rows) -> list[str]:
    """List what can't be read, one text for each entry."""
    return [f"queue {queue}: {info.flaw}" for queue, info in rows if info.flaw]


async def read_workers(connection: Connection, queues: Sequence[str]) -> tuple[Worker, ...]:
    """Read who works on these queues; none if Redis is in trouble.

    Raises:
        IdenttqueueError: Redis can't be reached, or refuses it.
    """
    if connection.admin is None:
        return ()
    return merge(await _read_rows(connection.admin, queues), connection.name)


async def _read_rows(admin: Admin, queues: Sequence[str]) -> Rows:
    found = await asyncio.gather(*(admin.workers(queue) for queue in queues))
    return [(queue, info) for queue, of in zip(queues, found, strict=True) for info in of]


def merge(rows: Rows, trigger: str) -> tuple[Worker, ...]:
    """Make one worker of all rows of an incarnation.

    An entry that can't be read in part counts for what can be: the tasks of that worker must be
    found when its lease ends.
    """
    by_id: dict[str, list[tuple[str, WorkerInfo]]] = defaultdict(list)
    for queue, info in rows:
        if info.worker_id:
            by_id[info.worker_id].append((queue, info))
    return tuple(_merge(of_one, trigger) for of_one in by_id.values())


def _merge(rows: Rows, trigger: str) -> Worker:
    """Make one incarnation of what each of its queues says."""
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
        trigger=trigger,
    )


def sum_up(depths: Iterable[QueueDepth], due_within_seconds: float = 0.0) -> Depth:
    """Sum up several queues as one."""
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
