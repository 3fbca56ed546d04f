"""From today to 0.2: tasks of new clients are run by old workers.

The bridge takes tasks as a worker does: under a lease, so the tasks of a bridge that dies are
recovered. For each one it pushes a request to the old list and waits for the old result.

An old worker takes a request from the list with nothing to show that it has it, so one that dies
loses the request. The bridge notices: the request is not in the list and no worker has begun it, or
a worker has begun it and has not answered in time. Then it pushes the request again, as another
delivery with an id of its own. It accepts the result of any delivery.

`sent` remembers how often the request of a task was pushed. A bridge that takes over from a dead
one waits for the deliveries that exist, and pushes nothing anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from identtqueue.errors import IdenttqueueError, InvalidInput, TimedOut
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import bridge
from identtqueue.transport.connection import AsyncRedis
from identtqueue.v02 import wire
from identtqueue.v02.job import JobRequest, JobResult, JobResultType, JobStatus, JobStatusType
from identtqueue.v02.names import BridgedQueue
from identtqueue.v02.patience import patiently
from identtqueue.worker.context import Context
from identtqueue.worker.registry import Job, Registry
from identtqueue.worker.shelves import ENVELOPE_SIGNATURE

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_MS: Final = 86_400_000
"""How long Redis remembers a request that was pushed: longer than any may wait for a worker."""

SHORTEST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.25
"""Bounds of the pause between two looks for a result. It grows with the time since the push: 0.2
announces nothing, so the bridge has to ask."""

LIST_LOOK_SECONDS: Final = 5.0
"""Interval at which a bridge checks that a request which no worker has begun is still in its list.
Two checks in a row must miss it: a worker that has just taken it says so a moment later."""

_NAMES: Final = uuid.UUID("6f1c2f4e-0b0e-5f0c-9a53-2f0e5b7a7c02")
"""Namespace of the ids of requests."""


class FailedInOldWorker(IdenttqueueError):
    """The job has raised an exception in a worker of 0.2, which reports only its text."""


class LostByOldWorkers(IdenttqueueError):
    """Workers of 0.2 have taken the request again and again, and none has answered."""

    def __init__(self, deliveries: int, answer_seconds: float) -> None:
        super().__init__(
            f"workers of identtqueue 0.2 have taken the request {deliveries} times, and none has "
            f"answered within {answer_seconds:g} s"
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the bridge waits for workers of 0.2.

    Attributes:
        answer_seconds: longest time from when a worker has begun a task to its answer.
        max_deliveries: how often a request is pushed at most.
    """

    answer_seconds: float = 120.0
    max_deliveries: int = 5


class Forwarding(Registry):
    """The jobs of the bridge as a worker: all that there are, and each is forwarded.

    Args:
        queues: the queues by today's name.
        redis: runs calls.
        patience: how long to wait for old workers.
    """

    def __init__(
        self, queues: Mapping[str, BridgedQueue], redis: AsyncRedis, patience: Patience
    ) -> None:
        super().__init__([self._job(__name__)])
        self._queues = queues
        self._redis = redis
        self._patience = patience

    def _job(self, name: str) -> Job:
        return Job(name=name, function=self._forward)

    def __contains__(self, name: str) -> bool:
        return True

    def may_run(self, name: str, declined_by: frozenset[str]) -> bool:  # noqa: ARG002 - all jobs
        """Return whether the bridge may forward a task: unless a newer release has written it."""
        return ENVELOPE_SIGNATURE not in declined_by

    def resolve(self, name: str) -> Job:
        """Make the job of that name."""
        return self._job(name)

    async def _forward(self, context: Context, /, *args: Any, **kwargs: Any) -> Any:
        """Have a worker of 0.2 run a task, and return its result."""
        queue = self._queues[context.queue]
        asked = Request(context, args, kwargs, queue, self._redis)
        last = await asked.deliveries()
        for delivery in range(max(1, last), self._patience.max_deliveries + 1):
            try:
                await asked.push(delivery)
                answer = await self._answer(asked, delivery)
            except asyncio.CancelledError:
                await asked.withdraw(delivery)
                raise
            if answer is not None:
                return await self._value(asked, delivery, answer)
            logger.warning(
                "%s: a worker of 0.2 has lost its request (delivery %d)", context.task_id, delivery
            )
        await asked.tidy(self._patience.max_deliveries, kept_ms=0)
        raise LostByOldWorkers(self._patience.max_deliveries, self._patience.answer_seconds)

    async def _answer(self, asked: Request, delivery: int) -> JobResult | None:
        """Wait for the answer to a request; None: it is lost."""
        begun = time.monotonic()
        begun_there: float | None = None
        looked, missed = begun, 0
        while True:
            if (result := await asked.result(delivery)) is not None:
                return result
            now = time.monotonic()
            if await asked.status(delivery) is JobStatusType.ENQUEUED:
                begun_there = None
                if now - looked >= LIST_LOOK_SECONDS:
                    missed = 0 if await asked.is_waiting(delivery) else missed + 1
                    looked = now
                    if missed > 1:
                        return None
            else:
                begun_there = now if begun_there is None else begun_there
                if now - begun_there > self._patience.answer_seconds:
                    return None
            pause = SHORTEST_PAUSE_SECONDS + (now - begun) / 40
            await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, pause))

    async def _value(self, asked: Request, delivery: int, answer: JobResult) -> Any:
        """Return the value of an answer, or raise what it reports.

        What a failure has left in Redis is deleted, so that a dead letter which is replayed is
        pushed anew. A result stays: if this bridge dies now, the next one finds it.
        """
        if answer.type is JobResultType.SUCCESS:
            await asked.tidy(delivery, kept_ms=KEPT_MS)
            return answer.message
        await asked.tidy(delivery, kept_ms=0)
        if answer.type is JobResultType.WORKER_TIMEOUT:
            raise TimedOut(f"{asked.job} ran longer than its worker of identtqueue 0.2 allows")
        raise FailedInOldWorker(str(answer.message))


class Request:
    """The request of one task, in all its deliveries.

    Args:
        context: the attempt.
        args, kwargs: arguments of the job.
        queue: the queue.
        redis: runs calls.
    """

    def __init__(
        self,
        context: Context,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        queue: BridgedQueue,
        redis: AsyncRedis,
    ) -> None:
        self._context = context
        self._args = args
        self._kwargs = kwargs
        self._queue = queue
        self._redis = redis
        self._progress: Mapping[str, Any] = {}

    @property
    def job(self) -> str:
        """The name of the job."""
        return self._context.function_name

    @cached_property
    def name(self) -> str:
        """The name of the request.

        An attempt that follows a lost bridge has the same, one that follows a failure another.
        """
        context = self._context
        return str(
            uuid.uuid5(_NAMES, f"{context.task_id}\n{context.enqueued_at_ms}\n{context.failures}")
        )

    async def _run(self, call: Call[T]) -> T:
        """Run a call until Redis takes it: an error of Redis is no failure of the job."""
        return await patiently(lambda: self._redis.run(call))

    async def _run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        return await patiently(lambda: self._redis.run_all(calls))

    async def deliveries(self) -> int:
        """Return how often the request was pushed."""
        return await self._run(bridge.deliveries(self._queue.keys, self.name))

    async def push(self, delivery: int) -> None:
        """Push a delivery, unless it was pushed before."""
        await self._run(
            bridge.forward(
                self._queue.keys,
                self.name,
                delivery,
                self._id(delivery),
                self._encoded(delivery),
                wire.encode_status(JobStatus(JobStatusType.ENQUEUED)),
                KEPT_MS,
            )
        )

    async def result(self, delivery: int) -> JobResult | None:
        """Return the result of this delivery, or of one before it; None: there is none yet."""
        calls = [bridge.old_result(self._id(n)) for n in range(delivery, 0, -1)]
        for data in await self._run_all(calls):
            if data is not None:
                try:
                    return wire.decode_result(data)
                except wire.NotOfOldWire as error:
                    return JobResult(JobResultType.EXCEPTION, f"the result can't be read: {error}")
        return None

    async def status(self, delivery: int) -> JobStatusType:
        """Return the status of a delivery, and report the progress of its job."""
        data = await self._run(bridge.old_status(self._id(delivery)))
        if data is None:
            return JobStatusType.ENQUEUED
        try:
            status = wire.decode_status(data)
        except wire.NotOfOldWire:
            return JobStatusType.PROCESSING
        if status.data and status.data != self._progress:
            self._progress = status.data
            with contextlib.suppress(InvalidInput):  # larger than a progress may be today
                self._context.report_progress(status.data)
        return status.status

    async def is_waiting(self, delivery: int) -> bool:
        """Return whether a delivery is still in the list."""
        return await self._run(bridge.is_waiting(self._queue.keys, self._encoded(delivery)))

    async def withdraw(self, delivery: int) -> None:
        """Take a delivery back if no worker of 0.2 has taken it: this attempt is cut off."""
        await self._run(
            bridge.withdraw(
                self._queue.keys, self.name, self._id(delivery), self._encoded(delivery)
            )
        )

    async def tidy(self, delivery: int, *, kept_ms: int) -> None:
        """Let what the deliveries have left in Redis expire."""
        await self._run_all(
            [
                bridge.tidy(self._queue.keys, self.name, self._id(n), kept_ms)
                for n in range(1, delivery + 1)
            ]
        )

    def _id(self, delivery: int) -> str:
        if delivery == 1:
            return self.name
        return str(uuid.uuid5(_NAMES, f"{self.name}\n{delivery}"))

    def _encoded(self, delivery: int) -> bytes:
        """Encode a delivery: always the same bytes, by which it is found in the list."""
        return wire.encode_request(
            JobRequest(
                self._id(delivery),
                self.job,
                self._args,
                self._kwargs,
                self._context.enqueued_at_ms / 1000,
            )
        )
