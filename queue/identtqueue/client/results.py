"""Waits for results: any number of them on one subscription.

A wait learns from a message that its task has ended. Messages can be lost: a failover may lose the
registration of the wait, a key may be evicted or deleted, a connection may be cut. So nothing
depends on messages alone: the client asks Redis again for all open waits every 30 to 50 s, and
whenever a connection was lost or opened again.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from identtqueue.errors import RedisUnavailable, TaskNotFound
from identtqueue.protocol import replies
from identtqueue.protocol.answers import Announced, Expiring
from identtqueue.protocol.calls import one_task
from identtqueue.task import Result, State
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.home import detached
from identtqueue.transport.subscriber import Subscriber

LOOK_AGAIN_SECONDS: Final = (30.0, 50.0)
"""Bounds of the random time between two looks at all open waits. A wait whose task is gone ends
within a minute, and the clients of a fleet do not all ask at the same moment."""

SPREAD_SECONDS: Final = 1.0
"""Upper bound for the random delay before a look after a change of connection. The connections of
the whole fleet may have changed, and this spreads their looks."""

LOOK_TASKS: Final = 500
"""How many tasks are asked for in one batch."""

LOOK_ONCE_SECONDS: Final = 5.0
"""Upper bound for retries of a single look. Its caller does not want to wait, so the client's
`retry_for_seconds` would be too long."""

ASKS_IN_A_ROW: Final = 3
"""Upper bound for the questions of one wait in a row, when other callers keep joining it."""

AFTER_EXPIRY_SECONDS: Final = 0.05
"""How long after a task expires its wait asks again."""

Answer = Result | Expiring | State | None


class _Wait(msgspec.Struct, eq=False):
    """The question about one task, shared by all callers that wait for it."""

    future: asyncio.Future[Result]
    users: int = 0  # callers that wait for the future
    asking: bool = False
    joined: bool = False  # another caller has joined since the last question was sent
    announced: bool = False  # the end was announced since then: the answer may be out of date
    expiry: asyncio.TimerHandle | None = None  # asks again when the task has expired


class Results:
    """The open waits of one client, for any number of results on one subscription.

    A wait subscribes first and then asks, so it can't miss a message between the two.

    Args:
        redis: runs the queries.
        subscriber: the client's shared pub/sub connection.
        channel: the client's reply channel.
        patience_seconds: how long a wait goes on while the subscription is lost. `look` retries
            for as long, but never for more than `LOOK_ONCE_SECONDS`.

    Attributes:
        channel: the client's reply channel.
        on_look: called whenever Redis is asked again for all open waits.
    """

    def __init__(
        self, redis: AsyncRedis, subscriber: Subscriber, channel: str, patience_seconds: float
    ) -> None:
        self._redis = redis
        # At least long enough for one attempt to connect.
        self._patience = max(patience_seconds, redis.settings.connect_timeout_seconds)
        self._giving_up: asyncio.TimerHandle | None = None
        self._subscriber = subscriber
        self.channel = channel
        self.on_look: Callable[[], None] = lambda: None
        self._waits: dict[str, _Wait] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._look_due = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, task_id: str) -> Result:
        """Wait until the task has ended and return how.

        Raises:
            TaskNotFound: there is no such task, or its result has expired.
            RedisError: Redis cannot be reached or refuses the question.
        """
        entry = self._waits.get(task_id)
        if entry is None:
            entry = self._waits[task_id] = _Wait(asyncio.get_running_loop().create_future())
        self._ask(task_id, entry)  # also if it joins a wait: that one may have missed the end
        self._keep_looking()
        entry.users += 1
        try:
            return await asyncio.shield(entry.future)
        finally:
            entry.users -= 1
            if entry.users == 0 and self._waits.get(task_id) is entry:
                del self._waits[task_id]
                entry.future.cancel()
                _stop(entry.expiry)

    async def look(self, task_id: str) -> Result | None:
        """Look once and return how the task ended, or None if it has not ended.

        Raises:
            TaskNotFound: there is no such task, or its result has expired.
            RedisError: Redis cannot be reached or refuses the question.
        """
        found = await self.ask(task_id, patience_seconds=min(self._patience, LOOK_ONCE_SECONDS))
        if found is None:
            raise TaskNotFound(task_id)
        return found if isinstance(found, Result) else None

    async def ask(
        self, task_id: str, channel: str = "", *, patience_seconds: float | None = None
    ) -> Answer:
        """Ask Redis for the result. A big one is fetched in a second call, among the big calls.

        Args:
            task_id: the task to ask for.
            channel: reply channel to register with the task if it has not ended; empty: none.
            patience_seconds: how long to retry; None: as long as all calls of the client.

        Returns:
            The result, or the state of a task that has not ended (`Expiring` if it will be
            cancelled unless it starts), or None if there is no such task.
        """
        call = one_task.await_result(task_id, channel)
        found = await self._redis.run(call, retry_for_seconds=patience_seconds)
        if isinstance(found, Announced):
            call = one_task.await_result(task_id, size_bytes=found.size_bytes)
            found = await self._redis.run(call, retry_for_seconds=patience_seconds)
        assert not isinstance(found, Announced)
        return found

    async def close(self) -> None:
        """Fail all open waits and stop asking."""
        self._stop_giving_up()
        if self._looking is not None:
            await cancel_all([self._looking])
        await cancel_all(self._asking)
        self.fail(RedisUnavailable("the client was closed"))

    def fail(self, error: Exception) -> None:
        """Fail all open waits, because no message will arrive any more."""
        for task_id in list(self._waits):
            self._settle(task_id, error)

    # --- one wait ---

    def _ask(self, task_id: str, entry: _Wait) -> None:
        if entry.asking:
            entry.joined = True
            return
        entry.asking = True
        task = detached(self._ask_now(task_id, entry))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask_now(self, task_id: str, entry: _Wait) -> None:
        answer: Answer | Exception = None
        for _ in range(ASKS_IN_A_ROW):
            entry.joined = entry.announced = False
            try:
                if self._subscriber.hears(self.channel):
                    answer = await self.ask(task_id, self.channel)
                else:
                    answer = await self._subscribe_and_ask(task_id)
            except Exception as error:  # noqa: BLE001 - raised in the waiting calls
                answer = error
            # A wait that joined may be for a task that was enqueued after this answer was given.
            if isinstance(answer, Result | Expiring | State) or not entry.joined:
                break
        entry.asking = False
        self._take(task_id, entry, answer)
        if entry.announced and self._waits.get(task_id) is entry:
            self._ask(task_id, entry)

    async def _subscribe_and_ask(self, task_id: str) -> Answer:
        """Ask without a channel, then subscribe, then ask with the channel.

        The first question fails if Redis can't be reached, while a subscription would wait.
        """
        found = await self.ask(task_id)
        if found is None or isinstance(found, Result):
            return found
        try:
            async with asyncio.timeout(self._patience if self._patience < math.inf else None):
                await self._subscriber.add(self.channel)
        except TimeoutError:
            raise self._unavailable() from None
        return await self.ask(task_id, self.channel)

    def _take(self, task_id: str, entry: _Wait, answer: Answer | Exception) -> None:
        """Act on an answer, if the wait that asked is still open."""
        if self._waits.get(task_id) is not entry:
            return
        if answer is None:
            self._settle(task_id, TaskNotFound(task_id))
        elif isinstance(answer, Expiring):  # the first question after that time ends the task
            _stop(entry.expiry)
            entry.expiry = asyncio.get_running_loop().call_later(
                answer.expires_in_ms / 1000 + AFTER_EXPIRY_SECONDS, self._ask, task_id, entry
            )
        elif not isinstance(answer, State):
            self._settle(task_id, answer)

    def _settle(self, task_id: str, result: Result | Exception) -> None:
        entry = self._waits.pop(task_id, None)
        if entry is None:
            return
        _stop(entry.expiry)
        if entry.future.done():
            return
        if isinstance(result, Result):
            entry.future.set_result(result)
        else:
            entry.future.set_exception(result)

    # --- all waits ---

    def look_again(self) -> None:
        """Ask again for all open waits."""
        self._look_due.set()

    def look_again_soon(self) -> None:
        """Ask again for all open waits after a random delay, because other clients ask as well."""
        if self._waits:
            pause = random.uniform(0, SPREAD_SECONDS)
            asyncio.get_running_loop().call_later(pause, self._look_due.set)

    def _keep_looking(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = detached(self._look_now_and_then(), "look at open waits")

    async def _look_now_and_then(self) -> None:
        """Ask for all open waits again and again, until there are none."""
        self._look_due.clear()
        while self._waits:
            try:
                async with asyncio.timeout(random.uniform(*LOOK_AGAIN_SECONDS)):
                    await self._look_due.wait()
            except TimeoutError:
                pass
            self._look_due.clear()
            if self._subscriber.hears(self.channel):  # else a look follows the new subscription
                self.on_look()
                await self._ask_all()

    async def _ask_all(self) -> None:
        entries = list(self._waits.items())
        for start in range(0, len(entries), LOOK_TASKS):
            asked = [
                (task_id, entry)
                for task_id, entry in entries[start : start + LOOK_TASKS]
                if self._waits.get(task_id) is entry and not entry.asking
            ]
            answers = await self._redis.run_each(
                [one_task.await_result(task_id, self.channel) for task_id, _ in asked],
                retry_for_seconds=self._patience,
            )
            for (task_id, entry), answer in zip(asked, answers, strict=True):
                if isinstance(answer, Announced):
                    self._ask(task_id, entry)
                elif not entry.asking:  # else another caller has joined and asks anew
                    self._take(task_id, entry, answer)

    # --- the subscription ---

    def on_message(self, message: bytes) -> None:
        """Act on a message from the reply channel."""
        task_id, result = replies.parse_reply(message)
        entry = self._waits.get(task_id)
        if entry is None:
            return
        if result is None:  # the message does not contain it: read it from Redis
            entry.announced = True
            self._ask(task_id, entry)
        else:
            self._settle(task_id, result)

    def on_connected(self, up: bool) -> None:
        """Note that the channel is subscribed (`up`), or that the subscription is lost."""
        self._stop_giving_up()
        if up:
            self.look_again()
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


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


async def cancel_all(waits: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel the waits that have not ended, and wait until all have."""
    pending = [wait for wait in waits if not wait.done()]
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
