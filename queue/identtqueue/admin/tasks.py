"""Questions of `Admin` about tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from identtqueue.admin.base import AdminBase
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import SCAN_LIMIT, Page, Reading
from identtqueue.admin.listing import read_page as read_list
from identtqueue.admin.record import TaskRecord, read_record
from identtqueue.admin.tallies import COUNT_LIMIT, Count, DeadGroups, count, dead_groups
from identtqueue.errors import InvalidInput, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Scheduled
from identtqueue.protocol.calls import listing, one_task
from identtqueue.protocol.calls.listing import Place
from identtqueue.task import Task, TaskInfo


class TaskAdmin(AdminBase):
    """The methods of `Admin` that read tasks."""

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

        Redis looks at the entries of the list one by one, at most 200 in a call, so a page costs it
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

    async def count(
        self,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - the word of the users; it is frozen
        *,
        scan_limit: int = COUNT_LIMIT,
    ) -> Count:
        """Count the tasks in one state that match a filter, for a confirmation, say.

        Without a condition in the filter, Redis knows the number.

        Args:
            queue: name of the queue.
            place: which tasks.
            filter: conditions that they must meet.
            scan_limit: maximum number of entries to look at.

        Returns:
            The number. If its `exact` is False, there may be more.

        Raises:
            InvalidInput: an argument breaks a rule.
        """
        return await count(self._redis, Reading(queue, place, filter), scan_limit)

    async def dead_groups(self, queue: str, *, scan_limit: int = SCAN_LIMIT) -> DeadGroups:
        """Group the dead letters of a queue by job and type of error, the largest group first.

        Args:
            queue: name of the queue.
            scan_limit: how many of the newest dead letters to look at.

        Raises:
            InvalidInput: an argument breaks a rule.
        """
        return await dead_groups(self._redis, queue, scan_limit)

    async def record(self, task_id: str) -> TaskRecord:
        """Return a task whole: with its arguments, its result and all its attempts.

        What the job hides (`App(redact=…)`, secret types) is replaced by `•••`.

        Args:
            task_id: the task, in any state.

        Raises:
            TaskNotFound: it was never enqueued, or its result has expired.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        return await read_record(self._redis, task_id, self._redact)

    async def task(self, task_id: str) -> TaskInfo:
        """Return all that is known of a task.

        Args:
            task_id: the task, in any state.

        Raises:
            TaskNotFound: it was never enqueued, or its result has expired.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        info = await self._redis.run(one_task.task_info(task_id))
        if info is None:
            raise TaskNotFound(task_id)
        return info

    async def arguments(self, task_id: str) -> Task | None:
        """Return what a task was called with: its job, arguments and options, as plain values.

        Args:
            task_id: the task, in any state.

        Returns:
            None if the arguments are no longer kept, because the task has ended
            (`App(keep_arguments=False)`, or more than 16 KiB), or if the task is unknown.

        Raises:
            PayloadUndecodable: the stored bytes can't be read.
            InvalidTaskId: the id is not `<queue>:<unique part>`.
        """
        payload = await self._redis.run(one_task.task_payload(task_id))
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
        _check_page(offset, limit)
        ids = await self._redis.run(listing.dead_letters(queue, offset, limit))
        for info in await self._redis.run_all([one_task.task_info(task_id) for task_id in ids]):
            if info is not None:
                yield info

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
        _check_page(offset, limit)
        return await self._redis.run(listing.scheduled_tasks(queue, offset, limit))


def _check_page(offset: int, limit: int) -> None:
    """Check which part of a list is asked for.

    Raises:
        InvalidInput: `offset` or `limit` is too small.
    """
    if offset < 0 or limit < 1:
        raise InvalidInput(
            f"offset={offset}, limit={limit}: offset must be 0 or more, limit 1 or more"
        )
