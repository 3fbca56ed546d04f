"""Reads what the screen shows. Nothing is written, and the number of calls is bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from identtqueue.admin import Admin, Counts, Place, QueueDepth, Series, TaskRow, WorkerInfo
from identtqueue.cli.top.rates import Rates
from identtqueue.cli.top.snapshot import JobLine, QueueLine, TopSnapshot, WorkerLine
from identtqueue.protocol.calls import checkup, inspecting, server_facts
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.server import own_name

MOST_QUEUES: Final = 500
"""How many queues are read. The others are counted."""

MOST_CLOSELY: Final = 50
"""Of how many queues workers, running tasks and times are read: those with most to do."""

MOST_TASKS: Final = 200
"""How many running tasks of a queue are read."""

LATELY_MS: Final = 5 * 60_000
"""Times to wait and to run are those of the last minutes."""

SELDOM_SECONDS: Final = 10.0
"""How often times and the server's memory are read, if screens are drawn more often."""


class TopReader:
    """Reads one snapshot after the other.

    Args:
        admin: for what it has.
        redis: for the rest.
        names: the queues to read; empty: all that are known.
    """

    def __init__(self, admin: Admin, redis: AsyncRedis, names: Sequence[str] = ()) -> None:
        self._admin, self._redis, self._names = admin, redis, names
        self._rates = Rates()
        self._series: dict[str, tuple[float, Series]] = {}
        self._server, self._used_bytes, self._server_at = "", 0, float("-inf")

    async def read(self, opened: str | None = None) -> TopSnapshot:
        """Read a snapshot.

        Args:
            opened: the queue that is open, whose jobs are read as well.

        Raises:
            RedisError: Redis cannot be reached or refuses a call.
        """
        names = self._names or [queue.name for queue in await self._admin.queues()]
        shown = names[:MOST_QUEUES]
        now_ms = round(await self._redis.run(server_facts.server_time()) * 1000)
        await self._read_server()
        depths = await self._redis.run_all([inspecting.depth(name) for name in shown])
        lines = [self._line(name, depth, now_ms) for name, depth in zip(shown, depths, strict=True)]
        self._rates.forget_all_but(set(shown))
        busiest = sorted(lines, key=_business, reverse=True)[:MOST_CLOSELY]
        closely = {line.name for line in busiest} | ({opened} & set(shown) if opened else set())
        await asyncio.gather(*(self._read_series(name, now_ms) for name in closely))
        return TopSnapshot(
            now_ms=now_ms,
            server=self._server,
            used_bytes=self._used_bytes,
            queues=[self._with_times(line) for line in lines],
            left_out=len(names) - len(shown),
            workers=await self._workers([line for line in lines if line.name in closely]),
            jobs={opened: await self._jobs(opened, now_ms)} if opened in closely and opened else {},
        )

    async def _read_server(self) -> None:
        if time.monotonic() < self._server_at + SELDOM_SECONDS:
            return
        infos = await self._redis.run(checkup.about())
        self._server = " ".join(own_name(infos[0]))
        self._used_bytes = sum(int(info.get("used_memory") or 0) for info in infos)
        self._server_at = time.monotonic()

    def _line(self, name: str, depth: QueueDepth, now_ms: int) -> QueueLine:
        self._rates.note(name, now_ms, depth.counters)
        enqueued, succeeded, failed = (
            self._rates.per_minute(name, counter) for counter in ("enqueued", "succeeded", "failed")
        )
        return QueueLine(name, depth, enqueued, succeeded, failed)

    async def _read_series(self, queue: str, now_ms: int) -> None:
        read_at, _ = self._series.get(queue, (float("-inf"), None))
        if time.monotonic() >= read_at + SELDOM_SECONDS:
            series = await self._admin.series(queue, step="minute", since_ms=now_ms - LATELY_MS)
            self._series[queue] = (time.monotonic(), series)

    def _with_times(self, line: QueueLine) -> QueueLine:
        """Add the times of a queue, and its rates of the last minutes as long as none are known."""
        if line.name not in self._series:
            return line
        series = self._series[line.name][1]
        total = series.total
        line = replace(line, lately=total)
        if line.enqueued is not None or not series.points:
            return line
        minutes = len(series.points)
        return replace(
            line,
            enqueued=total.enqueued / minutes,
            succeeded=total.succeeded / minutes,
            failed=total.failed / minutes,
        )

    async def _workers(self, lines: Sequence[QueueLine]) -> list[WorkerLine]:
        queues = [line.name for line in lines if line.depth.workers]
        found = await asyncio.gather(*(self._admin.workers(queue) for queue in queues))
        running = await asyncio.gather(
            *(self._running(line.name) for line in lines if line.depth.in_flight)
        )
        tasks: dict[str, list[TaskRow]] = {}
        for row in sorted(
            (row for rows in running for row in rows), key=lambda row: row.started_at_ms or 0
        ):
            tasks.setdefault(row.worker or "", []).append(row)
        entries: dict[str, list[tuple[str, WorkerInfo]]] = {}
        for queue, infos in zip(queues, found, strict=True):
            for info in infos:
                entries.setdefault(info.worker_id, []).append((queue, info))
        workers = [
            WorkerLine(
                info=of_queue[0][1],
                queues=tuple(queue for queue, _ in of_queue),
                draining=sum(info.draining for _, info in of_queue),
                running=sum(info.in_flight for _, info in of_queue),
                tasks=tasks.get(worker_id, ()),
            )
            for worker_id, of_queue in entries.items()
        ]
        return sorted(workers, key=lambda w: (w.info.pod_name or w.info.host, w.info.worker_id))

    async def _running(self, queue: str) -> Sequence[TaskRow]:
        page = await self._admin.tasks(queue, Place.RUNNING, newest_first=False, limit=MOST_TASKS)
        return page.rows

    async def _jobs(self, queue: str, now_ms: int) -> list[JobLine]:
        infos = {job.name: job for job in await self._admin.jobs(queue)}
        limits = {each.job: each for each in await self._admin.limits(queue)}
        series = self._series[queue][1]
        counts = series.by_job
        since_ms = series.points[0].at_ms if series.points else now_ms
        return [
            JobLine(
                name=name,
                minutes=max(1.0, (now_ms - since_ms) / 60_000),
                lately=counts.get(name, Counts()),
                limits=limits.get(name),
                info=infos.get(name),
            )
            for name in sorted(infos.keys() | limits.keys() | counts.keys())
        ]


def _business(line: QueueLine) -> tuple[int, int]:
    return line.depth.in_flight + line.depth.queued, line.depth.workers
