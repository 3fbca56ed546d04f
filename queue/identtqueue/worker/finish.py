"""Outcome -> command: gathered per turn of the loop, sent in one batch, repeated until answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from identtqueue.errors import RedisError
from identtqueue.protocol import codec, commands
from identtqueue.protocol.commands import Ack, Call
from identtqueue.task import Attempt, Failure
from identtqueue.transport import wire
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.outage import Outage


class Report(msgspec.Struct, frozen=True):
    """What is to be recorded of an attempt: a result, or a failure, or that it goes back.

    Exactly one of the fields besides `attempt` is set; `retry_seconds` only beside `failure`.
    """

    attempt: Attempt
    data: bytes | None = None
    failure: Failure | None = None
    retry_seconds: float | None = None
    aborted: bool = False
    released: bool = False


class Finisher:
    """The finish loop of one worker incarnation.

    Args:
        redis: shared with the fetcher.
        worker_id: of this incarnation.
        on_ack: told what became of each report.
        outage: tells the log.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        *,
        on_ack: Callable[[Report, Ack], None],
        outage: Outage,
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._on_ack = on_ack
        self._outage = outage
        self._reports: list[Report] = []
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, report: Report) -> None:
        """Record it soon."""
        self._reports.append(report)
        self._some.set()
        self._idle.clear()

    async def flushed(self) -> None:
        """Return when everything put so far is recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            reports, self._reports = self._reports, []
            try:
                await self._record(reports)
            except asyncio.CancelledError:  # it may be run again, at the end of the event loop
                self._reports[:0] = reports
                self._some.set()
                raise
            if not self._reports:
                self._idle.set()

    async def _record(self, reports: list[Report]) -> None:
        """Repeat until Redis answers: a report may be sent twice, it counts once."""
        failures = 0
        while reports:
            batches = self._batches(reports)
            try:
                replies = await self._redis.run_all([call for call, _ in batches])
            except RedisError as error:
                failures += 1
                self._outage.failed("results", error)
                await asyncio.sleep(wire.backoff_seconds(failures))
                continue
            self._outage.worked("results")
            for (_, sent), acks in zip(batches, replies, strict=True):
                for report, ack in zip(sent, acks, strict=True):
                    self._on_ack(report, ack)
            return

    def _batches(self, reports: Sequence[Report]) -> list[tuple[Call[list[Ack]], Sequence[Report]]]:
        results: dict[str, list[Report]] = {}
        released: dict[str, list[Report]] = {}
        batches: list[tuple[Call[list[Ack]], Sequence[Report]]] = []
        for report in reports:
            if report.data is not None:
                results.setdefault(report.attempt.queue, []).append(report)
            elif report.released:
                released.setdefault(report.attempt.queue, []).append(report)
            else:
                batches.append((self._single(report), (report,)))
        for queue, group in results.items():
            done = [(r.attempt.task_id, r.attempt.number, r.data or b"") for r in group]
            batches.append((commands.finish(queue, self._worker_id, done), group))
        for queue, group in released.items():
            pairs = [(r.attempt.task_id, r.attempt.number) for r in group]
            batches.append((commands.release(queue, self._worker_id, pairs), group))
        return batches

    def _single(self, report: Report) -> Call[list[Ack]]:
        attempt = report.attempt
        where = (attempt.queue, self._worker_id, attempt.task_id, attempt.number)
        if report.aborted:
            return _as_list(commands.abort(*where))
        assert report.failure is not None
        failure = codec.encode_failure(report.failure)
        if report.retry_seconds is None:
            return _as_list(commands.bury(*where, failure))
        return _as_list(commands.retry(*where, round(report.retry_seconds * 1000), failure))


def _as_list(call: Call[Ack]) -> Call[list[Ack]]:
    def parse(reply: Any) -> list[Ack]:
        return [call.parse(reply)]

    return Call(call.name, call.keys, call.args, parse)
