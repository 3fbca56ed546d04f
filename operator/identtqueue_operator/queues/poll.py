"""The poll of one Redis: it reads the depths of all queues, and finds what no doorbell rang for.

Every queue is asked for its depth every few seconds, all of them in one round trip. The poll wakes
the listeners of a queue whose numbers have moved: a ring was missed, or the change does not ring. A
queue that has work is looked at by its reconciler anyway.

The poll also finds out whether Redis can be reached, and reports that to `Health`.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from identtqueue.admin import Admin, QueueDepth
from identtqueue.errors import IdenttqueueError, RedisProtocolError
from identtqueue_operator.backoff import pause_after
from identtqueue_operator.queues.health import Health
from identtqueue_operator.queues.listeners import Listeners
from identtqueue_operator.queues.redis_errors import concerns_all

BATCH = 200
"""Queues per round trip; keeps Redis and the event loop responsive."""
TICK_SECONDS = 0.5
"""Granularity of the poll."""
RECONNECT_SECONDS = (0.25, 1.0)
"""First and longest pause between attempts to reach Redis again."""
LONG_OUTAGE_SECONDS = 60.0
"""After so long an outage, attempts become rarer."""
LONG_OUTAGE_PAUSE_SECONDS = 5.0
"""The longest pause between attempts then."""
STRANGER_PAUSE_SECONDS = 30.0
"""The longest pause where the server that answers is not Redis, or sends too much."""


class _Numbers(NamedTuple):
    """The numbers of a queue that matter to scaling. The defaults are those of an empty queue."""

    queued: int = 0
    held: int = 0
    in_flight: int = 0
    scheduled: int = 0
    dead: int = 0
    paused: bool = False

    @staticmethod
    def of(depth: QueueDepth) -> "_Numbers":
        return _Numbers(
            depth.queued, depth.held, depth.in_flight, depth.scheduled, depth.dead, depth.paused
        )


_EMPTY = _Numbers()


@dataclass(slots=True)
class _Queue:
    """A queue that is polled."""

    due_at: float
    numbers: _Numbers = _EMPTY
    """As last read. A queue that is empty at the first poll wakes nobody."""
    refused: bool = False
    """Redis refuses to show the queue. The poll leaves it out, so that it does not spoil the look
    at the others; the rounds of its TaskQueues report it and notice when that is over."""


class Poll:
    """The regular look at all queues of one Redis that have listeners.

    Args:
        admin: asks Redis.
        listeners: are woken where numbers have moved.
        health: takes in whether Redis answers.
    """

    def __init__(self, admin: Admin, listeners: Listeners, health: Health) -> None:
        self.tried = asyncio.Event()
        """Set once it is known whether Redis answers."""
        self._admin = admin
        self._listeners = listeners
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._queues: dict[str, _Queue] = {}

    def add(self, queue: str) -> None:
        """Begin to poll a queue. The first looks of many queues are spread over their period."""
        period_seconds = self._listeners.period_seconds(queue)
        self._queues[queue] = _Queue(self._loop.time() + random.random() * period_seconds)

    def remove(self, queue: str) -> None:
        """Stop polling a queue."""
        del self._queues[queue]

    def includes(self, queue: str) -> bool:
        """Return whether a queue is polled. It is not while Redis refuses to show it."""
        return queue in self._queues and not self._queues[queue].refused

    def include(self, queues: Iterable[str]) -> None:
        """Poll queues again that Redis has refused to show."""
        for queue in queues:
            self._queues[queue].refused = False

    async def run(self) -> None:
        """Poll without end."""
        failures = 0
        reached = False
        while True:
            try:
                if not reached or self._health.in_trouble:
                    await self._reach()
                    reached = True
                await self._look_at_due()
                failures = 0
                self.tried.set()
                await asyncio.sleep(TICK_SECONDS)
            except Exception as problem:  # noqa: BLE001 - reported, and logged
                error = self._health.translate(problem, "poll")
                self._health.failed(error)
                self.tried.set()
                failures += 1
                await asyncio.sleep(pause_after(failures, self._pauses(error)))

    async def _reach(self) -> None:
        """See whether Redis answers.

        A look at the queues is part of it: a server that says hello and is loading its data, or
        takes no writes, is no help.
        """
        server = await self._admin.server()
        await self._look(list(self._queues))
        self._health.reached(server.uptime_seconds)

    def _pauses(self, error: IdenttqueueError) -> tuple[float, float]:
        """Return the first and longest pause before the next attempt, after this failure."""
        first, longest = RECONNECT_SECONDS
        if isinstance(error, RedisProtocolError):
            return first, STRANGER_PAUSE_SECONDS
        if self._health.outage_seconds < LONG_OUTAGE_SECONDS:
            return first, longest
        return first, LONG_OUTAGE_PAUSE_SECONDS

    # --- a look at queues ---

    async def _look_at_due(self) -> None:
        now = self._loop.time()
        await self._look([name for name, queue in self._queues.items() if queue.due_at <= now])

    async def _look(self, names: Iterable[str]) -> None:
        shown = [name for name in names if self.includes(name)]
        for start in range(0, len(shown), BATCH):
            await self._look_at(shown[start : start + BATCH])

    async def _look_at(self, names: Sequence[str]) -> None:
        """Wake listeners where the numbers moved. If Redis refuses, find out for which queues.

        Raises:
            IdenttqueueError: it concerns every TaskQueue here.
        """
        try:
            depths = await self._admin.depths(names)
        except IdenttqueueError as error:
            if concerns_all(error):
                raise
            await self._admin.server()  # or is the login refused?
            if len(names) > 1:
                await asyncio.gather(*(self._look_at([name]) for name in names))
            elif names[0] in self._queues:
                self._queues[names[0]].refused = True
                self._listeners.ring(names[0])
            return
        now = self._loop.time()
        for name, depth in depths.items():
            queue = self._queues.get(name)
            if queue is None:
                continue  # removed while the answer was under way
            queue.due_at = now + self._listeners.period_seconds(name)
            numbers = _Numbers.of(depth)
            if numbers != queue.numbers:
                queue.numbers = numbers
                self._listeners.ring(name)
