"""The finish loop: records outcomes in Redis, in batches, and repeats each until it is answered.

All outcomes of one turn of the event loop share a batch. Big results are sent beside the small
ones, so that over a slow link a small result does not wait for another task's megabyte.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from identtqueue.errors import RedisError
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import reporting
from identtqueue.protocol.ends import MOST_KEPT_BYTES, Keeping
from identtqueue.task import Attempt
from identtqueue.transport import wire
from identtqueue.transport.backoff import backoff_seconds
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.outage import Outage
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.outcome import (
    Aborted,
    Declined,
    Disowned,
    Failed,
    Outcome,
    Released,
    Retried,
    Succeeded,
)

MOST_UNRECORDED_BYTES: Final = 32 * 1024 * 1024
"""With more than this waiting to be recorded, no more tasks are taken until half of it is recorded.
The slots of these attempts are already free, so nothing else bounds the memory."""

ENDED_BYTES: Final = 1024
"""Rough size of an ended attempt in memory, besides its result and its payload."""

BATCH_RESULTS: Final = 128
"""Most results in one call. Redis does nothing else while it handles the call."""

OBSTACLE: Final = "results"
"""Name of the obstacle that too much is not recorded yet."""

QUIET_SECONDS: Final = 5.0
"""A link that lags for no longer than this is not mentioned in the log."""

Ended = tuple[Attempt, Outcome, int]
"""An attempt, its outcome, and how many bytes of memory are freed when that is recorded."""

_Result = tuple[Attempt, Succeeded, int]
"""The same for an attempt that succeeded."""


class _Batch(msgspec.Struct, frozen=True):
    """One call, the attempts that it records, and how much memory is freed when it is answered."""

    call: Call[list[Ack]]
    ended: Sequence[Ended]
    size_bytes: int
    is_big: bool = False


class Finisher:
    """The finish loop of one worker incarnation.

    Args:
        redis: connection for reports, shared with the fetcher.
        worker_id: id of this incarnation.
        keeping: what is kept of the tasks that have ended.
        on_ack: called with each attempt and Redis' answer to its report.
        outage: logs trouble with Redis.
        obstacles: gets an obstacle while too much is not recorded yet.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        worker_id: str,
        *,
        keeping: Keeping,
        on_ack: Callable[[Attempt, Ack], None],
        outage: Outage,
        obstacles: Obstacles,
    ) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._keeping = keeping
        self._on_ack = on_ack
        self._outage = outage
        self._obstacles = obstacles
        self._unrecorded_bytes = 0
        self._waiting: list[Ended] = []  # not sent yet
        self._under_way: dict[int, _Batch] = {}  # by `id`: sent but not answered yet
        self._some = asyncio.Event()  # set: outcomes wait to be sent
        self._places = asyncio.Semaphore(2)  # see `run`
        self._idle = asyncio.Event()  # set: every outcome is recorded
        self._idle.set()

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take an outcome to record. Returns at once."""
        if not self._waiting:
            self._some.set()
            self._idle.clear()
        size = ENDED_BYTES + len(attempt.payload)
        if isinstance(outcome, Succeeded):
            size += len(outcome.data)
        self._waiting.append((attempt, outcome, size))
        self._unrecorded_bytes += size
        if self._unrecorded_bytes > MOST_UNRECORDED_BYTES:
            self._hold()

    def abandon(self) -> None:
        """Give up what is not recorded, because this incarnation has ended: remove the obstacle."""
        self._obstacles.remove(OBSTACLE)

    def _hold(self) -> None:
        """Put the obstacle, so that no more tasks are taken."""
        mib = self._unrecorded_bytes / 1024 / 1024
        text = f"{mib:.0f} MiB of results are not recorded yet: Redis takes them too slowly"
        self._obstacles.put(OBSTACLE, text, quiet_for_seconds=QUIET_SECONDS)

    async def flushed(self) -> None:
        """Wait until all outcomes put so far are recorded."""
        await self._idle.wait()

    async def run(self) -> None:
        """Record outcomes until cancelled. A further run sends what was not recorded by then.

        Two batches of small results are on their way: one to Redis, and one that waits in the
        connection for the reply, to leave together with the next claim. What ends after that
        gathers for the next batch.
        """
        try:
            async with asyncio.TaskGroup() as sending:
                while True:
                    await self._some.wait()
                    await self._places.acquire()
                    self._some.clear()
                    ended, self._waiting = self._waiting, []
                    small: list[_Batch] = []
                    for batch in self._batches(ended):
                        self._under_way[id(batch)] = batch
                        if batch.is_big:
                            sending.create_task(self._record([batch]))
                        else:
                            small.append(batch)
                    sending.create_task(self._record_small(small))
        except asyncio.CancelledError:
            self._places = asyncio.Semaphore(2)
            sent = [ended for batch in self._under_way.values() for ended in batch.ended]
            self._under_way.clear()
            self._waiting[:0] = sent
            if self._waiting:
                self._some.set()
            raise

    async def _record_small(self, batches: list[_Batch]) -> None:
        await self._record(batches)
        self._places.release()

    async def _record(self, batches: list[_Batch]) -> None:
        """Send the batches until Redis has answered each. A report sent twice counts once."""
        failures = 0
        while batches:
            answers = await self._ask(batches)
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
                await asyncio.sleep(backoff_seconds(failures))
            else:
                self._outage.worked("results")

    async def _ask(self, batches: list[_Batch]) -> Sequence[list[Ack] | Exception]:
        """Send the batches together, and return Redis' answer to each."""
        try:
            if len(batches) == 1:  # nearly always, and cheaper
                return [await self._redis.run(batches[0].call)]
            return await self._redis.run_each([batch.call for batch in batches])
        except RedisError as error:  # for several: the connection was closed
            return [error] * len(batches)

    def _acknowledge(self, batch: _Batch, acks: Sequence[Ack]) -> None:
        del self._under_way[id(batch)]
        self._unrecorded_bytes -= batch.size_bytes
        for (attempt, _, _), ack in zip(batch.ended, acks, strict=True):
            self._on_ack(attempt, ack)
        if self._unrecorded_bytes <= MOST_UNRECORDED_BYTES // 2:
            self._obstacles.remove(OBSTACLE)
        if not self._under_way and not self._waiting:
            self._idle.set()

    def _batches(self, all_ended: Sequence[Ended]) -> list[_Batch]:
        """Build the calls that record these outcomes. Big and small results never share a call."""
        small: defaultdict[str, list[_Result]] = defaultdict(list)
        big: defaultdict[str, list[_Result]] = defaultdict(list)
        released: dict[str, list[Ended]] = {}
        batches: list[_Batch] = []
        for ended in all_ended:
            attempt, outcome, size = ended
            if isinstance(outcome, Succeeded):
                results = big if len(outcome.data) > wire.SMALL_BYTES else small
                results[attempt.queue].append((attempt, outcome, size))
            elif isinstance(outcome, Released | Disowned):
                released.setdefault(attempt.queue, []).append(ended)
            else:
                batches.append(_Batch(self._single(attempt, outcome), (ended,), size))
        for results, most, is_big in (
            (small, wire.SMALL_BYTES, False),
            (big, wire.BATCH_BYTES, True),
        ):
            for queue, group in results.items():
                for part, size in _parts(group, most):
                    batches.append(_Batch(self._finish(queue, part), part, size, is_big))
        for queue, back in released.items():
            for some in reporting.in_releases(back):
                pairs = [(attempt.task_id, attempt.number) for attempt, _, _ in some]
                call = reporting.release(queue, self._worker_id, pairs)
                batches.append(_Batch(call, some, sum(size for _, _, size in some)))
        return batches

    def _finish(self, queue: str, results: Sequence[_Result]) -> Call[list[Ack]]:
        """Build the call that records these results."""
        done = [(attempt.task_id, attempt.number, end.data) for attempt, end, _ in results]
        large = [a.task_id for a, _, _ in results if len(a.payload) > MOST_KEPT_BYTES]
        return reporting.finish(queue, self._worker_id, done, keeping=self._keeping, dropped=large)

    def _single(self, attempt: Attempt, outcome: Outcome) -> Call[list[Ack]]:
        """Build the call for an outcome that has a script of its own for one task."""
        where = (attempt.queue, self._worker_id, attempt.task_id, attempt.number)
        match outcome:
            case Aborted():
                return _as_list(reporting.abort(*where))
            case Declined(failure, signature):
                return _as_list(reporting.decline(*where, signature, failure))
            case Failed(failure):
                return _as_list(reporting.bury(*where, codec.encode_failure(failure)))
            case Retried(failure, seconds):
                data = codec.encode_failure(failure)
                return _as_list(reporting.retry(*where, round(seconds * 1000), data))
        raise TypeError(f"{outcome!r} can't be recorded")


def _parts(group: list[_Result], most_bytes: int) -> Iterator[tuple[list[_Result], int]]:
    """Split results into parts for one call each; yield each part with the memory that it frees.

    A part has at most `most_bytes` of results, or a single result that is larger.
    """
    part: list[_Result] = []
    size = sent = 0
    for result in group:
        more = len(result[1].data)
        if part and (sent + more > most_bytes or len(part) == BATCH_RESULTS):
            yield part, size
            part, size, sent = [], 0, 0
        part.append(result)
        sent += more
        size += result[2]
    if part:
        yield part, size


def _as_list(call: Call[Ack]) -> Call[list[Ack]]:
    def parse(reply: Any) -> list[Ack]:
        return [call.parse(reply)]

    return Call(call.name, call.keys, call.args, parse)
