"""The blocking administration client: for threads, scripts and frameworks without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from identtqueue.admin.acts import Act, ActProgress
from identtqueue.admin.blocking_base import BlockingBase
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import SCAN_LIMIT, Page
from identtqueue.admin.record import TaskRecord
from identtqueue.admin.series import Series, StepName
from identtqueue.admin.tallies import COUNT_LIMIT, Count, DeadGroups
from identtqueue.admin.workers import WorkerInfo
from identtqueue.protocol.answers import (
    AuditEntry,
    CronInfo,
    JobInfo,
    LimitsInUse,
    QueueDepth,
    QueueInfo,
    Recovery,
    Scheduled,
)
from identtqueue.protocol.calls.listing import Place
from identtqueue.protocol.counting import Counts
from identtqueue.task import Task, TaskInfo


class BlockingAdmin(BlockingBase):
    """A blocking administration client with the methods of `Admin`, for code without asyncio.

    Threads can share an instance: their calls share one connection, in a thread of its own.
    Processes that were forked after it was made can use it too; each opens its own connection.
    `Admin.doorbell` alone is missing here, since it calls back from an event loop.

    Args:
        redis, retry_for_seconds, actor, audited, redact: see `Admin`.

    Raises:
        InvalidInput: the address, the environment or a setting breaks a rule.
    """

    # --- queues and workers ---

    def depths(
        self, queues: Sequence[str], *, due_within_seconds: float = 0, promote: bool = True
    ) -> dict[str, QueueDepth]:
        """See `Admin.depths`."""
        return self._run(
            lambda admin: admin.depths(
                queues, due_within_seconds=due_within_seconds, promote=promote
            )
        )

    def queues(self) -> list[QueueInfo]:
        """See `Admin.queues`."""
        return self._run(lambda admin: admin.queues())

    def jobs(self, queue: str) -> list[JobInfo]:
        """See `Admin.jobs`."""
        return self._run(lambda admin: admin.jobs(queue))

    def series(
        self,
        queue: str,
        *,
        job: str | None = None,
        step: StepName = "minute",
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Series:
        """See `Admin.series`."""
        return self._run(
            lambda admin: admin.series(
                queue, job=job, step=step, since_ms=since_ms, until_ms=until_ms
            )
        )

    def last_minute(self, queue: str) -> Mapping[str, Counts]:
        """See `Admin.last_minute`."""
        return self._run(lambda admin: admin.last_minute(queue))

    def releases(self, queue: str) -> dict[str, int]:
        """See `Admin.releases`."""
        return self._run(lambda admin: admin.releases(queue))

    def limits(self, queue: str) -> list[LimitsInUse]:
        """See `Admin.limits`."""
        return self._run(lambda admin: admin.limits(queue))

    def workers(self, queue: str) -> list[WorkerInfo]:
        """See `Admin.workers`."""
        return self._run(lambda admin: admin.workers(queue))

    def recover(
        self, queue: str, worker_id: str, *, waive_lease: bool, max_deliveries: int
    ) -> Recovery:
        """See `Admin.recover`."""
        return self._run(
            lambda admin: admin.recover(
                queue, worker_id, waive_lease=waive_lease, max_deliveries=max_deliveries
            )
        )

    def recover_expired(self, queue: str, *, max_deliveries: int) -> Recovery:
        """See `Admin.recover_expired`."""
        return self._run(lambda admin: admin.recover_expired(queue, max_deliveries=max_deliveries))

    def drain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """See `Admin.drain`."""
        return self._run(lambda admin: admin.drain(queue, worker_ids))

    def undrain(self, queue: str, worker_ids: Sequence[str]) -> list[str]:
        """See `Admin.undrain`."""
        return self._run(lambda admin: admin.undrain(queue, worker_ids))

    def pause(self, queue: str) -> bool:
        """See `Admin.pause`."""
        return self._run(lambda admin: admin.pause(queue))

    def resume(self, queue: str) -> bool:
        """See `Admin.resume`."""
        return self._run(lambda admin: admin.resume(queue))

    def pause_job(self, queue: str, job: str) -> bool:
        """See `Admin.pause_job`."""
        return self._run(lambda admin: admin.pause_job(queue, job))

    def resume_job(self, queue: str, job: str) -> bool:
        """See `Admin.resume_job`."""
        return self._run(lambda admin: admin.resume_job(queue, job))

    def ring(self, queue: str) -> None:
        """See `Admin.ring`."""
        self._run(lambda admin: admin.ring(queue))

    def audit(self, queue: str, *, limit: int = 100) -> list[AuditEntry]:
        """See `Admin.audit`."""
        return self._run(lambda admin: admin.audit(queue, limit=limit))

    # --- schedules ---

    def cron(self, queue: str) -> list[CronInfo]:
        """See `Admin.cron`."""
        return self._run(lambda admin: admin.cron(queue))

    def run_cron_now(self, queue: str, name: str) -> str:
        """See `Admin.run_cron_now`."""
        return self._run(lambda admin: admin.run_cron_now(queue, name))

    def pause_cron(self, queue: str, name: str) -> bool:
        """See `Admin.pause_cron`."""
        return self._run(lambda admin: admin.pause_cron(queue, name))

    def resume_cron(self, queue: str, name: str) -> bool:
        """See `Admin.resume_cron`."""
        return self._run(lambda admin: admin.resume_cron(queue, name))

    # --- tasks ---

    def tasks(
        self,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - as in `Admin`
        *,
        newest_first: bool = True,
        limit: int = 50,
        cursor: str | None = None,
        scan_limit: int = SCAN_LIMIT,
    ) -> Page:
        """See `Admin.tasks`."""
        return self._run(
            lambda admin: admin.tasks(
                queue,
                place,
                filter,
                newest_first=newest_first,
                limit=limit,
                cursor=cursor,
                scan_limit=scan_limit,
            )
        )

    def count(
        self,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - the word of the users; it is frozen
        *,
        scan_limit: int = COUNT_LIMIT,
    ) -> Count:
        """See `Admin.count`."""
        return self._run(lambda admin: admin.count(queue, place, filter, scan_limit=scan_limit))

    def dead_groups(self, queue: str, *, scan_limit: int = SCAN_LIMIT) -> DeadGroups:
        """See `Admin.dead_groups`."""
        return self._run(lambda admin: admin.dead_groups(queue, scan_limit=scan_limit))

    def record(self, task_id: str) -> TaskRecord:
        """See `Admin.record`."""
        return self._run(lambda admin: admin.record(task_id))

    def task(self, task_id: str) -> TaskInfo:
        """See `Admin.task`."""
        return self._run(lambda admin: admin.task(task_id))

    def arguments(self, task_id: str) -> Task | None:
        """See `Admin.arguments`."""
        return self._run(lambda admin: admin.arguments(task_id))

    def dead_letters(self, queue: str, *, offset: int = 0, limit: int = 100) -> Iterator[TaskInfo]:
        """See `Admin.dead_letters`."""
        return self._iterate(lambda admin: admin.dead_letters(queue, offset=offset, limit=limit))

    def act(
        self,
        act: Act,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - as in `Admin`
        *,
        cursor: str | None = None,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> Iterator[ActProgress]:
        """See `Admin.act`."""
        return self._iterate(
            lambda admin: admin.act(
                act, queue, place, filter, cursor=cursor, at=at, to_queue=to_queue
            )
        )

    def act_on(
        self,
        act: Act,
        task_ids: Iterable[str],
        *,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> list[str]:
        """See `Admin.act_on`."""
        return self._run(lambda admin: admin.act_on(act, task_ids, at=at, to_queue=to_queue))

    def purge(self, queue: str, place: Place) -> Iterator[ActProgress]:
        """See `Admin.purge`."""
        return self._iterate(lambda admin: admin.purge(queue, place))

    def replay(self, task_ids: Iterable[str]) -> list[str]:
        """See `Admin.replay`."""
        return self._run(lambda admin: admin.replay(task_ids))

    def discard(self, task_ids: Iterable[str]) -> list[str]:
        """See `Admin.discard`."""
        return self._run(lambda admin: admin.discard(task_ids))

    def scheduled(self, queue: str, *, offset: int = 0, limit: int = 100) -> list[Scheduled]:
        """See `Admin.scheduled`."""
        return self._run(lambda admin: admin.scheduled(queue, offset=offset, limit=limit))

    def start_now(self, task_ids: Iterable[str]) -> list[str]:
        """See `Admin.start_now`."""
        return self._run(lambda admin: admin.start_now(task_ids))
