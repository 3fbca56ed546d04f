"""Waits for results: any number of them on one subscription."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from identtqueue.errors import RedisUnavailable, TaskNotFound
from identtqueue.protocol import commands
from identtqueue.task import Result, State
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

    Args:
        redis: for asking.
        subscriber: the client's.
        channel: where the client hears.
        patience_seconds: how long a wait outlasts a lost subscription.
    """

    def __init__(
        self, redis: AsyncRedis, subscriber: Subscriber, channel: str, patience_seconds: float
    ) -> None:
        self._redis = redis
        # Time for one attempt at least.
        self._patience = max(patience_seconds, redis.settings.connect_timeout_seconds)
        self._giving_up: asyncio.TimerHandle | None = None
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
        self._stop_giving_up()
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
            if self._subscriber.hears(self.channel):
                found = await self._redis.run(commands.await_result(task_id, self.channel))
            else:
                found = await self._subscribe_and_ask(task_id)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            self._settle(task_id, error)
            return
        if found is None:
            self._settle(task_id, TaskNotFound(task_id))
        elif isinstance(found, Result):
            self._settle(task_id, found)

    async def _subscribe_and_ask(self, task_id: str) -> Result | State | None:
        """A look comes first: it fails if Redis can't be reached, where a subscription waits."""
        found = await self._redis.run(commands.await_result(task_id))
        if found is None or isinstance(found, Result):
            return found
        try:
            async with asyncio.timeout(self._patience if self._patience < math.inf else None):
                await self._subscriber.add(self.channel)
        except TimeoutError:
            raise self._unavailable() from None
        return await self._redis.run(commands.await_result(task_id, self.channel))

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

    def on_connected(self, up: bool) -> None:
        """The channel is subscribed again, or the subscription is lost."""
        self._stop_giving_up()
        if up:
            for task_id in self._waits:
                self._ask(task_id)
        elif self._patience < math.inf:
            loop = asyncio.get_running_loop()
            self._giving_up = loop.call_later(self._patience, self._give_up)

    def _give_up(self) -> None:
        for task_id in list(self._waits):
            self._settle(task_id, self._unavailable())

    def _unavailable(self) -> RedisUnavailable:
        return RedisUnavailable(f"Redis could not be reached for {self._patience:g} s")

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


async def cancel_all(waits: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them and see them end."""
    pending = [wait for wait in waits if not wait.done()]
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
