"""What an idle worker sleeps on: BLPOP on its queues' `wake` lists.

One server takes all queues in one call. In a cluster each queue is a slot of its own, and a call
that names two is refused; so there is a connection for each queue, and the first that rings wakes
us. The others go on blocking. One that takes a token while we are busy tells at once: somebody has
to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio.connection import AbstractConnection

from identtqueue.errors import RedisError
from identtqueue.protocol import commands
from identtqueue.protocol.keys import queue_keys
from identtqueue.transport import wire
from identtqueue.transport.address import Topology
from identtqueue.transport.aio import open_connection
from identtqueue.transport.link import hang_up
from identtqueue.transport.settings import RedisSettings


class Bells:
    """All bells of one worker.

    Args:
        settings: where Redis is.
        on_late: told a queue whose token came while nobody waited.
    """

    def __init__(self, settings: RedisSettings, *, on_late: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_late = on_late
        self._one_each = settings.topology is Topology.CLUSTER
        self._bells: dict[str, _Bell] = {}
        self._blocked: dict[str, asyncio.Task[str | None]] = {}
        self._waiting = False

    async def wait(self, queues: Sequence[str], seconds: float) -> list[str]:
        """Sleep until one of the queues rings, or for so long; gives those that rang.

        Raises:
            RedisUnavailable, RedisError: it is not to be had; `drop` before the next wait.
        """
        if not self._one_each or len(queues) == 1:
            rung = await self._bell(queues[0] if self._one_each else "").ring(queues, seconds)
            return [] if rung is None else [rung]
        for queue in queues:
            if queue not in self._blocked:
                self._blocked[queue] = self._block(queue, seconds)
        self._waiting = True
        try:
            done, _ = await asyncio.wait(
                self._blocked.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._waiting = False
        self._blocked = {q: task for q, task in self._blocked.items() if task not in done}
        answers = [task.result() for task in done]
        return [queue for queue in answers if queue is not None]

    async def drop(self) -> None:
        """Stop blocking, and close all connections."""
        blocked, self._blocked = list(self._blocked.values()), {}
        for task in blocked:
            task.cancel()
        await asyncio.gather(*blocked, return_exceptions=True)
        bells, self._bells = list(self._bells.values()), {}
        for bell in bells:
            await bell.drop()

    def _bell(self, name: str) -> _Bell:
        bell = self._bells.get(name)
        if bell is None:
            bell = self._bells[name] = _Bell(self._settings)
        return bell

    def _block(self, queue: str, seconds: float) -> asyncio.Task[str | None]:
        ring = self._bell(queue).ring([queue], seconds)
        task = asyncio.get_running_loop().create_task(ring, name=f"bell {queue}")
        task.add_done_callback(lambda done: self._ended(queue, done))
        return task

    def _ended(self, queue: str, task: asyncio.Task[str | None]) -> None:
        if self._waiting or self._blocked.get(queue) is not task:
            return
        del self._blocked[queue]
        if not task.cancelled() and task.exception() is None and task.result() is not None:
            self._on_late(queue)


class _Bell:
    """One connection that blocks."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._connection: AbstractConnection | None = None

    async def ring(self, queues: Sequence[str], seconds: float) -> str | None:
        """The queue that rang, or None after so long."""
        if self._connection is None:
            self._connection = await open_connection(
                self._settings, "identtqueue-fetch", key=queue_keys(queues[0]).wake
            )
        connection, call = self._connection, commands.block_for_work(queues, seconds)
        try:
            await connection.send_command(*wire.words(call), check_health=False)
            async with asyncio.timeout(seconds + self._settings.response_timeout_seconds):
                reply = await connection.read_response(disconnect_on_error=False)
        except Exception as error:  # translated
            await self.drop()
            if isinstance(error, RedisError):
                raise
            wire.fail(error)
        return wire.parse(call, reply)

    async def drop(self) -> None:
        """Close the connection; a token that was on its way is lost, which costs one block."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)
