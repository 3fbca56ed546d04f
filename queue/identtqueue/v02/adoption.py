"""From 0.2 to today: requests of old clients become tasks, and their results go back.

Redis knows every step. `adopt` makes a task of a request and notes in `owed` that its client waits
for the result; `repay` gives the result and strikes the note out. Both are one script. So a bridge
that is killed at any instruction has lost nothing: the next one waits for the results in `owed`.
Any number of bridges may do the same: only one takes a request, and only one gives a result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from identtqueue.checks import check_function_name
from identtqueue.client.client import Client
from identtqueue.errors import InvalidInput, PayloadUndecodable, RedisError, TaskNotFound
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Adopted
from identtqueue.protocol.calls import bridge, claiming, inspecting, one_task
from identtqueue.protocol.calls.bridge import Adoptee
from identtqueue.task import Result, State, Task, TaskInfo, queue_of
from identtqueue.transport.blocked import BlockedConnection
from identtqueue.transport.connection import AsyncRedis
from identtqueue.v02 import wire
from identtqueue.v02.client import TIMED_OUT, as_data
from identtqueue.v02.job import JobResult, JobResultType, JobStatus, JobStatusType
from identtqueue.v02.names import BridgedQueue
from identtqueue.v02.patience import patiently

logger = logging.getLogger(__name__)

MOST_OPEN: Final = 10_000
"""Upper bound for the results that one bridge waits for in one queue. Further requests stay in the
old list until some of them have come."""

PEEKED: Final = 100
"""Upper bound for the requests of one adoption."""

PEEKED_BYTES: Final = 1024 * 1024
"""Upper bound for the bytes of one adoption, unless a single request is larger."""

BLOCK_SECONDS: Final = 5.0
"""How long a bridge blocks for requests before it asks again."""

LOOK_SECONDS: Final = 5.0
"""Interval at which a bridge looks for results that are owed by a bridge which has ended."""

MIRROR_SECONDS: Final = 0.5
"""Interval at which clients of 0.2 are shown what their tasks do."""

REPORT_SECONDS: Final = 60.0
"""Interval of the log line that says what was moved."""

MOST_BYTES: Final = 512 * 1024 * 1024
"""Upper bound for a request: that of a string in Redis. 0.2 had no bound of its own."""


class Adoption:
    """The adoption of the requests of one queue.

    Args:
        queue: the queue.
        redis: runs calls.
        client: waits for results.
        bell: connection that blocks until there are requests; for this queue alone.
        ttl_seconds: how long results and statuses can be read.
    """

    def __init__(
        self,
        queue: BridgedQueue,
        redis: AsyncRedis,
        client: Client,
        bell: BlockedConnection,
        ttl_seconds: float,
    ) -> None:
        self._queue = queue
        self._redis = redis
        self._client = client
        self._bell = bell
        self._ttl_ms = round(ttl_seconds * 1000)
        self._open: dict[str, asyncio.Task[None]] = {}
        self._shown: dict[str, Any] = {}  # what the client of each running task was shown last
        self._settled = asyncio.Event()
        self._adopted = self._repaid = 0
        self._reported = (0, 0)

    async def move(self) -> None:
        """Adopt the requests that come next; wait for some if there are none.

        Raises:
            RedisError: Redis cannot be reached or refuses a call. No request is lost.
        """
        room = MOST_OPEN - len(self._open)
        if room <= 0:
            self._settled.clear()
            await self._settled.wait()
            return
        requests = await self._redis.run(bridge.peek(self._queue.keys, min(PEEKED, room)))
        if not requests:
            waiting = bridge.block_for_requests(self._queue.keys, BLOCK_SECONDS)
            await self._bell.run(waiting, BLOCK_SECONDS)
            return
        for batch in _in_batches([self._adoptee(request) for request in requests]):
            call = bridge.adopt(self._queue.keys, self._queue.name, batch, self._ttl_ms)
            answers = await self._redis.run(call)
            for adoptee, answer in zip(batch, answers, strict=True):
                self._adopted += answer is Adopted.OK
                if adoptee.task_id and answer is not Adopted.GONE:
                    self._wait_for(adoptee.task_id)

    async def look(self) -> None:
        """Wait for the results that are owed, also those of tasks that other bridges adopted.

        Raises:
            RedisError: Redis cannot be reached or refuses the call.
        """
        room = MOST_OPEN - len(self._open)
        if room > 0:
            for task_id in await self._redis.run(bridge.owed(self._queue.keys, MOST_OPEN)):
                if len(self._open) < MOST_OPEN:
                    self._wait_for(task_id)
        await asyncio.sleep(LOOK_SECONDS)

    async def mirror(self) -> None:
        """Show the clients of 0.2 which of their tasks run, and the progress of these.

        Raises:
            RedisError: Redis cannot be reached or refuses a call.
        """
        running = await self._running()
        infos = await self._redis.run_all(one_task.task_info(task_id) for task_id in running)
        for info in infos:
            if info is not None and info.state is State.RUNNING:
                await self._show(info)
        await asyncio.sleep(MIRROR_SECONDS)

    async def report(self) -> None:
        """Log what was moved, once a minute if anything was."""
        await asyncio.sleep(REPORT_SECONDS)
        self._report()

    def _report(self) -> None:
        if self._reported != (self._adopted, self._repaid):
            self._reported = self._adopted, self._repaid
            text = "%s: %d requests have become tasks, %d results were given back, %d are awaited"
            logger.info(text, self._queue.name, *self._reported, len(self._open))

    async def close(self) -> None:
        """Stop waiting. What is still owed stays in Redis, for the next bridge."""
        self._report()
        waits = list(self._open.values())
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await self._bell.drop()

    # --- one request ---

    def _adoptee(self, request: bytes) -> Adoptee:
        """Make a task of a request, or put it aside if it can't be read."""
        task_id = ""
        try:
            asked = wire.decode_request(request)
            task_id = self._queue.task_id(asked.task_id)
            queue_of(task_id)
            name = check_function_name(asked.function_name)
            task = Task(name, tuple(asked.args), asked.kwargs)
            return Adoptee(request, task_id, codec.encode_task(task, MOST_BYTES), name)
        except wire.NotOfOldWire as error:
            why: Exception = error
            task_id = self._queue.task_id(error.task_id)
        except InvalidInput as error:
            why = error
        logger.error(
            "%s: a request of %d bytes can't be read and is put aside in the list %s: %s",
            self._queue.old,
            len(request),
            self._queue.keys.refused,
            why,
        )
        return Adoptee(request, _usable(task_id))

    # --- one result ---

    def _wait_for(self, task_id: str) -> None:
        if task_id not in self._open:
            wait = asyncio.get_running_loop().create_task(self._settle(task_id))
            self._open[task_id] = wait
            wait.add_done_callback(lambda _: self._closed(task_id))

    def _closed(self, task_id: str) -> None:
        del self._open[task_id]
        self._shown.pop(task_id, None)
        self._settled.set()

    async def _settle(self, task_id: str) -> None:
        """Wait for the end of a task, and give its result to the client of 0.2."""
        try:
            result = _old_result(await self._client.wait(task_id))
        except TaskNotFound:
            result = JobResult(
                JobResultType.EXCEPTION,
                "there is no such task: its request could not be read, or its result has expired",
            )
        except PayloadUndecodable as error:
            result = JobResult(JobResultType.EXCEPTION, str(error))
        except RedisError as error:
            logger.warning("%s: asking for its result again: %s", task_id, error)
            return  # it is still owed, and `look` finds it
        repay = bridge.repay(
            self._queue.keys,
            task_id,
            self._queue.old_id(task_id),
            wire.encode_status(JobStatus(JobStatusType.FINISHED)),
            wire.encode_result(result),
            self._ttl_ms,
        )
        self._repaid += await patiently(lambda: self._redis.run(repay))

    # --- what runs ---

    async def _show(self, info: TaskInfo) -> None:
        shown = (info.attempt, info.progress)
        if self._shown.get(info.task_id) == shown:
            return
        status = JobStatus(JobStatusType.PROCESSING, as_data(info.progress))
        await self._redis.run(
            bridge.mirror(
                self._queue.keys,
                info.task_id,
                self._queue.old_id(info.task_id),
                wire.encode_status(status),
                self._ttl_ms,
            )
        )
        if info.task_id in self._open:
            self._shown[info.task_id] = shown

    async def _running(self) -> list[str]:
        """List those of the open tasks that run."""
        if not self._open:
            return []
        queue = self._queue.name
        rows = await self._redis.run(inspecting.workers(queue))
        busy = [row.worker_id for row in rows if row.in_flight]
        lists = await self._redis.run_all(claiming.in_flight(queue, worker) for worker in busy)
        return [task_id for ids in lists for task_id in ids if task_id in self._open]


def _usable(task_id: str) -> str:
    """Return the id if a task may have it, else the empty text."""
    try:
        queue_of(task_id)
    except InvalidInput:
        return ""
    return task_id


def _old_result(result: Result) -> JobResult:
    if result.state is State.SUCCEEDED:
        return JobResult(JobResultType.SUCCESS, result.value)
    failure = result.failure
    assert failure is not None
    if failure.type == TIMED_OUT:
        return JobResult(JobResultType.WORKER_TIMEOUT, failure.message)
    return JobResult(JobResultType.EXCEPTION, failure.message)


def _in_batches(requests: Sequence[Adoptee]) -> Iterator[list[Adoptee]]:
    batch: list[Adoptee] = []
    size = 0
    for each in requests:
        if batch and size + len(each.request) > PEEKED_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.request)
    if batch:
        yield batch
