"""Waits for results: any number of them on one subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from identtqueue.errors import RedisUnavailable, TaskNotFound
from identtqueue.protocol import commands
from identtqueue.task import Result
from identtqueue.transport.aio import AsyncRedis
from identtqueue.transport.subscriber import Subscriber


@dataclass(slots=True, eq=False)
class _Wait:
    """All waits for one task share this."""

    future: asyncio.Future[Result]
    users: int = 0


class Results:
    """Waits for any number of results on one connection.

    A wait subscribes first and asks then, so an answer can't slip between the two; after a
    reconnect it asks again, since what was published meanwhile is lost.
    """

    def __init__(self, redis: AsyncRedis, subscriber: Subscriber, channel: str) -> None:
        self._redis = redis
        self._subscriber = subscriber
        self.channel = channel
        self._waits: dict[str, _Wait] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def wait(self, task_id: str) -> Result:
        """How the task ended.

        Raises:
            TaskNotFound: no such task, or its result has expired.
            RedisError: it can't be asked for.
        """
        entry = self._waits.get(task_id)
        if entry is None:
            entry = self._waits[task_id] = _Wait(asyncio.get_running_loop().create_future())
            self._ask(task_id)
        entry.users += 1
        try:
            return await asyncio.shield(entry.future)
        finally:
            entry.users -= 1
            if entry.users == 0 and self._waits.get(task_id) is entry:
                del self._waits[task_id]
                entry.future.cancel()

    async def close(self) -> None:
        """Let the waits fail."""
        await cancel_all(self._asking)
        self.fail(RedisUnavailable("the client was closed"))

    def fail(self, error: Exception) -> None:
        """Let all waits fail: nothing will be heard."""
        for task_id in list(self._waits):
            self._settle(task_id, error)

    def _ask(self, task_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._ask_now(task_id))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask_now(self, task_id: str) -> None:
        try:
            await self._subscriber.add(self.channel)
            found = await self._redis.run(commands.await_result(task_id, self.channel))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            self._settle(task_id, error)
            return
        if found is None:
            self._settle(task_id, TaskNotFound(task_id))
        elif isinstance(found, Result):
            self._settle(task_id, found)

    def _settle(self, task_id: str, result: Result | Exception) -> None:
        entry = self._waits.pop(task_id, None)
        if entry is None or entry.future.done():
            return
        if isinstance(result, Result):
            entry.future.set_result(result)
        else:
            entry.future.set_exception(result)

    def on_message(self, message: bytes) -> None:
        """What was published on the channel."""
        task_id, result = commands.parse_reply(message)
        if task_id not in self._waits:
            return
        if result is None:  # not in the message: read it
            self._ask(task_id)
        else:
            self._settle(task_id, result)

    def ask_again(self) -> None:
        """The channel is subscribed again."""
        for task_id in self._waits:
            self._ask(task_id)


async def cancel_all(waits: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them and see them end."""
    pending = [wait for wait in waits if not wait.done()]
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
