"""The loop that reports what a worker has counted to Redis, about once a second.

It sends differences. Redis adds them to the numbers of the minute and the hour, each report once
(`lua/count.lua`). A worker that is killed has not reported its last second.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from identtqueue.errors import RedisError
from identtqueue.protocol import counting
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import reporting
from identtqueue.transport.connection import AsyncRedis
from identtqueue.worker.counts import Counters, JobCounts

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 1.0
"""Average time between two reports of a worker that is at work."""

IDLE_SECONDS: Final = 60.0
"""Time between two reports of an idle worker. Each lets Redis add the enqueued tasks of past
minutes to their hours."""


class _Difference(msgspec.Struct, frozen=True):
    """The numbers of one job since the last report, and the totals that are reported with them."""

    counts: JobCounts
    packed: bytes
    numbers: list[int]
    errors: dict[str, int]

    def note(self) -> None:
        """Note that Redis has it."""
        self.counts.reported, self.counts.reported_errors = self.numbers, self.errors


class _Report(msgspec.Struct, frozen=True):
    """One call, and the differences that it reports, by job."""

    call: Call[Ack]
    changed: dict[str, _Difference]


class CountReports:
    """The reports of one worker incarnation.

    Args:
        redis: connection for its calls, shared with the fetcher.
        worker_id: id of this incarnation. Redis takes reports only from registered ones; what it
            refuses is reported by the next incarnation.
        queues: names of the worker's queues.
        counters: what the worker has counted.
    """

    def __init__(
        self, redis: AsyncRedis, worker_id: str, queues: Sequence[str], counters: Counters
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._queues = queues
        self._counters = counters
        self._number = 0
        self._lock = asyncio.Lock()
        self._under_way: dict[str, _Report] = {}  # by queue
        self._reported_at = dict.fromkeys(queues, float("-inf"))  # monotonic time by queue

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            # Jitter spreads out the reports of workers that have started together.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.75, 1.25))
            await self.report()

    async def report(self) -> None:
        """Report what has changed, with one call per queue. An error of Redis is no trouble.

        What Redis has not taken is reported the next time.
        """
        async with self._lock:
            self._prepare(time.monotonic())
            calls = [report.call for report in self._under_way.values()]
            answers = await self._redis.run_each(calls) if calls else []
            reports = list(self._under_way.items())
            self._under_way.clear()
            for (queue, report), answer in zip(reports, answers, strict=True):
                if isinstance(answer, RedisError):
                    logger.debug("%s: what was counted can't be reported: %s", queue, answer)
                elif isinstance(answer, Exception):
                    raise answer
                elif answer.recorded:
                    self._reported_at[queue] = time.monotonic()
                    for difference in report.changed.values():
                        difference.note()

    def _prepare(self, now: float) -> None:
        """Prepare a report for each queue that needs one, unless one was cut off on its way.

        That one is sent again as it was, so that Redis knows it if it has arrived.
        """
        for queue in self._queues:
            if queue in self._under_way:
                continue
            changed = self._changed(queue)
            if changed or now >= self._reported_at[queue] + IDLE_SECONDS:
                self._number += 1
                packed = {job: difference.packed for job, difference in changed.items()}
                call = reporting.count(queue, self._worker_id, self._number, packed)
                self._under_way[queue] = _Report(call, changed)

    def _changed(self, queue: str) -> dict[str, _Difference]:
        """Find the differences of a queue, by job."""
        return {
            job: self._difference(counts)
            for (of, job), counts in self._counters.by_job.items()
            if of == queue and counts.numbers != counts.reported
        }

    def _difference(self, counts: JobCounts) -> _Difference:
        numbers, errors = list(counts.numbers), dict(counts.errors)
        changes = [new - old for new, old in zip(numbers, counts.reported, strict=True)]
        known = counts.reported_errors
        kinds = {
            kind: number - known.get(kind, 0)
            for kind, number in errors.items()
            if number != known.get(kind, 0)
        }
        packed = counting.pack(self._counters.folded(changes), kinds)
        return _Difference(counts, packed, numbers, errors)
