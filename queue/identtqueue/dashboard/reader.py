"""The questions of all pages to Redis. Each is asked once for everybody who asks it at the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from identtqueue.admin import (
    Admin,
    CronInfo,
    JobInfo,
    LimitsInUse,
    Place,
    QueueDepth,
    Series,
    TaskRow,
    WorkerInfo,
)
from identtqueue.dashboard.history import Course, History

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
"""How long an answer is good: however many browsers load pages, Redis is asked once a second."""
QUEUES_FRESH_SECONDS: Final = 5.0
COURSE_FRESH_SECONDS: Final = 5.0
RELEASES_FRESH_SECONDS: Final = 20.0
MOST_RUNNING: Final = 500
"""Running tasks of one queue that the page of workers shows."""
MOST_ANSWERS: Final = 1_000


class Reader:
    """Answers of Redis, kept for a moment.

    Args:
        admin: asks Redis.
        queues: names of queues that are shown even if the registry does not have them.
    """

    def __init__(self, admin: Admin, queues: Sequence[str] = ()) -> None:
        self.admin = admin
        self._queues = tuple(queues)
        self._history = History(admin)
        self._answers: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def once(
        self,
        key: Hashable,
        ask: Callable[[], Awaitable[T]],
        *,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> T:
        """Return the answer to a question. If it was asked a moment ago, return that answer.

        Args:
            key: what tells the question from others.
            ask: asks it.
            fresh_seconds: how long the answer is good for.
        """
        now = time.monotonic()
        until, answer = self._answers.get(key, (0.0, None))
        if answer is None or (answer.done() and until < now):
            self._forget(now)
            answer = asyncio.ensure_future(ask())
            answer.add_done_callback(_look_at_error)
            self._answers[key] = (now + fresh_seconds, answer)
        # Shielded: the answer is for others too, if this page is no longer wanted.
        return cast("T", await asyncio.shield(answer))

    async def queues(self) -> dict[str, int | None]:
        """Return the names of all queues, and when each was last used (ms); None: unknown."""
        found = await self.once("queues", self.admin.queues, fresh_seconds=QUEUES_FRESH_SECONDS)
        named: dict[str, int | None] = dict.fromkeys(self._queues)
        return named | {queue.name: queue.last_activity_ms for queue in found}

    async def jobs(self, queue: str) -> list[JobInfo]:
        """Return the jobs of a queue."""
        key = ("jobs", queue)
        return await self.once(
            key, lambda: self.admin.jobs(queue), fresh_seconds=QUEUES_FRESH_SECONDS
        )

    async def course(self, queue: str, job: str | None = None, *, hours: int = 24) -> Course:
        """Return what happened to a queue, or to one of its jobs, in the last hours."""
        return await self.once(
            ("course", queue, job, hours),
            lambda: self._history.course(queue, job, hours=hours),
            fresh_seconds=COURSE_FRESH_SECONDS,
        )

    async def hour(self, queue: str) -> Series:
        """Return what happened to each job of a queue, minute by minute, in the last hour."""
        since_ms = round((time.time() - 3_600) * 1000)
        return await self.once(
            ("hour", queue),
            lambda: self.admin.series(queue, step="minute", since_ms=since_ms),
            fresh_seconds=COURSE_FRESH_SECONDS,
        )

    async def depths(self, queues: Sequence[str]) -> dict[str, QueueDepth]:
        """Return the depth of each queue."""
        names = tuple(queues)
        return await self.once(("depths", names), lambda: self.admin.depths(names))

    async def depth(self, queue: str) -> QueueDepth:
        """Return the depth of one queue."""
        return (await self.depths([queue]))[queue]

    async def workers(self, queue: str) -> list[WorkerInfo]:
        """Return the workers of a queue."""
        return await self.once(("workers", queue), lambda: self.admin.workers(queue))

    async def limits(self, queue: str) -> list[LimitsInUse]:
        """Return the limits of a queue's jobs."""
        return await self.once(("limits", queue), lambda: self.admin.limits(queue))

    async def crons(self, queue: str) -> list[CronInfo]:
        """Return the schedules of a queue."""
        return await self.once(("cron", queue), lambda: self.admin.cron(queue))

    async def running(self, queue: str) -> list[TaskRow]:
        """Return the tasks that run from a queue, up to a bound, the oldest first."""
        page = await self.once(
            ("running", queue),
            lambda: self.admin.tasks(queue, Place.RUNNING, newest_first=False, limit=MOST_RUNNING),
        )
        return page.rows

    async def releases(self, queues: Iterable[str]) -> list[tuple[int, str]]:
        """Return when workers of each release first registered on one of the queues, in order.

        Returns:
            The time (ms since 1970) and the name of each release.
        """
        lists = await asyncio.gather(*(self._releases(queue) for queue in queues))
        first: dict[str, int] = {}
        for found in lists:
            for name, at_ms in found.items():
                first[name] = min(at_ms, first.get(name, at_ms))
        return sorted((at_ms, name) for name, at_ms in first.items())

    async def _releases(self, queue: str) -> dict[str, int]:
        return await self.once(
            ("releases", queue),
            lambda: self.admin.releases(queue),
            fresh_seconds=RELEASES_FRESH_SECONDS,
        )

    def _forget(self, now: float) -> None:
        if len(self._answers) < MOST_ANSWERS:
            return
        self._answers = {
            key: (until, answer)
            for key, (until, answer) in self._answers.items()
            if until >= now or not answer.done()
        }


def _look_at_error(answer: asyncio.Future[Any]) -> None:
    """Look at the error of an answer that nobody waits for any more, so that it is not logged."""
    if not answer.cancelled():
        answer.exception()
