"""The bridge between services that run identtqueue 0.2 and those that run today's release.

::

    Bridge(["mrz"], "redis://redis").run()                # old clients, new workers
    Bridge(["mrz"], "redis://redis", to_old=True).run()   # new clients, old workers

`identtqueue bridge` runs one. `docs/moving/from-0.2.md` says when to use which.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from identtqueue.checks import check_count, check_duration
from identtqueue.client.client import Client
from identtqueue.errors import InvalidInput, RedisError, RedisFull
from identtqueue.protocol.calls import bridge
from identtqueue.transport.address import Topology
from identtqueue.transport.blocked import BlockedConnection
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from identtqueue.v02.adoption import Adoption
from identtqueue.v02.forwarding import Forwarding, Patience
from identtqueue.v02.names import BridgedQueue
from identtqueue.v02.patience import patiently
from identtqueue.worker.worker import Worker

logger = logging.getLogger(__name__)

FOR_EVER: Final = float("inf")
HOLD_SECONDS: Final = 5.0
"""Interval at which a bridge renews the direction of its queues. It is kept three times as long."""

TO_NEW: Final = "to new"
TO_OLD: Final = "to old"


class WrongDirection(RedisError):
    """Another bridge moves the tasks of the queue in the other direction."""

    def __init__(self, queue: str, held: str) -> None:
        super().__init__(
            f"queue {queue}: a bridge moves its tasks {held}. Two directions would be a circle: "
            "end that bridge, wait 15 s, then start this one"
        )


class Bridge:
    """A bridge for some queues, in one direction. Any number may run.

    Args:
        queues: names of the queues. `OLD=NEW` if a queue had another name in 0.2.
        redis_address: address or settings of Redis, which both releases share. No cluster: 0.2
            does not know clusters.
        to_old: False: requests of 0.2 become tasks. True: tasks are run by workers of 0.2.
        ttl_seconds: how long a client of 0.2 can read its results and statuses.
        concurrency: how many tasks are with workers of 0.2 at the same time, waiting or running.
        max_retries: how often a task that fails there runs again, unless the task says itself.
        answer_seconds: how long a worker of 0.2 may take for a task that it has begun. Then the
            task is sent to another one. Set it longer than `job_execution_timeout` there.
        max_deliveries: how often a task is sent, if workers of 0.2 lose it.

    Raises:
        InvalidInput: a name or a setting breaks a rule.
    """

    def __init__(
        self,
        queues: Sequence[str],
        redis_address: str | RedisSettings | None = None,
        *,
        to_old: bool = False,
        ttl_seconds: float = 86_400,
        concurrency: int = 100,
        max_retries: int = 0,
        answer_seconds: float = 120.0,
        max_deliveries: int = 5,
    ) -> None:
        self._queues = [BridgedQueue.parse(text) for text in queues]
        if not self._queues:
            raise InvalidInput("a bridge needs a queue")
        for names in ([q.old for q in self._queues], [q.name for q in self._queues]):
            if len(set(names)) < len(names):
                raise InvalidInput(f"a queue is named twice: {', '.join(names)}")
        check_duration("ttl_seconds", ttl_seconds)
        check_duration("answer_seconds", answer_seconds)
        check_count("max_deliveries", max_deliveries)
        check_count("concurrency", concurrency)
        self._settings = RedisSettings.of(redis_address)
        if self._settings.topology is Topology.CLUSTER:
            raise InvalidInput(
                "a bridge needs the Redis that identtqueue 0.2 uses, and 0.2 does not know clusters"
            )
        self._to_old = to_old
        self._ttl_seconds = ttl_seconds
        self._patience = Patience(answer_seconds, max_deliveries)
        self._concurrency = concurrency
        self._max_retries = max_retries
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Move tasks until SIGTERM or SIGINT.

        Raises:
            RedisError: at the start, if Redis refuses the connection. Later the bridge waits.
            WrongDirection: another bridge moves the tasks of a queue in the other direction.
        """
        asyncio.run(self._run_with_signals())

    async def _run_with_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self.serve()

    def stop(self) -> None:
        """End the bridge. What it has begun stays in Redis, for the next one."""
        self._stop.set()

    async def serve(self) -> None:
        """Move tasks until `stop`, in the running event loop.

        Raises:
            RedisError, WrongDirection: see `run`.
        """
        redis = async_redis(
            self._settings, client_name="identtqueue-bridge", retry_for_seconds=FOR_EVER
        )
        try:
            await redis.connect()
            await self._hold(redis)
            work = self._forward(redis) if self._to_old else self._adopt(redis)
            await self._until_stopped([work, self._keep_holding(redis)])
        finally:
            await redis.close()

    async def _until_stopped(self, work: Iterable[Awaitable[None]]) -> None:
        """Run until `stop`, or until one of the coroutines ends, which is an error."""
        running = [asyncio.ensure_future(each) for each in (*work, self._stop.wait())]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    # --- the direction ---

    async def _hold(self, redis: AsyncRedis) -> None:
        direction = TO_OLD if self._to_old else TO_NEW
        for queue in self._queues:
            call = bridge.hold(queue.keys, direction, round(3 * HOLD_SECONDS * 1000))
            if (held := await redis.run(call)) != "ok":
                raise WrongDirection(queue.name, held)

    async def _keep_holding(self, redis: AsyncRedis) -> None:
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            try:
                await self._hold(redis)
            except RedisFull as error:
                logger.warning("the direction can't be renewed yet: %s", error)

    # --- from 0.2 to today ---

    async def _adopt(self, redis: AsyncRedis) -> None:
        async with contextlib.AsyncExitStack() as stack:
            client = Client(self._settings, retry_for_seconds=FOR_EVER)
            stack.push_async_callback(client.close)
            steps = []
            for queue in self._queues:
                bell = BlockedConnection(self._settings, "identtqueue-bridge-bell")
                adoption = Adoption(queue, redis, client, bell, self._ttl_seconds)
                stack.push_async_callback(adoption.close)
                steps += [adoption.move, adoption.look, adoption.mirror, adoption.report]
                logger.info(
                    "%s: requests of 0.2 in the list %r become tasks", queue.name, queue.old
                )
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    group.create_task(_again_and_again(step))

    # --- from today to 0.2 ---

    async def _forward(self, redis: AsyncRedis) -> None:
        queues = {queue.name: queue for queue in self._queues}
        worker = Worker(
            Forwarding(queues, redis, self._patience),
            self._settings,
            queue_names=list(queues),
            concurrency=self._concurrency,
            max_retries=self._max_retries,
            max_payload_bytes=512 * 1024 * 1024,
            grace_seconds=0,
        )
        for queue in self._queues:
            logger.info("%s: tasks go to workers of 0.2 by the list %r", queue.name, queue.old)
        serving = asyncio.ensure_future(worker.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            worker.stop()
            await serving
            raise


async def _again_and_again(step: Callable[[], Awaitable[None]]) -> None:
    """Repeat a step for ever."""
    while True:
        await patiently(step)
