"""One Redis endpoint: the shared connection, the push channel and the safety poll.

All TaskQueues with the same address and credentials share one `Endpoint`: one connection for
commands (pipelined by itself), one for the doorbell. It rings a
TaskQueue when there is something to look at:

* the doorbell: the first task of an empty queue is published; heard within a millisecond;
* the poll: every queue is asked for its depth every few seconds, all of them in one round trip; it
  rings where the numbers moved. This is for the ring that was missed, and for what does not ring.
  A queue that has work is looked at by its reconciler anyway (the hot mode);
* every (re)connection, and every loss of it: all queues ring.

It also keeps the account of outages that `evidence` needs: for how long Redis was reachable, and
up, without a break.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from identtqueue.admin import Admin, QueueDepth, RedisSettings
from identtqueue.errors import (
    IdenttqueueError,
    RedisAuthFailed,
    RedisFull,
    RedisTlsFailed,
    RedisTopologyMismatch,
    RedisUnavailable,
)

from .model import Key, Source, SourceTrouble

logger = logging.getLogger(__name__)

POLL_BATCH = 200
"""Queues per poll round trip; keeps Redis and the event loop responsive."""
TICK_SECONDS = 0.5
"""Granularity of the poll."""
RECONNECT_SECONDS = (0.25, 1.0)
"""First and longest pause between attempts to reach Redis again."""

Ring = Callable[[], None]


@dataclass(slots=True)
class _Queue:
    """A queue that is listened to and polled."""

    due_at: float
    listeners: dict[Key, tuple[float, Ring]] = field(default_factory=dict)
    """Per TaskQueue: its poll period, and how to ring it."""
    fingerprint: tuple[int, ...] = (0, 0, 0, 0, 0)
    """As of an empty queue: one that is empty at the first poll gives no reason to ring."""

    @property
    def period_seconds(self) -> float:
        return min(period for period, _ in self.listeners.values())

    def ring(self) -> None:
        for _, ring in self.listeners.values():
            ring()


@dataclass(slots=True)
class _Health:
    """Whether Redis answers, and since when; on the loop's clock."""

    trouble: SourceTrouble | None = None
    message: str = ""
    since: float = float("-inf")
    """Of the trouble; without one, of the time that Redis was reachable and up without a break."""


class Endpoint:
    """Commands, doorbell and poll of one Redis, shared by the TaskQueues that name it."""

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.admin = Admin(settings, retry_for_seconds=0)
        self._loop = asyncio.get_running_loop()
        self._health = _Health()
        self._deaf: IdenttqueueError | None = None
        self._queues: dict[str, _Queue] = {}
        self._names: dict[Key, tuple[str, ...]] = {}
        self._changes: asyncio.Queue[str] = asyncio.Queue()
        self._doorbell = self.admin.doorbell(self._rung, self._connected)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen and to poll. An unreachable Redis is not an error."""
        name = self.settings.safe_address
        self._doorbell.start()
        self._tasks = [
            self._loop.create_task(self._poll(), name=f"poll {name}"),
            self._loop.create_task(self._subscribe(), name=f"subscribe {name}"),
        ]

    async def close(self) -> None:
        """Stop; the connections are closed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._doorbell.close()
        await self.admin.close()

    def listen(self, owner: Key, queues: Iterable[str], period_seconds: float, ring: Ring) -> None:
        """Ring a TaskQueue whenever there is something to look at in one of these queues.

        Again for the same owner: it may be with other queues or another period.
        """
        names = tuple(queues)
        if self._names.get(owner, names) != names:
            self.forget(owner)
        self._names[owner] = names
        for name in names:
            if name not in self._queues:
                # The first looks of many queues are spread over the period.
                first = self._loop.time() + random.random() * period_seconds
                self._queues[name] = _Queue(first)
                self._changes.put_nowait(name)
            self._queues[name].listeners[owner] = (period_seconds, ring)

    def forget(self, owner: Key) -> None:
        """Stop ringing a TaskQueue."""
        for name in self._names.pop(owner, ()):
            queue = self._queues[name]
            del queue.listeners[owner]
            if not queue.listeners:
                del self._queues[name]
                self._changes.put_nowait(name)

    @property
    def idle(self) -> bool:
        """Whether nobody listens any more."""
        return not self._queues

    # --- health ---

    @property
    def source(self) -> Source:
        """The state of the connection, as one round takes it in."""
        health, now = self._health, self._loop.time()
        if health.trouble is None:
            return Source(trusted_seconds=now - health.since)
        return Source(health.trouble, health.message, now - health.since, trusted_seconds=0.0)

    def failed(self, error: IdenttqueueError) -> None:
        """A command failed: there is trouble until the poll reaches Redis again."""
        trouble, before = trouble_of(error), self._health
        since = self._loop.time() if before.trouble is None else before.since
        message = f"{self.settings.safe_address}: {error}"
        self._health = _Health(trouble, message, since)
        if before.trouble != trouble:
            logger.warning("%s: %s", trouble, message)
            self._ring_all()

    async def _reach(self) -> None:
        """See whether Redis answers, and note since when it can be trusted.

        A look at a queue is part of it: a server that says hello and refuses the rest is no help.
        So is the doorbell: polling alone would hide that an ACL forbids it.
        """
        if self._deaf is not None:
            raise self._deaf
        server = await self.admin.server()
        await self.admin.depths(list(self._queues)[:1])
        now = self._loop.time()
        if self._health.trouble is None:
            self._health = _Health(since=now - server.uptime_seconds)
            return
        logger.info("redis reachable again: %s", self.settings.safe_address)
        self._health = _Health(since=now)
        self._ring_all()

    # --- the doorbell ---

    def _rung(self, queue: str) -> None:
        known = self._queues.get(queue)
        if known is not None:
            known.ring()

    def _connected(self, connected: bool) -> None:
        # A ring may be missed while the connection is away, so look now. A lost connection is not
        # yet trouble: whether Redis answers, the look itself finds out.
        if not connected and self._health.trouble is None:
            self._health = _Health(since=self._loop.time())
        self._ring_all()

    def _ring_all(self) -> None:
        for queue in self._queues.values():
            queue.ring()

    async def _subscribe(self) -> None:
        """Tell the doorbell which queues came and went."""
        while True:
            names = {await self._changes.get()}
            while not self._changes.empty():
                names.add(self._changes.get_nowait())
            gone = [name for name in names if name not in self._queues]
            come = [name for name in names if name in self._queues]
            await self._doorbell.remove(*gone)
            if come and not await self._hears(come):
                await asyncio.sleep(RECONNECT_SECONDS[1])
                continue
            # What was enqueued before the subscription held did not ring.
            for name in come:
                if name in self._queues:
                    self._queues[name].ring()

    async def _hears(self, names: Sequence[str]) -> bool:
        """Listen to these queues; if Redis refuses that, it is tried again."""
        try:
            await self._doorbell.add(*names)
        except IdenttqueueError as error:
            self._deaf = error
            self.failed(error)
            for name in names:
                self._changes.put_nowait(name)
        else:
            self._deaf = None
        return self._deaf is None

    # --- the poll ---

    async def _poll(self) -> None:
        pause = RECONNECT_SECONDS[0]
        reached = False
        while True:
            try:
                if not reached or self._health.trouble is not None:
                    await self._reach()
                    reached = True
                await self._poll_due()
                pause = RECONNECT_SECONDS[0]
                await asyncio.sleep(TICK_SECONDS)
            except IdenttqueueError as error:
                self.failed(error)
                await asyncio.sleep(pause * (0.75 + random.random() / 2))
                pause = min(pause * 2, RECONNECT_SECONDS[1])

    async def _poll_due(self) -> None:
        now = self._loop.time()
        due = [name for name, queue in self._queues.items() if queue.due_at <= now]
        for start in range(0, len(due), POLL_BATCH):
            await self._poll_batch(due[start : start + POLL_BATCH])

    async def _poll_batch(self, names: Sequence[str]) -> None:
        depths = await self.admin.depths(names)
        now = self._loop.time()
        for name, depth in depths.items():
            queue = self._queues.get(name)
            if queue is None:
                continue  # removed while the answer was under way
            queue.due_at = now + queue.period_seconds
            fingerprint = _fingerprint(depth)
            if fingerprint != queue.fingerprint:
                queue.fingerprint = fingerprint
                queue.ring()


def _fingerprint(depth: QueueDepth) -> tuple[int, ...]:
    """What of a queue matters to scaling, so that a queue at rest stays at rest."""
    counts = (depth.queued, depth.held, depth.in_flight, depth.scheduled, depth.dead)
    return (*counts, int(depth.paused))


_TROUBLES = (
    (RedisAuthFailed, SourceTrouble.AUTH_FAILED),
    (RedisTlsFailed, SourceTrouble.TLS_FAILED),
    (RedisTopologyMismatch, SourceTrouble.TOPOLOGY_MISMATCH),
    (RedisUnavailable, SourceTrouble.UNREACHABLE),
    (RedisFull, SourceTrouble.FULL),
)


def trouble_of(error: IdenttqueueError) -> SourceTrouble:
    """The condition's reason for an error of the library."""
    fits = (trouble for kind, trouble in _TROUBLES if isinstance(error, kind))
    return next(fits, SourceTrouble.INCOMPATIBLE)
