"""Watches of tasks' progress, on the client's one subscription."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

from identtqueue.errors import RedisAuthFailed, RedisError, ResultTimeout
from identtqueue.protocol import commands
from identtqueue.protocol.keys import queue_keys
from identtqueue.results import Results, cancel_all
from identtqueue.task import Progress, queue_of
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.subscriber import Subscriber


class _Watch:
    """One watch: the latest value, if it was not given yet."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.changed = asyncio.Event()
        self._latest: Progress | None = None

    def hear(self, progress: Progress | None) -> None:
        """Keep it, unless a newer one has come before: reading and being told may cross."""
        if progress is not None and progress.is_newer_than(self._latest):
            self._latest = progress
            self.changed.set()

    def take(self) -> Any:
        """The latest value."""
        assert self._latest is not None
        self.changed.clear()
        return self._latest.value


class Watches:
    """A watch subscribes to its task's channel first and reads then, so it misses nothing.

    Args:
        redis: for reading.
        subscriber: the client's.
        results: tell when a task has ended.
    """

    def __init__(self, redis: AsyncRedis, subscriber: Subscriber, results: Results) -> None:
        self._redis = redis
        self._subscriber = subscriber
        self._results = results
        self._by_channel: dict[str, set[_Watch]] = {}
        self._looking: set[asyncio.Task[None]] = set()

    async def watch(self, task_id: str, timeout_seconds: float | None) -> AsyncIterator[Any]:
        """See `Client.watch`."""
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
            await self._look(watch)  # what was told while the subscription was lost
            if watch.changed.is_set():
                yield watch.take()
        finally:
            await cancel_all([ended, beginning])
            await self._end(channel, watch)

    def on_message(self, channel: str, message: bytes) -> None:
        """What was published on a task's channel."""
        watches = self._by_channel.get(channel)
        if watches:
            progress = commands.parse_progress(message)
            for watch in watches:
                watch.hear(progress)

    def look_again(self) -> None:
        """The channels are subscribed again."""
        for watches in self._by_channel.values():
            for watch in watches:
                task = asyncio.get_running_loop().create_task(self._look(watch))
                self._looking.add(task)
                task.add_done_callback(self._looking.discard)

    async def _begin(self, channel: str, watch: _Watch) -> None:
        try:
            await self._subscriber.add(channel)
        except RedisAuthFailed:
            return  # the wait for the end says so
        await self._look(watch)

    async def _end(self, channel: str, watch: _Watch) -> None:
        watches = self._by_channel[channel]
        watches.discard(watch)
        if not watches:
            del self._by_channel[channel]
            await self._subscriber.remove(channel)

    async def _look(self, watch: _Watch) -> None:
        """Read what is stored. If Redis can't be asked, the wait for the end says so."""
        try:
            watch.hear(await self._redis.run(commands.last_progress(watch.task_id)))
        except RedisError:
            return
