"""Waiting of an idle worker: BLPOP on the `wake` lists of its queues.

A single server takes all queues in one BLPOP. In a cluster each queue has a slot of its own, and a
call that names two is refused. So there is one connection for each queue, and the first one that
gets a token wakes the worker. The others keep blocking. If one of them gets a token while the
worker is busy, that is reported at once, because the token was meant to make some worker look.

Such a connection is called a bell here, and a token rings it. The operator's doorbell is something
else: a pub/sub channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from identtqueue.protocol.calls import claiming
from identtqueue.transport.address import Topology
from identtqueue.transport.blocked import BlockedConnection
from identtqueue.transport.settings import RedisSettings


class Bells:
    """All bells of one worker: one for all its queues, or in a cluster one for each.

    Args:
        settings: how to reach Redis.
        on_late: called with the name of a queue whose token arrived while the worker was busy.
    """

    def __init__(self, settings: RedisSettings, *, on_late: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_late = on_late
        self._one_each = settings.topology is Topology.CLUSTER
        self._bells: dict[str, _Bell] = {}
        self._blocked: dict[str, asyncio.Task[str | None]] = {}
        self._waiting = False

    async def wait(self, queues: Sequence[str], seconds: float) -> list[str]:
        """Sleep until one of the queues has a wake token, or the time is over.

        Args:
            queues: names of the queues to wait for.
            seconds: longest time to sleep.

        Returns:
            The queues whose token was taken; empty after the full time.

        Raises:
            RedisUnavailable, RedisError: Redis cannot be reached, or refused the call. Call `drop`
                before the next wait.
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
        """Stop blocking, and close all connections. The next wait opens new ones."""
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
        """Report a token that was taken while the worker was busy."""
        if self._waiting or self._blocked.get(queue) is not task:
            return
        del self._blocked[queue]
        if not task.cancelled() and task.exception() is None and task.result() is not None:
            self._on_late(queue)


class _Bell:
    """One connection that blocks in BLPOP. It opens at the first wait."""

    def __init__(self, settings: RedisSettings) -> None:
        self._connection = BlockedConnection(settings, "identtqueue-fetch")

    async def ring(self, queues: Sequence[str], seconds: float) -> str | None:
        """Wait for a token; return its queue, or None when the time is over."""
        return await self._connection.run(claiming.block_for_work(queues, seconds), seconds)

    async def drop(self) -> None:
        """Close the connection. A token in transit is lost, which delays a task by one block."""
        await self._connection.drop()
