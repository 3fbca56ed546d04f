"""Questions of `Admin` about queues and their jobs, and changes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from identtqueue.admin.base import AdminBase
from identtqueue.admin.doorbell import Doorbell
from identtqueue.admin.registry import list_jobs, list_queues
from identtqueue.admin.series import Series, StepName, read_last_minute, read_series
from identtqueue.checks import check_count, check_function_name
from identtqueue.errors import InvalidInput
from identtqueue.protocol.answers import (
    AuditEntry,
    JobInfo,
    JobPaused,
    LimitsInUse,
    QueueDepth,
    QueueInfo,
)
from identtqueue.protocol.calls import acting, inspecting, registry, scheduling
from identtqueue.protocol.counting import Counts
from identtqueue.task import check_queue_name


class QueueAdmin(AdminBase):
    """The methods of `Admin` about queues and their jobs."""

    async def queues(self) -> list[QueueInfo]:
        """List the queues that were in use within 30 days, sorted by name.

        Clients and workers note a queue in a registry when they use it, once a minute at most. It
        holds the 10,000 queues that were used last.
        """
        return await list_queues(self._redis)

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

    async def limits(self, queue: str) -> list[LimitsInUse]:
        """Return the limits of the queue's jobs and how far they are used, sorted by job name.

        Args:
            queue: name of the queue.
        """
        return await self._redis.run(inspecting.limits(queue))

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
