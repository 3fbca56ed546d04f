"""The workers of a queue, and the recovery of those that were lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from identtqueue.admin.base import AdminBase
from identtqueue.protocol.answers import Recovery
from identtqueue.protocol.calls import acting, inspecting, recovering, scheduling

RECOVERY_ROUNDS: Final = 1_000
"""Upper bound for the rounds of one `recover_expired`; each round recovers up to 16 workers."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker incarnation on one queue.

    Attributes:
        worker_id: `<pod UID or host>.<boot nonce>`.
        pod_uid, pod_name, container: what the worker read from the Downward API; None if it was
            not set.
        host: the host name; in a pod, the pod's name.
        concurrency: how many attempts the worker may run at once, over all its queues.
        in_flight: how many tasks of this queue the worker owns.
        draining: whether the worker was asked to stop fetching.
        connected: whether a process listens on the worker's control channel. The kernel closes
            that connection when the process dies, so False for a registered worker means that it
            is dead or cut off from Redis.
        lease_expires_in_ms: time until the lease expires; negative once it has expired.
        registered_at_ms: time of registration by the worker's own clock, ms since 1970.
        version: version of this library in the worker; empty if it is not known.
        clock_ahead_ms: how far the worker's clock was ahead of Redis' when it registered; negative
            if it was behind, None if the worker has not said so.
        timeout_ms: how long an attempt may run there, unless its job or task sets a timeout; None:
            without end.
        node: node that the pod runs on; None if the worker was not told.
        release: release of the application; None if it is not known.
        rss_bytes: memory of the worker's process in RAM, to the minute; None if it is not known.
        flaw: names the parts of the entry in Redis that can't be read and are left out here; empty
            if all can be read. Something other than a worker wrote those parts. If `worker_id` is
            empty, nothing can be done about the entry.
    """

    worker_id: str
    pod_uid: str | None
    pod_name: str | None
    container: str | None
    host: str
    concurrency: int
    in_flight: int
    draining: bool
    connected: bool
    lease_expires_in_ms: int
    registered_at_ms: int
    flaw: str = ""
    version: str = ""
    clock_ahead_ms: int | None = None
    timeout_ms: int | None = None
    node: str | None = None
    release: str | None = None
    rss_bytes: int | None = None


class WorkerAdmin(AdminBase):
    """The methods of `Admin` about workers."""

    async def workers(self, queue: str) -> list[WorkerInfo]:
        """List the workers that are registered on the queue, the oldest lease first.

        Args:
            queue: name of the queue.
        """
        rows = await self._redis.run(inspecting.workers(queue))
        if not rows:
            return []
        ids = [row.worker_id for row in rows if row.worker_id]
        connected = await self._redis.run(recovering.connected(ids))
        alive = dict(zip(ids, connected, strict=True))
        return [
            WorkerInfo(
                worker_id=row.worker_id,
                pod_uid=row.info.get("pod_uid"),
                pod_name=row.info.get("pod_name"),
                container=row.info.get("container"),
                host=row.info.get("host", ""),
                concurrency=row.info.get("concurrency", 0),
                in_flight=row.in_flight,
                draining=row.draining,
                connected=alive.get(row.worker_id, False),
                lease_expires_in_ms=row.lease_expires_in_ms,
                registered_at_ms=row.info.get("registered_at_ms", 0),
                flaw=row.flaw,
                version=row.info.get("version", ""),
                clock_ahead_ms=row.info.get("clock_ahead_ms"),
                timeout_ms=row.info.get("timeout_ms"),
                node=row.info.get("node"),
                release=row.info.get("release"),
                rss_bytes=row.info.get("rss_bytes"),
            )
            for row in rows
        ]

    async def recover(
        self, queue: str, worker_id: str, *, waive_lease: bool, max_deliveries: int
    ) -> Recovery:
        """Take all tasks of one worker back into the queue.

        Args:
            queue: name of the queue.
            worker_id: the worker that was lost.
            waive_lease: True if the worker is certainly dead. False: nothing happens until its
                lease has expired.
            max_deliveries: how many workers a task may lose before it becomes a dead letter.

        Returns:
            What became of the tasks; `lost` is False if the worker was unknown or alive.
        """
        call = recovering.recover(
            queue, worker_id, waive_lease=waive_lease, max_deliveries=max_deliveries
        )
        recovery = await self._redis.run(call)
        while recovery.more:
            recovery += await self._redis.run(call)
        return recovery

    async def recover_expired(self, queue: str, *, max_deliveries: int) -> Recovery:
        """Take back the tasks of all workers whose lease has expired.

        Args:
            queue: name of the queue.
            max_deliveries: how many workers a task may lose before it becomes a dead letter.

        Returns:
            What became of the tasks of all these workers.
        """
        now_ms = (await self._redis.run(scheduling.promote(queue))).now_ms
        recovered = Recovery(lost=False)
        # Each round removes the workers that it has recovered. More leases may expire meanwhile, so
        # the number of rounds is bounded.
        for _ in range(RECOVERY_ROUNDS):
            expired = await self._redis.run(recovering.expired(queue, now_ms))
            for worker_id in expired:
                recovered += await self.recover(
                    queue, worker_id, waive_lease=False, max_deliveries=max_deliveries
                )
            if not expired:
                break
        return recovered

    async def drain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Ask workers to stop fetching from the queue.

        Args:
            queue: name of the queue.
            worker_ids: the worker incarnations; those that are not registered are ignored.

        Returns:
            The workers that were not draining before.
        """
        note = self._note("drain", " ".join(worker_ids))
        return await self._redis.run(acting.drain(queue, worker_ids, stop=True, note=note))

    async def undrain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Call draining workers back, so that they fetch from the queue again.

        Args:
            queue: name of the queue.
            worker_ids: the worker incarnations.

        Returns:
            The workers that were draining.
        """
        note = self._note("undrain", " ".join(worker_ids))
        return await self._redis.run(acting.drain(queue, worker_ids, stop=False, note=note))
