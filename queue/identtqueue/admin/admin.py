"""The administration client: one method for each thing that can be done."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from identtqueue.admin import cron
from identtqueue.admin.acts import (
    Act,
    ActProgress,
    Order,
    act_on,
    act_on_all,
    by_queue,
    check_place,
    describe,
)
from identtqueue.admin.audit import check_actor, default_actor
from identtqueue.admin.dead_letters import check_page, read_page
from identtqueue.admin.doorbell import Doorbell
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import SCAN_LIMIT, Page, Reading
from identtqueue.admin.listing import read_page as read_list
from identtqueue.admin.record import TaskRecord, read_record
from identtqueue.admin.registry import list_jobs, list_queues
from identtqueue.admin.series import Series, StepName, read_last_minute, read_series
from identtqueue.admin.tallies import COUNT_LIMIT, Count, DeadGroups, count, dead_groups
from identtqueue.admin.workers import WorkerInfo, list_workers, recover, recover_expired
from identtqueue.checks import check_count, check_function_name, check_patience
from identtqueue.errors import InvalidInput, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import (
    AuditEntry,
    CronInfo,
    JobInfo,
    JobPaused,
    LimitsInUse,
    QueueDepth,
    QueueInfo,
    Recovery,
    Scheduled,
)
from identtqueue.protocol.calls import (
    acting,
    inspecting,
    listing,
    one_task,
    registry,
    scheduling,
    server_facts,
)
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.counting import Counts
from identtqueue.redaction import Redact, check_redact
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
        actor: who acts, for the audit list (`audit`). Default: `user@host` of this process.
        audited: whether acts are recorded in the audit list. The operator records its own as
            events instead.
        redact: names of arguments and fields that `record` does not show, besides those that the
            workers have declared; or the function that the application has given as `redact`.

    Raises:
        InvalidInput: the address, the environment or a setting breaks a rule.
    """

    def __init__(
        self,
        redis: str | RedisSettings | None = None,
        *,
        retry_for_seconds: float = 0,
        actor: str | None = None,
        audited: bool = True,
        redact: Redact | None = None,
    ) -> None:
        self._redact = check_redact(redact)
        check_patience("retry_for_seconds", retry_for_seconds)
        self._actor = None if actor is None else check_actor(actor)
        self._audited = audited
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

    @property
    def actor(self) -> str:
        """Name of the one who acts, as the audit list shows it."""
        if self._actor is None:
            self._actor = default_actor()
        return self._actor

    def acting_as(self, actor: str, *, audited: bool | None = None) -> Self:
        """Return an Admin on the same connection that acts in another name.

        A service whose users act, such as a dashboard, needs one connection and a name for each
        request.

        Args:
            actor: who acts, for the audit list.
            audited: whether these acts are recorded in it; None: as those of this Admin.

        Raises:
            InvalidInput: the name is empty, too long, or not on one line.
        """
        other = copy.copy(self)
        recorded = self._audited if audited is None else audited
        vars(other).update(_actor=check_actor(actor), _audited=recorded)
        return other

    def _note(self, act: str, what: str = "") -> bytes:
        """Make a note for the audit list; empty if acts are not recorded."""
        return acting.new_note(self.actor, act, what) if self._audited else b""

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
        info = await self._redis.run(server_facts.server_info())
        name, version = own_name(info)
        return ServerInfo(
            version, server_facts.uptime_seconds(info), name, server_facts.server_time_ms(info)
        )

    async def depths(
        self, queues: Sequence[str], *, due_within_seconds: float = 0, promote: bool = True
    ) -> dict[str, QueueDepth]:
        """Promote the tasks that are due, then count what is in the queues, in one round trip.

        Args:
            queues: names of the queues.
            due_within_seconds: how far ahead `QueueDepth.due_soon` looks for scheduled tasks.
            promote: False to change nothing: tasks that are due, but that no worker has promoted
                yet, count as scheduled.

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
            self._redis.run_all([scheduling.promote(queue) for queue in queues if promote]),
            self._redis.run_all([inspecting.depth(queue, within_ms) for queue in queues]),
        )
        return dict(zip(queues, found, strict=True))

    async def queues(self) -> list[QueueInfo]:
        """List the queues that were in use within 30 days, sorted by name.

        Clients and workers note a queue in a registry when they use it, once a minute at most. It
        holds the 10,000 queues that were used last.
        """
        return await list_queues(self._redis)

    async def jobs(self, queue: str) -> list[JobInfo]:
        """List the jobs of a queue, sorted by name.

        They are the jobs that workers have declared when they registered, and those that were
        enqueued, within 30 days.

        Args:
            queue: name of the queue.

        Raises:
            InvalidQueueName: the name breaks the rule.
        """
        return await list_jobs(self._redis, queue)

    async def series(
        self,
        queue: str,
        *,
        job: str | None = None,
        step: StepName = "minute",
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Series:
        """Read what happened on a queue in each minute of a day, or in each hour of 14 days.

        Workers report what they have counted about once a second, so the newest second is missing,
        and also the last one of a worker that was killed. What was counted during an outage of
        Redis is in the minute after it. The exact sums are in `QueueDepth.counters`.

        A step takes one small command in Redis, so read the steps that you show.

        Args:
            queue: name of the queue.
            job: leave out all other jobs; None: all jobs. Of the jobs of one step, about 1,000 are
                told apart. Further ones are counted together as the job "(other)".
            step: `minute` or `hour`.
            since_ms: leave out earlier steps, in ms since 1970; None: as far back as Redis keeps
                them.
            until_ms: leave out later steps; None: up to now.

        Returns:
            All steps from the first to the last one, also those in which nothing happened.

        Raises:
            InvalidInput: `step` is something else, or the queue's name breaks the rule.
        """
        return await read_series(self._redis, queue, job, step, since_ms, until_ms)

    async def last_minute(self, queue: str) -> Mapping[str, Counts]:
        """Return what happened on a queue in the last complete minute, by job.

        Args:
            queue: name of the queue.

        Raises:
            InvalidQueueName: the name breaks the rule.
        """
        return await read_last_minute(self._redis, queue)

    async def releases(self, queue: str) -> dict[str, int]:
        """List the last 20 releases of applications whose workers have registered on the queue.

        A worker tells its release by `IDENTTQUEUE_RELEASE`; in a pod of a Deployment, the template
        of the pod is one.

        Args:
            queue: name of the queue.

        Returns:
            When a worker of each release first registered, in ms since 1970, in order. It is
            forgotten if no worker registers for 30 days.
        """
        return await self._redis.run(registry.releases(queue))

    async def limits(self, queue: str) -> list[LimitsInUse]:
        """Return the limits of the queue's jobs and how far they are used, sorted by job name.

        Args:
            queue: name of the queue.
        """
        return await self._redis.run(inspecting.limits(queue))

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

    async def pause(self, queue: str) -> bool:
        """Stop all claims from the queue. Running tasks go on.

        Args:
            queue: name of the queue.

        Returns:
            False if the queue was paused already.
        """
        return await self._redis.run(acting.pause(queue, stop=True, note=self._note("pause")))

    async def resume(self, queue: str) -> bool:
        """Allow claims from the queue again.

        Args:
            queue: name of the queue.

        Returns:
            False if the queue was not paused.
        """
        return await self._redis.run(acting.pause(queue, stop=False, note=self._note("resume")))

    async def pause_job(self, queue: str, job: str) -> bool:
        """Stop all claims of one job's tasks in the queue. Running tasks go on.

        The tasks are held as those of a job at a limit: they stay pending, those of other jobs
        pass them, and they count as `QueueDepth.held`, so the operator asks for no worker for them.
        `limits` shows which jobs are paused.

        Args:
            queue: name of the queue.
            job: name of the job. It need not have been enqueued or declared yet.

        Returns:
            False if the job was paused already.

        Raises:
            InvalidInput: a name breaks the rule, or 1,000 jobs of the queue are paused already.
        """
        return await self._set_job_paused(queue, job, stop=True)

    async def resume_job(self, queue: str, job: str) -> bool:
        """Allow claims of a job's tasks again. The tasks that were held come first.

        Args:
            queue: name of the queue.
            job: name of the job.

        Returns:
            False if the job was not paused.
        """
        return await self._set_job_paused(queue, job, stop=False)

    async def _set_job_paused(self, queue: str, job: str, *, stop: bool) -> bool:
        note = self._note("pause_job" if stop else "resume_job", check_function_name(job))
        answer = await self._redis.run(acting.pause_job(queue, job, stop=stop, note=note))
        if answer is JobPaused.TOO_MANY:
            raise InvalidInput(
                f"{acting.MOST_PAUSED_JOBS:,} jobs of queue {queue} are paused already: resume "
                "some, or pause the queue"
            )
        return answer is JobPaused.OK

    async def cron(self, queue: str) -> list[CronInfo]:
        """List the schedules that workers have declared in the queue, by name.

        A schedule is forgotten when no worker has declared it for 30 days.

        Args:
            queue: name of the queue.
        """
        return await self._redis.run(scheduling.schedules(queue))

    async def run_cron_now(self, queue: str, name: str) -> str:
        """Enqueue a task of a schedule at once, beside its firings, also if it is paused.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            The id of the task. If another task holds the schedule's `unique_key`, nothing is
            enqueued, and it is the id of that task.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        return await cron.run_now(self._redis, queue, name, self._note("run_cron", name))

    async def pause_cron(self, queue: str, name: str) -> bool:
        """Withdraw the firings of a schedule that lie ahead, and let none be planned.

        This lasts until `resume_cron`, also through restarts and new releases of the workers. A
        firing that is pending or runs already goes on.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            False if the schedule was paused already.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        note = self._note("pause_cron", name)
        return await cron.set_paused(self._redis, queue, name, note, stop=True)

    async def resume_cron(self, queue: str, name: str) -> bool:
        """Let a schedule fire again, from its next time on. What was missed is not made up for.

        Args:
            queue: name of the queue.
            name: name of the schedule.

        Returns:
            False if the schedule was not paused.

        Raises:
            InvalidInput: the queue has no such schedule.
        """
        note = self._note("resume_cron", name)
        return await cron.set_paused(self._redis, queue, name, note, stop=False)

    async def audit(self, queue: str, *, limit: int = 100) -> list[AuditEntry]:
        """List what administrators did to the queue, the newest first.

        The last 1,000 acts are kept. An act that takes several calls has one entry, whose numbers
        grow until it ends.

        Args:
            queue: name of the queue.
            limit: how many to return at most, 1 or more.

        Raises:
            InvalidInput: `limit` is too small, or the queue's name breaks the rule.
        """
        check_count("limit", limit)
        return await self._redis.run(acting.audit(queue, limit))

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
        async with aclosing(read_page(self._redis, queue, offset, limit)) as page:
            async for info in page:
                yield info

    async def act(
        self,
        act: Act,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - the word of the users; it is frozen
        *,
        cursor: str | None = None,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> AsyncIterator[ActProgress]:
        """Act on all tasks of a place that match a filter, step by step.

        ::

            failed = Filter(job="read_mrz", error="httpx.ReadTimeout")
            async for step in admin.act(Act.REPLAY, "mrz", Place.DEAD, failed):
                print(f"{step.changed} of {step.matched} replayed, {step.scanned}/{step.total}")

        Each step looks at up to 500 entries and changes up to 100 tasks, so nobody waits long for
        Redis. The act stops when the iteration is broken off. It may be begun again, from the
        last `ActProgress.cursor` or from the start: no task is changed twice. Tasks that join the
        place meanwhile are left alone. The audit list has one entry of the act, whose numbers grow
        with each step.

        Args:
            act: what to do.
            queue: name of the queue.
            place: which tasks; not every act is for every place.
            filter: conditions that they must meet; without any, all of the place.
            cursor: where to go on; None: at the beginning.
            at: for RESCHEDULE: when the tasks are due, as an aware datetime. A task that has
                `expires_seconds` still expires at its time.
            to_queue: for MOVE: the queue to put the tasks into. They keep the unique part of their
                id, their arguments, options and tags, and begin there with their first attempt.
                Clients that wait for a task that has not ended get TaskCancelled.

        Raises:
            InvalidInput: an argument breaks a rule, the act is not for this place, or the cursor is
                of another list.
        """
        order = Order(act, at, to_queue)
        check_place(act, place)
        order.check_source(queue)
        # Tasks that are changed must lie behind the cursor afterwards.
        reading = Reading(queue, place, filter, newest_first=act is not Act.START_NOW)
        note = self._note(act, describe(order, reading))
        async with aclosing(act_on_all(self._redis, order, reading, note, cursor)) as steps:
            async for step in steps:
                yield step

    async def act_on(
        self,
        act: Act,
        task_ids: Iterable[str],
        *,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> list[str]:
        """Act on tasks by their ids, of any queues, up to 100 of a queue in one call.

        Args:
            act: what to do.
            task_ids: the tasks.
            at: see `act`.
            to_queue: see `act`.

        Returns:
            The ids of those that were changed. A running task that is cancelled counts when its
            worker is asked for the first time.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
            InvalidInput: another argument breaks a rule.
        """
        order, ids = Order(act, at, to_queue), by_queue(task_ids)
        notes = {
            queue: self._note(act, order.words(queue) + " ".join(some))
            for queue, some in ids.items()
        }
        return await act_on(self._redis, order, ids, notes)

    async def purge(self, queue: str, place: Place) -> AsyncIterator[ActProgress]:
        """Empty a place: delete dead letters, or cancel tasks, step by step as `act` does.

        Clients that wait for a task that is cancelled get TaskCancelled at once. Workers are asked
        to cancel running tasks.

        Args:
            queue: name of the queue.
            place: which tasks; not ENDED, whose results expire by themselves.

        Raises:
            InvalidInput: the queue's name breaks the rule, or the place is ENDED.
        """
        act = Act.DISCARD if place is Place.DEAD else Act.CANCEL
        check_place(act, place)
        order, reading = Order(act), Reading(queue, place, Filter())
        note = self._note("purge", describe(order, reading))
        async with aclosing(act_on_all(self._redis, order, reading, note, None)) as steps:
            async for step in steps:
                yield step

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
        return await self.act_on(Act.REPLAY, task_ids)

    async def discard(self, task_ids: Iterable[str]) -> list[str]:
        """Delete dead letters.

        Args:
            task_ids: dead letters, of any queues.

        Returns:
            The ids of those that were deleted.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await self.act_on(Act.DISCARD, task_ids)

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
        return await self._redis.run(listing.scheduled_tasks(queue, offset, limit))

    async def start_now(self, task_ids: Iterable[str]) -> list[str]:
        """Make scheduled tasks due now. They get behind the tasks that are pending already.

        Args:
            task_ids: scheduled tasks, of any queues.

        Returns:
            The ids of those that are due now. The others are not scheduled (any more).

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await self.act_on(Act.START_NOW, task_ids)

    async def ring(self, queue: str) -> None:
        """Ring the doorbell of a queue, as an enqueue into an empty queue does.

        Args:
            queue: name of the queue.

        Raises:
            RedisAuthFailed: the ACL does not allow this user the doorbell's channel; then
                `doorbell` can't listen to it either.
        """
        await self._redis.run(scheduling.ring(queue))

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
