"""Tasks that are enqueued one at a time, gathered into one call.

Thirty-two coroutines that enqueue one task each would send thirty-two scripts, each with its keys
and its first steps. So the tasks of one queue that callers submit in the same turn of the event
loop leave together, as in `submit_many`, and each caller gets the answer for its own task.
"""

from __future__ import annotations

import asyncio
from typing import Final

from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls.enqueueing import enqueue
from identtqueue.protocol.submission import BATCH_TASKS
from identtqueue.transport.connection import AsyncRedis

MOST_BYTES: Final = 32 * 1024
"""Upper bound for the payloads of one call. With it, the call stays a small one (`wire`)."""


def may_be_gathered(task: NewTask) -> bool:
    """Return whether a task may share a call with those of other callers.

    It may if it is small and has no options. Then nothing of it can fail the call for the others,
    and its random id shows if the call was sent twice.
    """
    return task.random_id and not task.options and len(task.payload) <= MOST_BYTES


class _Gathered:
    """The tasks of one call, and the callers that wait for them."""

    __slots__ = ("bytes", "call", "callers", "tasks")

    def __init__(self) -> None:
        self.tasks: list[NewTask] = []
        self.callers: list[asyncio.Future[Receipt]] = []
        self.bytes = 0
        self.call: asyncio.Future[object] | None = None  # None: it has not left yet

    def answer(self, answer: list[Receipt] | Exception) -> None:
        """Give each caller that still waits its receipt, or the error of the call."""
        if isinstance(answer, Exception):
            for caller in self.callers:
                if not caller.done():
                    caller.set_exception(answer)
            return
        for caller, receipt in zip(self.callers, answer, strict=True):
            if not caller.done():
                caller.set_result(receipt)


class Gatherer:
    """The tasks that the callers of one event loop submit, on their way to Redis.

    Args:
        redis: sends the calls.
    """

    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis
        self._loop = asyncio.get_running_loop()
        self._by_queue: dict[str, _Gathered] = {}

    async def enqueue(self, queue: str, task: NewTask) -> Receipt:
        """Enqueue a task that `may_be_gathered`.

        If all callers of a call are cancelled before it is sent, it is not sent.

        Raises:
            RedisError, ProtocolMismatch: see `Client.enqueue_job`.
        """
        gathered = self._by_queue.get(queue)
        if gathered is None:
            gathered = self._by_queue[queue] = _Gathered()
            self._loop.call_soon(self._send, queue, gathered)
        caller: asyncio.Future[Receipt] = self._loop.create_future()
        gathered.tasks.append(task)
        gathered.callers.append(caller)
        gathered.bytes += len(task.payload)
        if gathered.bytes >= MOST_BYTES or len(gathered.tasks) >= BATCH_TASKS:
            self._send(queue, gathered)
        try:
            return await caller
        except asyncio.CancelledError:
            if gathered.call is not None and all(caller.done() for caller in gathered.callers):
                gathered.call.cancel()
            raise

    def _send(self, queue: str, gathered: _Gathered) -> None:
        """Send what was gathered for a queue, unless it was sent already because it was enough."""
        if self._by_queue.get(queue) is not gathered:
            return
        del self._by_queue[queue]
        waiting = [i for i, caller in enumerate(gathered.callers) if not caller.done()]
        if len(waiting) < len(gathered.callers):
            gathered.tasks = [gathered.tasks[i] for i in waiting]
            gathered.callers = [gathered.callers[i] for i in waiting]
        if not waiting:
            return
        try:
            gathered.call = self._redis.send(enqueue(queue, gathered.tasks), gathered.answer)
        except Exception as error:  # noqa: BLE001 - the callers get it
            gathered.answer(error)
