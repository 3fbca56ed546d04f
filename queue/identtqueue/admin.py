"""What operators, dashboards and the command line need: look, recover, drain, replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from identtqueue.checks import check_patience
from identtqueue.errors import InvalidInput, TaskNotFound
from identtqueue.protocol import codec, commands, keys
from identtqueue.protocol.commands import LimitsInUse, QueueDepth, Recovery, Replayed
from identtqueue.task import Task, TaskInfo, check_queue_name
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.budget import ReplyBudget
from identtqueue.transport.cluster import async_redis
from identtqueue.transport.home import Home
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.reach import Reach
from identtqueue.transport.server import own_name
from identtqueue.transport.settings import RedisSettings
from identtqueue.transport.subscriber import Subscriber

__all__ = [
    "Admin",
    "Doorbell",
    "LimitsInUse",
    "QueueDepth",
    "Reach",
    "Recovery",
    "RedisSettings",
    "ReplyBudget",
    "ServerInfo",
    "WorkerInfo",
]


RECOVERY_ROUNDS: Final = 1_000
"""Rounds of 16 workers that one `recover_expired` takes at most."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server answers, and since when.

    Attributes:
        version: as its makers count: Valkey's own, not that of the Redis it is compatible with.
        uptime_seconds: since it was started.
        name: "Redis", "Valkey" or what else it calls itself.
    """

    version: str
    uptime_seconds: int
    name: str = "Redis"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker incarnation on one queue.

    Attributes:
        worker_id: `<pod UID or host>.<boot nonce>`.
        pod_uid, pod_name, container: as the Downward API told the worker; None: it did not.
        host: the host's name; in a pod, the pod's.
        concurrency: attempts that it may run at once, over all its queues.
        in_flight: tasks of this queue that it owns.
        draining: it was told to stop fetching.
        connected: Redis sees a process on its control channel. The kernel closes that connection
            when the process dies; False of a registered worker means dead or cut off.
        lease_expires_in_ms: negative: it has run out.
        registered_at_ms: by the worker's clock, ms since 1970.
        flaw: what of its entry in Redis can't be read, and is left out; empty if all can. Something
            other than a worker has written it. Without a `worker_id` nothing can be done about it.
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


class Admin(AsyncConnected):
    """Administers the queues of one Redis; one instance serves any number of coroutines.

    Args:
        redis: address or settings, see `Client`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. 0: it raises
            RedisUnavailable at once.
    """

    def __init__(
        self, redis: str | RedisSettings | None = None, *, retry_for_seconds: float = 0
    ) -> None:
        check_patience("retry_for_seconds", retry_for_seconds)
        self._settings = RedisSettings.of(redis)
        self._home = Home(
            lambda: async_redis(
                self._settings, client_name="identtqueue-admin", retry_for_seconds=retry_for_seconds
            ),
            "Admin",
        )

    @property
    def _redis(self) -> AsyncRedis:
        return self._home.here

    async def connect(self) -> None:
        """Connect now, to fail early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis is not to be had.
        """
        await self._redis.connect()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.close()

    async def server(self) -> ServerInfo:
        """Name, version and uptime of the server."""
        info = await self._redis.run(commands.server_info())
        name, version = own_name(info)
        return ServerInfo(version, commands.uptime_seconds(info), name)

    async def depths(
        self, queues: Sequence[str], *, due_within_seconds: float = 0
    ) -> dict[str, QueueDepth]:
        """What is in the queues, in one round trip; tasks that are due are promoted first.

        Args:
            queues: their names.
            due_within_seconds: `due_soon` counts the scheduled tasks that fall due within so long.
        """
        for queue in queues:
            check_queue_name(queue)
        within_ms = int(due_within_seconds * 1000)
        # Started together, so that both leave in one batch, promotions first.
        _, found = await asyncio.gather(
            self._redis.run_all([commands.promote(queue) for queue in queues]),
            self._redis.run_all([commands.depth(queue, within_ms) for queue in queues]),
        )
        return dict(zip(queues, found, strict=True))

    async def limits(self, queue: str) -> list[LimitsInUse]:
        """The limits of the queue's jobs, by name, and how far they are used."""
        return await self._redis.run(commands.limits(queue))

    async def workers(self, queue: str) -> list[WorkerInfo]:
        """Who works on the queue."""
        rows = await self._redis.run(commands.workers(queue))
        if not rows:
            return []
        ids = [row.worker_id for row in rows if row.worker_id]
        connected = await self._redis.run(commands.connected(ids))
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
            )
            for row in rows
        ]

    async def recover(
        self, queue: str, worker_id: str, *, waive_lease: bool, max_deliveries: int
    ) -> Recovery:
        """Take all tasks of one worker back into the queue.

        Args:
            queue: of the tasks.
            worker_id: whose.
            waive_lease: its death is certain; otherwise nothing happens before its lease has
                run out.
            max_deliveries: tasks that have lost so many workers become dead letters.
        """
        call = commands.recover(
            queue, worker_id, waive_lease=waive_lease, max_deliveries=max_deliveries
        )
        recovery = await self._redis.run(call)
        while recovery.more:
            recovery += await self._redis.run(call)
        return recovery

    async def recover_expired(self, queue: str, *, max_deliveries: int) -> Recovery:
        """Take the tasks of all workers whose lease has run out."""
        now_ms = (await self._redis.run(commands.promote(queue))).now_ms
        recovered = Recovery(lost=False)
        # Each round takes its workers away. It is bounded all the same: others may bring new ones.
        for _ in range(RECOVERY_ROUNDS):
            expired = await self._redis.run(commands.expired(queue, now_ms))
            for worker_id in expired:
                recovered += await self.recover(
                    queue, worker_id, waive_lease=False, max_deliveries=max_deliveries
                )
            if not expired:
                break
        return recovered

    async def drain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Tell workers to stop fetching; gives those that were not draining before."""
        return await self._redis.run(commands.drain(queue, worker_ids, stop=True))

    async def undrain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Call workers back; gives those that were draining."""
        return await self._redis.run(commands.drain(queue, worker_ids, stop=False))

    async def pause(self, queue: str) -> bool:
        """Stop all claims of the queue; running tasks go on. Whether that changed anything."""
        return await self._redis.run(commands.pause(queue, stop=True))

    async def resume(self, queue: str) -> bool:
        """Allow claims again. Whether that changed anything."""
        return await self._redis.run(commands.pause(queue, stop=False))

    async def task(self, task_id: str) -> TaskInfo:
        """All that is known of a task.

        Raises:
            TaskNotFound: never enqueued, or expired.
        """
        info = await self._redis.run(commands.task_info(task_id))
        if info is None:
            raise TaskNotFound(task_id)
        return info

    async def arguments(self, task_id: str) -> Task | None:
        """What a task was called with: its job, arguments and options, as plain values.

        Returns:
            None if it is not kept any more: the task has succeeded or was cancelled, or is unknown.

        Raises:
            PayloadUndecodable: it can't be read.
        """
        payload = await self._redis.run(commands.task_payload(task_id))
        return None if payload is None else codec.decode_task(payload)

    async def dead_letters(
        self, queue: str, *, offset: int = 0, limit: int = 100
    ) -> AsyncIterator[TaskInfo]:
        """Dead letters, the newest first.

        Args:
            queue: of the tasks.
            offset: how many to skip, 0 or more.
            limit: how many at most, 1 or more.

        Raises:
            InvalidInput: one of them is not.
        """
        if offset < 0 or limit < 1:
            raise InvalidInput(f"offset={offset}, limit={limit}: 0 or more, and 1 or more")
        ids = await self._redis.run(commands.dead_letters(queue, offset, limit))
        for info in await self._redis.run_all([commands.task_info(task_id) for task_id in ids]):
            if info is not None:
                yield info

    async def replay(self, task_ids: Iterable[str]) -> list[str]:
        """Run dead letters again, with fresh counts; gives the ids of those that do.

        One whose `unique_key` another unfinished task has stays a dead letter.
        """
        return await self._each(task_ids, commands.replay)

    async def discard(self, task_ids: Iterable[str]) -> list[str]:
        """Delete dead letters; gives the ids that were."""
        return await self._each(task_ids, commands.discard)

    async def _each(
        self, task_ids: Iterable[str], command: Callable[[str], commands.Call[Replayed]]
    ) -> list[str]:
        ids = list(task_ids)
        answers = await self._redis.run_all([command(task_id) for task_id in ids])
        return [t for t, answer in zip(ids, answers, strict=True) if answer is Replayed.OK]

    async def ring(self, queue: str) -> None:
        """Ring the doorbell of a queue, as its first task does.

        Raises:
            RedisAuthFailed: the user may not use its channel, nor listen to it.
        """
        await self._redis.run(commands.ring(queue))

    def doorbell(
        self,
        on_ring: Callable[[str], None],
        on_connected: Callable[[bool], None] = lambda _: None,
    ) -> Doorbell:
        """A push for each queue that gets tasks after it was empty."""
        return Doorbell(self._settings, on_ring, on_connected)


class Doorbell:
    """Rings when an empty queue gets tasks. A hint: rings are missed while it is not connected.

    Args:
        settings: where Redis is.
        on_ring: called with the queue's name.
        on_connected: called with True when all queues are listened to (again): look at them
            then; with False when the connection is lost.
    """

    def __init__(
        self,
        settings: RedisSettings,
        on_ring: Callable[[str], None],
        on_connected: Callable[[bool], None],
    ) -> None:
        self._subscriber = Subscriber(
            settings,
            client_name="identtqueue-doorbell",
            on_message=lambda channel, _: on_ring(keys.queue_of_doorbell(channel)),
            on_connected=on_connected,
        )

    def start(self) -> None:
        """Begin to listen."""
        self._subscriber.start()

    async def add(self, *queues: str) -> None:
        """Listen to these queues too; returns once that is certain."""
        if not queues:
            raise InvalidInput("name at least one queue")
        await self._subscriber.add(*(keys.queue_keys(queue).doorbell for queue in queues))

    async def remove(self, *queues: str) -> None:
        """Stop listening to these queues."""
        await self._subscriber.remove(*(keys.queue_keys(queue).doorbell for queue in queues))

    async def close(self) -> None:
        """Stop listening."""
        await self._subscriber.close()
