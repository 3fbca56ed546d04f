"""Outcome -> command: gathered per turn of the loop, sent in one batch, repeated until answered.

Big results are sent beside the small ones: over a slow link a task that has ended is not held up by
another's megabyte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import RedisError
from identtqueue.protocol import codec, commands
from identtqueue.protocol.commands import Ack, Call
from identtqueue.task import Attempt, Failure
from identtqueue.transport import wire
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker.obstacles import Obstacles

MOST_UNRECORDED_BYTES: Final = 32 * 1024 * 1024
"""With more than this waiting for Redis no more tasks are taken, until half of it is recorded. The
slots of these attempts are free already, so nothing else bounds what waits."""

REPORT_BYTES: Final = 1024
"""What a report takes besides its result and its payload, roughly."""

OBSTACLE: Final = "results"
QUIET_SECONDS: Final = 5.0
"""A link that is behind for a moment is not worth a word."""


class Report(msgspec.Struct, frozen=True):
    """What is to be recorded of an attempt: a result, or a failure, or that it goes back.

    Exactly one of the fields besides `attempt` is set; `retry_seconds`, or `declined_as` (a
    signature), only beside `failure`.
    """

    attempt: Attempt
    data: bytes | None = None
    failure: Failure | None = None
    retry_seconds: float | None = None
    aborted: bool = False
    released: bool = False
    declined_as: str | None = None


class _Batch(msgspec.Struct, frozen=True):
    """One call, what it reports, and how much memory is free again when it is answered."""

    call: Call[list[Ack]]
    reports: Sequence[Report]
    size_bytes: int
    is_big: bool = False


class Finisher:
    """The finish loop of one worker incarnation.

    Args:
        redis: shared with the fetcher.
        worker_id: of this incarnation.
        on_ack: told what became of each report.
        outage: tells the log.
        obstacles: gets one while too much is not recorded yet.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        *,
        on_ack: Callable[[Report, Ack], None],
        outage: Outage,
        obstacles: Obstacles,
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._on_ack = on_ack
        self._outage = outage
        self._obstacles = obstacles
        self._unrecorded_bytes = 0
        self._reports: list[Report] = []  # not sent yet
        self._under_way: dict[int, _Batch] = {}  # by `id`: sent, not answered yet
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, report: Report) -> None:
        """Record it soon."""
        if not self._reports:
            self._some.set()
            self._idle.clear()
        self._reports.append(report)
        self._unrecorded_bytes += _size(report)
        if self._unrecorded_bytes > MOST_UNRECORDED_BYTES:
            self._hold()

    def abandon(self) -> None:
        """Be no obstacle any more: this incarnation has ended, whatever it could not record."""
        self._obstacles.remove(OBSTACLE)

    def _hold(self) -> None:
        mib = self._unrecorded_bytes / 1024 / 1024
        text = f"{mib:.0f} MiB of results are not recorded yet: Redis takes them too slowly"
        self._obstacles.put(OBSTACLE, text, quiet_for_seconds=QUIET_SECONDS)

    async def flushed(self) -> None:
        """Return when everything put so far is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record, until cancelled. What is not recorded by then is sent if it is run again."""
        try:
            async with asyncio.TaskGroup() as big:
                while True:
                    await self._some.wait()
                    self._some.clear()
                    reports, self._reports = self._reports, []
                    small: list[_Batch] = []
                    for batch in self._batches(reports):
                        self._under_way[id(batch)] = batch
                        if batch.is_big:
                            big.create_task(self._record([batch]))
                        else:
                            small.append(batch)
                    await self._record(small)
        except asyncio.CancelledError:
            waiting, self._reports = self._reports, []
            for batch in self._under_way.values():
                self._reports.extend(batch.reports)
            self._reports.extend(waiting)
            self._under_way.clear()
            if self._reports:
                self._some.set()
            raise

    async def _record(self, batches: list[_Batch]) -> None:
        """Repeat until Redis answers: a report may be sent twice, it counts once."""
        failures = 0
        while batches:
            try:
                answers = await self._redis.run_each([batch.call for batch in batches])
            except RedisError as error:  # the connection was closed
                answers = [error] * len(batches)
            failed: list[_Batch] = []
            for batch, answer in zip(batches, answers, strict=True):
                if isinstance(answer, RedisError):
                    failed.append(batch)
                    self._outage.failed("results", answer)
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    self._acknowledge(batch, answer)
            batches = failed
            if failed:
                failures += 1
                await asyncio.sleep(wire.backoff_seconds(failures))
            else:
                self._outage.worked("results")

    def _acknowledge(self, batch: _Batch, acks: Sequence[Ack]) -> None:
        del self._under_way[id(batch)]
        self._unrecorded_bytes -= batch.size_bytes
        for report, ack in zip(batch.reports, acks, strict=True):
            self._on_ack(report, ack)
        if self._unrecorded_bytes <= MOST_UNRECORDED_BYTES // 2:
            self._obstacles.remove(OBSTACLE)
        if not self._under_way and not self._reports:
            self._idle.set()

    def _batches(self, reports: Sequence[Report]) -> list[_Batch]:
        """Calls for the reports. Results that are big share no call with small ones."""
        results: dict[tuple[str, bool], list[Report]] = {}
        released: dict[str, list[Report]] = {}
        batches: list[_Batch] = []
        for report in reports:
            queue = report.attempt.queue
            if report.data is not None:
                is_big = len(report.data) > wire.SMALL_BYTES
                results.setdefault((queue, is_big), []).append(report)
            elif report.released:
                released.setdefault(queue, []).append(report)
            else:
                batches.append(_Batch(self._single(report), (report,), _size(report)))
        for (queue, is_big), group in results.items():
            for part, size in _parts(group, wire.BATCH_BYTES if is_big else wire.SMALL_BYTES):
                done = [(r.attempt.task_id, r.attempt.number, r.data or b"") for r in part]
                call = commands.finish(queue, self._worker_id, done)
                batches.append(_Batch(call, part, size, is_big))
        for queue, group in released.items():
            pairs = [(r.attempt.task_id, r.attempt.number) for r in group]
            call = commands.release(queue, self._worker_id, pairs)
            batches.append(_Batch(call, group, sum(map(_size, group))))
        return batches

    def _single(self, report: Report) -> Call[list[Ack]]:
        attempt = report.attempt
        where = (attempt.queue, self._worker_id, attempt.task_id, attempt.number)
        if report.aborted:
            return _as_list(commands.abort(*where))
        assert report.failure is not None
        if report.declined_as is not None:
            return _as_list(commands.decline(*where, report.declined_as, report.failure))
        failure = codec.encode_failure(report.failure)
        if report.retry_seconds is None:
            return _as_list(commands.bury(*where, failure))
        return _as_list(commands.retry(*where, round(report.retry_seconds * 1000), failure))


BATCH_REPORTS: Final = 128
"""Results in one call at most: Redis does nothing else meanwhile."""


def _size(report: Report) -> int:
    """How much memory is free again when the report is recorded, roughly."""
    return len(report.data or b"") + len(report.attempt.payload) + REPORT_BYTES


def _parts(reports: list[Report], most_bytes: int) -> Iterator[tuple[list[Report], int]]:
    """Results that go into one call, and their `_size`: at most so many bytes, or one result."""
    part: list[Report] = []
    size = sent = 0
    for report in reports:
        more = len(report.data or b"")
        if part and (sent + more > most_bytes or len(part) == BATCH_REPORTS):
            yield part, size
            part, size, sent = [], 0, 0
        part.append(report)
        sent += more
        size += more + len(report.attempt.payload) + REPORT_BYTES
    if part:
        yield part, size


def _as_list(call: Call[Ack]) -> Call[list[Ack]]:
    def parse(reply: Any) -> list[Ack]:
        return [call.parse(reply)]

    return Call(call.name, call.keys, call.args, parse)
