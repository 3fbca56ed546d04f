"""Tasks that are enqueued one at a time, gathered into one call.

Thirty-two coroutines that enqueue one task each would send thirty-two scripts, each with its keys
and its first steps. So the tasks of one queue that wait for the next batch of the connection share
a call, as in `submit_many`, and each caller gets the answer for its own task.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Final

from identtqueue.protocol.answers import Receipt
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls.enqueueing import enqueue
from identtqueue.protocol.submission import BATCH_TASKS
from identtqueue.transport.connection import AsyncRedis

MOST_BYTES: Final = 32 * 1024
"""Upper bound for the payloads of one call. With it, the call stays a small one (`wire`)."""

JOIN_SECONDS: Final = 0.05
"""How long callers may join a call. They share the time for which it is retried, so it must not
have waited for long."""


def may_be_gathered(task: NewTask) -> bool:
    """Return whether a task may share a call with those of other callers.

    It may if it is small and has no options. Then nothing of it can fail the call for the others,
    and its random id shows if the call was sent twice.
    """
    return task.random_id and not task.options and len(task.payload) <= MOST_BYTES


class _Gathered(asyncio.Future[Any]):
    """One call: for the connection the future of its reply, which is shared out among the callers.

    It does so at once. A callback would run in the next turn of the event loop, and wake the
    callers in the one after that.
    """

    def __init__(self, queue: str) -> None:
        super().__init__()
        self.queue = queue
        self.tasks: list[NewTask] = []
        self.callers: list[asyncio.Future[Receipt]] = []
        self.bytes = 0
        self.opened_at = self.get_loop().time()
        self._call: Call[list[Receipt]] | None = None  # None: it has not left yet

    def has_room(self) -> bool:
        """Return whether another task may join."""
        return (
            self._call is None
            and len(self.tasks) < BATCH_TASKS
            and self.bytes < MOST_BYTES
            and self.get_loop().time() - self.opened_at < JOIN_SECONDS
        )

    def make(self) -> Call[list[Receipt]]:
        """Make the call of all tasks whose callers still wait; the connection sends it now."""
        waiting = [i for i, caller in enumerate(self.callers) if not caller.done()]
        if len(waiting) < len(self.callers):
            self.tasks = [self.tasks[i] for i in waiting]
            self.callers = [self.callers[i] for i in waiting]
        self._call = enqueue(self.queue, self.tasks)
        return self._call

    def done(self) -> bool:
        """Return whether no caller waits any more; the connection then does not send the call."""
        return all(caller.done() for caller in self.callers)

    def set_result(self, reply: Any) -> None:
        """Give each caller its receipt."""
        assert self._call is not None
        try:
            receipts = AsyncRedis.parse(self._call, reply)
        except Exception as error:  # noqa: BLE001 - the callers get it
            self.set_exception(error)
            return
        for caller, receipt in zip(self.callers, receipts, strict=True):
            if not caller.done():
                caller.set_result(receipt)

    def set_exception(self, error: Any) -> None:
        """Give each caller the error of the call."""
        for caller in self.callers:
            if not caller.done():
                caller.set_exception(error)


@lru_cache(maxsize=1024)
def _place(queue: str) -> Call[list[Receipt]]:
    """Return a call that goes where the enqueues of a queue have to go."""
    return enqueue(queue, ())


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

        Raises:
            RedisError, ProtocolMismatch: see `Client.enqueue_job`.
        """
        gathered = self._by_queue.get(queue)
        is_new = gathered is None or not gathered.has_room()
        if gathered is None or is_new:
            gathered = _Gathered(queue)
        caller: asyncio.Future[Receipt] = self._loop.create_future()
        gathered.tasks.append(task)
        gathered.callers.append(caller)
        gathered.bytes += len(task.payload)
        if is_new:
            self._by_queue[queue] = gathered
            self._redis.send_later(_place(queue), gathered.make, gathered)
        return await caller
