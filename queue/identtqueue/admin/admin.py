"""The administration client: one method for each thing that can be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from identtqueue.admin.dead_letters import change_each, check_page, read_page
from identtqueue.admin.doorbell import Doorbell
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import SCAN_LIMIT, Page, Reading
from identtqueue.admin.listing import read_page as read_list
from identtqueue.admin.workers import WorkerInfo, list_workers, recover, recover_expired
from identtqueue.checks import check_patience
from identtqueue.errors import TaskNotFound
from identtqueue.protocol import codec, commands, replies
from identtqueue.protocol.answers import LimitsInUse, QueueDepth, Recovery, Scheduled
from identtqueue.protocol.listing import Place
from identtqueue.task import Task, TaskInfo, check_queue_name
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.home import Home
from identtqueue.transport.lifecycle import AsyncConnected
from identtqueue.transport.server import own_name
from identtqueue.transport.settings import RedisSettings


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Product, version and uptime of the server that answers.

    Attributes:
        version: the product's own version: for Valkey its own, not the version of Redis that it
            is compatible with.
        uptime_seconds: time since the server was started.
        name: the product: "Redis", "Valkey" or any other name that the server reports.
        now_ms: its clock, in ms since 1970; None if the server does not say. In a cluster, that of
            one of the nodes.
    """

    version: str
    uptime_seconds: int
    name: str = "Redis"
    now_ms: int | None = None


class Admin(AsyncConnected):
    """An administration client for the queues of one Redis, shared by any number of coroutines.

    Args:
        redis: address or settings; see `Client`.
        retry_for_seconds: how long a call is retried while Redis can't be reached. With 0 it
            raises RedisUnavailable at once.

    Raises:
        InvalidInput: the address, the environment or `retry_for_seconds` breaks a rule.
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
        """Connect now, so that a wrong address or login fails early.

        Raises:
            RedisUnavailable, RedisAuthFailed, RedisTlsFailed, RedisTopologyMismatch, RedisTooOld:
                Redis cannot be reached or refuses the connection.
        """
        await self._redis.connect()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.close()

    async def server(self) -> ServerInfo:
        """Return the name, version, uptime and time of the server."""
        info = await self._redis.run(commands.server_info())
        name, version = own_name(info)
        return ServerInfo(version, replies.uptime_seconds(info), name, replies.server_time_ms(info))

    async def depths(
        self, queues: Sequence[str], *, due_within_seconds: float = 0
    ) -> dict[str, QueueDepth]:
        """Promote the tasks that are due, then count what is in the queues, in one round trip.

        Args:
            queues: names of the queues.
            due_within_seconds: how far ahead `QueueDepth.due_soon` looks for scheduled tasks.

        Returns:
            The depth of each queue, by queue name.

        Raises:
            InvalidQueueName: a name breaks the rule; nothing was sent.
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
        """Return the limits of the queue's jobs and how far they are used, sorted by job name.

        Args:
            queue: name of the queue.
        """
        return await self._redis.run(commands.limits(queue))

    async def workers(self, queue: str) -> list[WorkerInfo]:
        """List the workers that are registered on the queue, the oldest lease first.

        Args:
            queue: name of the queue.
        """
        return await list_workers(self._redis, queue)

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
        return await recover(
            self._redis, queue, worker_id, waive_lease=waive_lease, max_deliveries=max_deliveries
        )

    async def recover_expired(self, queue: str, *, max_deliveries: int) -> Recovery:
        """Take back the tasks of all workers whose lease has expired.

        Args:
            queue: name of the queue.
            max_deliveries: how many workers a task may lose before it becomes a dead letter.

        Returns:
            What became of the tasks of all these workers.
        """
        return await recover_expired(self._redis, queue, max_deliveries=max_deliveries)

    async def drain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Ask workers to stop fetching from the queue.

        Args:
            queue: name of the queue.
            worker_ids: the worker incarnations; those that are not registered are ignored.

        Returns:
            The workers that were not draining before.
        """
        return await self._redis.run(commands.drain(queue, worker_ids, stop=True))

    async def undrain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """Call draining workers back, so that they fetch from the queue again.

        Args:
            queue: name of the queue.
            worker_ids: the worker incarnations.

        Returns:
            The workers that were draining.
        """
        return await self._redis.run(commands.drain(queue, worker_ids, stop=False))

    async def pause(self, queue: str) -> bool:
        """Stop all claims from the queue. Running tasks go on.

        Args:
            queue: name of the queue.

        Returns:
            False if the queue was paused already.
        """
        return await self._redis.run(commands.pause(queue, stop=True))

    async def resume(self, queue: str) -> bool:
        """Allow claims from the queue again.

        Args:
            queue: name of the queue.

        Returns:
            False if the queue was not paused.
        """
        return await self._redis.run(commands.pause(queue, stop=False))

    async def tasks(
        self,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - the word of the users; it is frozen
        *,
        newest_first: bool = True,
        limit: int = 50,
        cursor: str | None = None,
        scan_limit: int = SCAN_LIMIT,
    ) -> Page:
        """Return one page of the tasks in one state, as far as they match a filter.

        Redis looks at the entries of the list one by one, at most 500 in a call, so a page costs it
        time in proportion to `Page.scanned`.

        The list may change between two pages. Then a later page may repeat a task, but it leaves
        none out that was there all the time. The exception: oldest first, while workers claim more
        than 100,000 tasks between two pages.

        Held and running tasks lie in several containers: by job, and by worker. A page reads one
        container after the other, and is sorted in itself.

        Args:
            queue: name of the queue.
            place: which tasks.
            filter: conditions that they must meet.
            newest_first: whether to begin with the last ones: the last enqueued, the last due, the
                last ended.
            limit: maximum number of tasks, 1 to 1,000.
            cursor: `Page.cursor` of the last page; None: the first page.
            scan_limit: maximum number of entries to look at for this page.

        Raises:
            InvalidInput: an argument breaks a rule, or the cursor is of another list.
        """
        return await read_list(
            self._redis,
            Reading(queue, place, filter, newest_first),
            limit=limit,
            cursor=cursor,
            scan_limit=scan_limit,
        )

    async def task(self, task_id: str) -> TaskInfo:
        """Return all that is known of a task.

        Args:
            task_id: the task, in any state.

        Raises:
            TaskNotFound: it was never enqueued, or its result has expired.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        info = await self._redis.run(commands.task_info(task_id))
        if info is None:
            raise TaskNotFound(task_id)
        return info

    async def arguments(self, task_id: str) -> Task | None:
        """Return what a task was called with: its job, arguments and options, as plain values.

        Args:
            task_id: the task, in any state.

        Returns:
            None if the arguments are no longer kept, because the task has succeeded or was
            cancelled, or if the task is unknown.

        Raises:
            PayloadUndecodable: the stored bytes can't be read.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        payload = await self._redis.run(commands.task_payload(task_id))
        return None if payload is None else codec.decode_task(payload)

    async def dead_letters(
        self, queue: str, *, offset: int = 0, limit: int = 100
    ) -> AsyncIterator[TaskInfo]:
        """Iterate over the dead letters of a queue, the newest first.

        Args:
            queue: name of the queue.
            offset: how many to skip, 0 or more.
            limit: how many to return at most, 1 or more.

        Raises:
            InvalidInput: `offset` or `limit` is too small, or the queue's name breaks the rule.
        """
        async with aclosing(read_page(self._redis, queue, offset, limit)) as page:
            async for info in page:
                yield info

    async def replay(self, task_ids: Iterable[str]) -> list[str]:
        """Put dead letters back into their queues, with their failures and losses reset to 0.

        A dead letter stays where it is if another unfinished task holds its `unique_key`.

        Args:
            task_ids: dead letters, of any queues.

        Returns:
            The ids of those that run again.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await change_each(self._redis, task_ids, commands.replay)

    async def discard(self, task_ids: Iterable[str]) -> list[str]:
        """Delete dead letters.

        Args:
            task_ids: dead letters, of any queues.

        Returns:
            The ids of those that were deleted.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await change_each(self._redis, task_ids, commands.discard)

    async def scheduled(self, queue: str, *, offset: int = 0, limit: int = 100) -> list[Scheduled]:
        """List the scheduled tasks of a queue: delayed ones, and those that wait for a retry.

        Args:
            queue: name of the queue.
            offset: how many to skip, 0 or more.
            limit: how many to return at most, 1 or more.

        Returns:
            The tasks and the times when they are due, the next one first.

        Raises:
            InvalidInput: `offset` or `limit` is too small, or the queue's name breaks the rule.
        """
        check_page(offset, limit)
        return await self._redis.run(commands.scheduled_tasks(queue, offset, limit))

    async def start_now(self, task_ids: Iterable[str]) -> list[str]:
        """Make scheduled tasks due now. They get behind the tasks that are pending already.

        Args:
            task_ids: scheduled tasks, of any queues.

        Returns:
            The ids of those that are due now. The others are not scheduled (any more).

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await change_each(self._redis, task_ids, commands.hasten)

    async def ring(self, queue: str) -> None:
        """Ring the doorbell of a queue, as an enqueue into an empty queue does.

        Args:
            queue: name of the queue.

        Raises:
            RedisAuthFailed: the ACL does not allow this user the doorbell's channel; then
                `doorbell` can't listen to it either.
        """
        await self._redis.run(commands.ring(queue))

    def doorbell(
        self,
        on_ring: Callable[[str], None],
        on_connected: Callable[[bool], None] = lambda _: None,
    ) -> Doorbell:
        """Create a doorbell, which reports each queue that gets tasks after it was empty.

        Args:
            on_ring: see `Doorbell`.
            on_connected: see `Doorbell`.
        """
        return Doorbell(self._settings, on_ring, on_connected)
