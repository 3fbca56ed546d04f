"""Watches of the progress of tasks, on the client's one subscription."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from identtqueue.client.results import LOOK_TASKS, Results, cancel_all
from identtqueue.errors import RedisAuthFailed, RedisError, ResultTimeout
from identtqueue.protocol import replies
from identtqueue.protocol.calls import one_task
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Progress, queue_of
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.home import detached
from identtqueue.transport.subscriber import Subscriber


class _Watch:
    """One watch, and its latest value if that was not yielded yet."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.changed = asyncio.Event()
        self._latest: Progress | None = None

    def hear(self, progress: Progress | None) -> None:
        """Keep a value unless a newer one is known: a stored value and a message may cross."""
        if progress is not None and progress.is_newer_than(self._latest):
            self._latest = progress
            self.changed.set()

    def take(self) -> Any:
        """Return the latest value and note that it was taken."""
        assert self._latest is not None
        self.changed.clear()
        return self._latest.value


class Watches:
    """The watches of one client.

    A watch subscribes to its task's channel first and then reads the stored value, so it misses
    nothing.

    Args:
        redis: runs the queries.
        subscriber: the client's shared pub/sub connection.
        results: the waits that notice when a watched task has ended.
    """

    def __init__(self, redis: AsyncRedis, subscriber: Subscriber, results: Results) -> None:
        self._redis = redis
        self._subscriber = subscriber
        self._results = results
        self._by_channel: dict[str, set[_Watch]] = {}
        self._looking: set[asyncio.Task[None]] = set()

    async def watch(self, task_id: str, timeout_seconds: float | None) -> AsyncGenerator[Any, None]:
        """Iterate over the progress of a task: see `Client.watch`."""
        if timeout_seconds is not None and timeout_seconds <= 0:
            async for value in self._look_once(task_id, timeout_seconds):
                yield value
            return
        channel = queue_keys(queue_of(task_id)).progress_channel(task_id)
        loop = asyncio.get_running_loop()
        deadline = math.inf if timeout_seconds is None else loop.time() + timeout_seconds
        watch = _Watch(task_id)
        self._by_channel.setdefault(channel, set()).add(watch)
        ended = asyncio.ensure_future(self._results.wait(task_id))
        beginning = asyncio.ensure_future(self._begin(channel, watch))
        try:
            while not ended.done():
                changed = asyncio.ensure_future(watch.changed.wait())
                left = None if deadline == math.inf else max(0.0, deadline - loop.time())
                try:
                    await asyncio.wait(
                        {ended, changed}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    changed.cancel()
                if watch.changed.is_set():
                    yield watch.take()
                elif not ended.done():
                    raise ResultTimeout(task_id, timeout_seconds or 0)
            ended.result()
            await self._look(watch)  # for a value published while the subscription was lost
            if watch.changed.is_set():
                yield watch.take()
        finally:
            await cancel_all([ended, beginning])
            await self._end(channel, watch)

    def on_message(self, channel: str, message: bytes) -> None:
        """Pass a message from a task's channel to the watches of the task."""
        watches = self._by_channel.get(channel)
        if watches:
            progress = replies.parse_progress(message)
            for watch in watches:
                watch.hear(progress)

    async def close(self) -> None:
        """Cancel the reads that are under way. Watches end when their wait for the result fails."""
        await cancel_all(self._looking)

    def look_again(self) -> None:
        """Read the progress of all watched tasks, since messages may have been missed."""
        if self._by_channel:
            task = detached(self._look_at_all())
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look_at_all(self) -> None:
        watches = [watch for group in self._by_channel.values() for watch in group]
        for start in range(0, len(watches), LOOK_TASKS):
            part = watches[start : start + LOOK_TASKS]
            answers = await self._redis.run_each(
                [one_task.last_progress(watch.task_id) for watch in part]
            )
            for watch, answer in zip(part, answers, strict=True):
                if not isinstance(answer, Exception):  # else the wait for the result raises it
                    watch.hear(answer)

    async def _look_once(self, task_id: str, timeout_seconds: float) -> AsyncIterator[Any]:
        found = await self._results.look(task_id)
        progress = await self._redis.run(one_task.last_progress(task_id))
        if progress is not None:
            yield progress.value
        if found is None:
            raise ResultTimeout(task_id, timeout_seconds)

    async def _begin(self, channel: str, watch: _Watch) -> None:
        """Subscribe to the channel, then read the stored value."""
        try:
            await self._subscriber.add(channel)
        except RedisAuthFailed:
            return  # the wait for the result raises it
        await self._look(watch)

    async def _end(self, channel: str, watch: _Watch) -> None:
        """Remove a watch; after the last one of its channel, stop listening to the channel."""
        watches = self._by_channel[channel]
        watches.discard(watch)
        if not watches:
            del self._by_channel[channel]
            await self._subscriber.remove(channel)

    async def _look(self, watch: _Watch) -> None:
        """Read the stored value. An error is ignored here: the wait for the result raises it."""
        try:
            watch.hear(await self._redis.run(one_task.last_progress(watch.task_id)))
        except RedisError:
            return
