"""The writes of one round: carry out a decision. All of them may be repeated without harm.

The order matters:

1. growing first, because tasks wait for missing workers;
2. then the tasks of the dead return;
3. workers that are wanted again are called back before others are asked to drain;
4. the number is lowered last, and only to what the observation allowed: a worker asked to drain in
   this round is not yet known to be empty, so it can go at the earliest in the next one.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from identtqueue.admin import Admin, Recovery
from identtqueue.errors import IdenttqueueError
from identtqueue_operator.kube import parse
from identtqueue_operator.kube.api import ApiError
from identtqueue_operator.kube.cache import Cluster
from identtqueue_operator.kube.client import Kube
from identtqueue_operator.model import Decision, Observed, Outcome, Pod, Requeued, Worker
from identtqueue_operator.policy.drain import FIRST_COST, VICTIM_COST
from identtqueue_operator.queues.connections import Connection
from identtqueue_operator.queues.redis_errors import explain
from identtqueue_operator.times import rfc3339
from identtqueue_operator.workload.lookup import read_again, write_replicas


async def act(
    decision: Decision,
    seen: Observed,
    connections: Sequence[Connection],
    *,
    cluster: Cluster,
    kube: Kube,
    max_deliveries: int,
) -> Outcome:
    """Carry out a decision.

    Returns:
        What was really done, and a failure that ended the round: Redis went away, or somebody
        changed the workload in between. The next round decides again on what was not done.
    """
    outcome = Outcome()
    try:
        if decision.scale_to is not None and decision.scale_to > decision.current:
            outcome = await _scale(decision, seen, outcome, cluster, kube)
        for connection in connections:
            outcome = await _act_at(connection, decision, seen, outcome, max_deliveries)
        if outcome.failure:
            return outcome
        await _annotate(decision, seen.at, kube)
        if decision.scale_to is not None and decision.scale_to < decision.current:
            outcome = await _scale(decision, seen, outcome, cluster, kube)
    except ApiError as error:
        return replace(outcome, failure=str(error))
    return outcome


async def _act_at(
    connection: Connection,
    decision: Decision,
    seen: Observed,
    outcome: Outcome,
    max_deliveries: int,
) -> Outcome:
    """Carry out what concerns one trigger's workers. A failure there does not stop the others."""
    endpoint = connection.endpoint
    if endpoint is None or any(blind.name == connection.name for blind in seen.blind):
        return outcome
    try:
        async for item in _recover(decision, seen, connection, endpoint.admin, max_deliveries):
            outcome = replace(outcome, recovered=(*outcome.recovered, item))
        drain = decision.drain
        await call_back(_of(connection, drain.call_back), endpoint.admin)
        await _stop(_of(connection, drain.stop), endpoint.admin)
    except IdenttqueueError as error:
        endpoint.failed(error)
        return replace(outcome, failure=explain(error))
    return outcome


def _of(connection: Connection, workers: Iterable[Worker]) -> Iterable[Worker]:
    """Select the workers that were read through this connection."""
    return (worker for worker in workers if worker.trigger == connection.name)


# --- the number of replicas -----------------------------------------------------------------------


async def _scale(
    decision: Decision, seen: Observed, outcome: Outcome, cluster: Cluster, kube: Kube
) -> Outcome:
    """Write the number, on condition that the workload has not changed since it was seen.

    Controllers write its status all the time, which is a change too. If nothing else has changed,
    a higher number is written all the same. A lower one rests on more, so the next round decides.
    """
    workload, wanted = seen.workload, decision.scale_to
    assert workload is not None
    assert wanted is not None
    try:
        version = await write_replicas(workload, wanted, kube)
    except ApiError as error:
        if not (error.conflict or error.missing):
            raise
        fresh = await read_again(workload, cluster, kube)
        if fresh is None or wanted < decision.current:
            raise
        if (fresh.uid, fresh.replicas) != (workload.uid, decision.current):
            raise
        workload, version = fresh, await write_replicas(fresh, wanted, kube)
    cluster.note_scaled(workload, version, wanted)
    return replace(outcome, scaled_from=decision.current, scaled_to=wanted)


# --- tasks of dead workers ------------------------------------------------------------------------


async def _recover(
    decision: Decision,
    seen: Observed,
    connection: Connection,
    admin: Admin,
    max_deliveries: int,
) -> AsyncIterator[Requeued]:
    """Requeue the tasks of dead workers. Yield after each queue: a failure then loses no report."""
    for death in decision.evidence.deaths:
        if death.worker.trigger != connection.name:
            continue
        for queue in death.worker.queues:
            recovery = await admin.recover(
                queue, death.worker.worker_id, waive_lease=True, max_deliveries=max_deliveries
            )
            if recovery.requeued or recovery.dead:
                yield _requeued(queue, recovery, death.pod, death.cause)
    if connection.name in decision.evidence.leases_expired:
        here = _of(connection, seen.workers)
        late = [worker for worker in here if worker.lease_left_seconds <= 0]
        hosts = ", ".join(sorted({worker.host for worker in late}))
        for queue in sorted({queue for worker in late for queue in worker.queues}):
            recovery = await admin.recover_expired(queue, max_deliveries=max_deliveries)
            if recovery.requeued or recovery.dead:
                yield _requeued(queue, recovery, hosts, "lease ran out")


def _requeued(queue: str, recovery: Recovery, pod: str, cause: str) -> Requeued:
    return Requeued(queue, tuple(recovery.requeued), tuple(recovery.dead), pod, cause)


# --- draining -------------------------------------------------------------------------------------


async def call_back(workers: Iterable[Worker], admin: Admin) -> None:
    """Let workers fetch again from all these queues of theirs."""
    for queue, ids in _by_queue(workers):
        await admin.undrain(queue, ids)


async def _stop(workers: Iterable[Worker], admin: Admin) -> None:
    for queue, ids in _by_queue(workers):
        await admin.drain(queue, ids)


def _by_queue(workers: Iterable[Worker]) -> Iterable[tuple[str, list[str]]]:
    ids: dict[str, list[str]] = defaultdict(list)
    for worker in workers:
        for queue in worker.queues:
            ids[queue].append(worker.worker_id)
    return ids.items()


async def _annotate(decision: Decision, at: float, kube: Kube) -> None:
    """Mark the victims for their controller, and for an operator that restarts meanwhile."""
    mark = {parse.DELETION_COST: str(VICTIM_COST), parse.DRAINING_SINCE: rfc3339(at)}
    unmark = dict.fromkeys(mark)
    advance = {parse.DELETION_COST: str(FIRST_COST)}
    await asyncio.gather(
        *(_annotate_pod(pod, mark, kube) for pod in decision.drain.mark),
        *(_annotate_pod(pod, advance, kube) for pod in decision.drain.advance),
        *(_annotate_pod(pod, unmark, kube) for pod in decision.drain.unmark),
    )


async def _annotate_pod(
    pod: Pod, annotations: dict[str, str] | dict[str, None], kube: Kube
) -> None:
    try:
        await kube.annotate_pod(pod.key, dict(annotations))
    except ApiError as error:
        if not error.missing:  # it has ended meanwhile
            raise
