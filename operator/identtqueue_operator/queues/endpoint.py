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

Trouble is the endpoint's, and so every TaskQueue's, when Redis can't be reached or refuses the
login. What it refuses of one queue (an ACL that lacks its keys or its channel, a key of another
type) is the trouble of the TaskQueues with that queue, and nobody else notices.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from identtqueue.admin import Admin, Doorbell, QueueDepth, RedisSettings
from identtqueue.errors import (
    IdenttqueueError,
    RedisAddressRefused,
    RedisAuthFailed,
    RedisFull,
    RedisProtocolError,
    RedisTlsFailed,
    RedisTooOld,
    RedisTopologyMismatch,
    RedisUnavailable,
)
from identtqueue_operator.backoff import pause_after
from identtqueue_operator.model import Source, SourceTrouble
from identtqueue_operator.queues.gate import Gate, Lanes, LateGate
from identtqueue_operator.queues.redis_errors import explain

logger = logging.getLogger(__name__)

POLL_BATCH = 200
"""Queues per poll round trip; keeps Redis and the event loop responsive."""
TICK_SECONDS = 0.5
"""Granularity of the poll."""
RECONNECT_SECONDS = (0.25, 1.0)
"""First and longest pause between attempts to reach Redis again."""
TIRED_SECONDS = 5.0
"""The longest pause once Redis has been away for `PATIENT_SECONDS`."""
PATIENT_SECONDS = 60.0
STRANGER_SECONDS = 30.0
"""The longest pause where what answers is no Redis, or says too much."""

DEAF_SECONDS = 5.0
"""A doorbell that Redis refuses is tried again after so long."""

Ring = Callable[[], None]


@dataclass(slots=True)
class _Queue:
    """A queue that is listened to and polled."""

    due_at: float
    listeners: dict[str, tuple[float, Ring]] = field(default_factory=dict)
    """Per TaskQueue, by UID: its poll period, and how to ring it."""
    fingerprint: tuple[int, ...] = (0, 0, 0, 0, 0)
    """As of an empty queue: one that is empty at the first poll gives no reason to ring."""
    deaf: IdenttqueueError | None = None
    """Why its doorbell can't be heard."""
    refused: bool = False
    """The poll was refused. It leaves the queue to the rounds of its TaskQueues, which tell, and
    does without it, so that it does not spoil the look at the others."""

    @property
    def period_seconds(self) -> float:
        return min(period for period, _ in self.listeners.values())

    def ring(self) -> None:
        for _, ring in self.listeners.values():
            ring()


@dataclass(slots=True)
class _Health:
    """Whether Redis answers, all or one TaskQueue, and since when; on the loop's clock."""

    trouble: SourceTrouble | None = None
    message: str = ""
    since: float = float("-inf")
    """Of the trouble; without one, of the time that Redis was reachable and up without a break."""


class Endpoint:
    """Commands, doorbell and poll of one Redis, shared by the TaskQueues that name it."""

    def __init__(self, settings: RedisSettings, gate: Gate | None = None) -> None:
        gate = gate or Lanes().gate(settings.topology)
        self.settings = settings
        self.admin = Admin(replace(settings, gate=gate), retry_for_seconds=0)
        self.tried = asyncio.Event()
        """Whether it is known if Redis answers."""
        self._healthy = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._health = _Health(since=self._loop.time())  # the first look says since when really
        self._healths: dict[str, _Health] = {}
        self._queues: dict[str, _Queue] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._changes: asyncio.Queue[str] = asyncio.Queue()
        # It would knock at a door that is closed, and the poll does so already.
        late = replace(settings, gate=LateGate(self._healthy, gate))
        self._doorbell = Doorbell(late, self._rung, self._connected)
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

    def listen(self, owner: str, queues: Iterable[str], period_seconds: float, ring: Ring) -> None:
        """Ring a TaskQueue whenever there is something to look at in one of these queues.

        Again for the same owner: it may be with other queues or another period.

        Args:
            owner: UID of the TaskQueue. Not its name: one that is made anew listens before the old
                one has stopped.
            queues: their names.
            period_seconds: of the poll.
            ring: called without an argument.
        """
        names = tuple(queues)
        if self._names.get(owner, names) != names:
            self._leave(owner)
        self._names[owner] = names
        for name in names:
            if name not in self._queues:
                # The first looks of many queues are spread over the period.
                first = self._loop.time() + random.random() * period_seconds
                self._queues[name] = _Queue(first)
                self._changes.put_nowait(name)
            self._queues[name].listeners[owner] = (period_seconds, ring)

    def forget(self, owner: str) -> None:
        """Stop ringing a TaskQueue."""
        self._healths.pop(owner, None)
        self._leave(owner)

    def _leave(self, owner: str) -> None:
        for name in self._names.pop(owner, ()):
            queue = self._queues[name]
            del queue.listeners[owner]
            if not queue.listeners:
                del self._queues[name]
                self._changes.put_nowait(name)

    @property
    def idle(self) -> bool:
        """Whether it has no listener left."""
        return not self._queues

    # --- health ---

    @property
    def in_trouble(self) -> bool:
        """Whether no TaskQueue can be served; the poll finds out when that is over, and rings."""
        return self._health.trouble is not None

    def source(self, owner: str) -> Source:
        """Return the state of the connection, as one round of a TaskQueue takes it in."""
        shared, own, now = self._health, self._healths.get(owner, _Health()), self._loop.time()
        worse = own if shared.trouble is None else shared
        if worse.trouble is None:
            return Source(trusted_seconds=now - max(shared.since, own.since))
        return Source(worse.trouble, worse.message, now - worse.since, trusted_seconds=0.0)

    def hears(self, owner: str) -> bool:
        """Return whether all doorbells of the TaskQueue can be heard; if not, that is its trouble.

        Polling alone would hide it, and be slower.
        """
        for name in self._names.get(owner, ()):
            deaf = self._queues[name].deaf
            if deaf is not None:
                self._blame(owner, deaf)
                return False
        return True

    def failed(self, error: IdenttqueueError, owner: str | None = None) -> None:
        """Note that a command failed, which is the trouble of all TaskQueues or of this one."""
        if _is_shared(error):
            self._fail(error)
        elif owner is not None:
            self._blame(owner, error)

    def answered(self, owner: str) -> None:
        """Note that a round of the TaskQueue got all it asked for."""
        if self._healths.get(owner, _Health()).trouble is not None:
            self.distrust(owner)
        for name in self._names.get(owner, ()):
            self._queues[name].refused = False

    def distrust(self, owner: str) -> None:
        """Note that the TaskQueue has had trouble until now, here or at another endpoint.

        Its workers may have had it too, and could not renew their leases.
        """
        self._healths[owner] = _Health(since=self._loop.time())

    def _fail(self, error: IdenttqueueError) -> None:
        """Note trouble for all, until the poll reaches Redis again."""
        self._healthy.clear()
        before, self._health = self._health, self._after(self._health, error)
        if before.trouble != self._health.trouble:
            self._ring_all()

    def _blame(self, owner: str, error: IdenttqueueError) -> None:
        self._healths[owner] = self._after(self._healths.get(owner, _Health()), error)

    def _after(self, before: _Health, error: IdenttqueueError) -> _Health:
        trouble = trouble_of(error)
        since = self._loop.time() if before.trouble is None else before.since
        message = f"{self.settings.safe_address}: {explain(error)}"
        if before.trouble != trouble:
            # The log has what was answered, the status has not: see `redis_errors`.
            logger.warning("%s: %s: %s", trouble, self.settings.safe_address, error)
        return _Health(trouble, message, since)

    async def _reach(self) -> None:
        """See whether Redis answers, and note since when it can be trusted.

        A look at the queues is part of it: a server that says hello and is loading its data, or
        takes no writes, is no help.
        """
        server = await self.admin.server()
        await self._look(list(self._queues))
        self._healthy.set()
        now = self._loop.time()
        if self._health.trouble is None:
            self._health = _Health(since=now - server.uptime_seconds)
            return
        logger.info("redis reachable again: %s", self.settings.safe_address)
        self._health = _Health(since=now)
        for name, queue in self._queues.items():
            if queue.deaf is not None:
                self._changes.put_nowait(name)
        self._ring_all()

    # --- the doorbell ---

    def _rung(self, queue: str) -> None:
        known = self._queues.get(queue)
        if known is not None:
            known.ring()

    def _connected(self, connected: bool) -> None:
        # A ring may be missed while the connection is away, so look now. A lost connection is not
        # yet trouble: whether Redis answers, the look itself finds out.
        if not connected:
            if self._health.trouble is None:
                self._health = _Health(since=self._loop.time())
            # Perhaps it was ended by a change of the ACL, which may now refuse some of them.
            for name in self._queues:
                self._changes.put_nowait(name)
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
            try:
                await self._tell_doorbell(names)
            except Exception as problem:  # noqa: BLE001 - logged, or reported by the poll
                self._understand(problem, "doorbell")
                await asyncio.sleep(DEAF_SECONDS)
                for name in names:
                    self._changes.put_nowait(name)

    async def _tell_doorbell(self, names: Iterable[str]) -> None:
        gone = [name for name in names if name not in self._queues]
        come = [name for name in names if name in self._queues]
        await self._doorbell.remove(*gone)
        for start in range(0, len(come), POLL_BATCH):
            await self._hear(come[start : start + POLL_BATCH])

    async def _hear(self, names: Sequence[str]) -> None:
        """Listen to these queues, as far as Redis allows it.

        A subscription that is refused ends the connection, and with it those to all the others. So
        each channel is tried first by ringing it, for which the same permission is needed.
        """
        refusals = dict(zip(names, await asyncio.gather(*map(self._refusal, names)), strict=True))
        if any(error is not None and _is_shared(error) for error in refusals.values()):
            await asyncio.sleep(RECONNECT_SECONDS[1])  # the poll reports it
            for name in names:
                self._changes.put_nowait(name)
            return
        allowed = [name for name in names if refusals[name] is None]
        await self._doorbell.remove(*(set(names) - set(allowed)))
        try:
            if allowed:
                await self._doorbell.add(*allowed)
        except IdenttqueueError as error:
            refusals |= dict.fromkeys(allowed, error)
        for name in names:
            self._heard(name, refusals[name])

    async def _refusal(self, name: str) -> IdenttqueueError | None:
        try:
            await self.admin.ring(name)
        except IdenttqueueError as error:
            return error
        return None

    def _heard(self, name: str, refusal: IdenttqueueError | None) -> None:
        """Note that a doorbell is heard from now on, or is tried again later."""
        queue = self._queues.get(name)
        if queue is None:
            return  # removed meanwhile
        queue.deaf = refusal
        queue.ring()  # what was enqueued before the subscription held did not
        if refusal is not None:
            self._loop.call_later(DEAF_SECONDS, self._changes.put_nowait, name)

    # --- the poll ---

    async def _poll(self) -> None:
        failures = 0
        reached = False
        while True:
            try:
                if not reached or self._health.trouble is not None:
                    await self._reach()
                    reached = True
                await self._poll_due()
                failures = 0
                self.tried.set()
                await asyncio.sleep(TICK_SECONDS)
            except Exception as problem:  # noqa: BLE001 - told, and logged
                error = self._understand(problem, "poll")
                self._fail(error)
                self.tried.set()
                failures += 1
                await asyncio.sleep(pause_after(failures, self._patience(error)))

    def _understand(self, problem: Exception, doing: str) -> IdenttqueueError:
        """Make an error of the library of an unforeseen one.

        No loop may end by it: the TaskQueues of this Redis would stand still, and look well.
        """
        if isinstance(problem, IdenttqueueError):
            return problem
        logger.error("%s of %s failed", doing, self.settings.safe_address, exc_info=problem)
        kind = type(problem).__name__
        return RedisProtocolError(f"its answers can't be read ({kind}; see the operator's log)")

    def _patience(self, error: IdenttqueueError) -> tuple[float, float]:
        """Return the first and longest pause before the next attempt, after this failure."""
        first, longest = RECONNECT_SECONDS
        if isinstance(error, RedisProtocolError):
            return first, STRANGER_SECONDS
        away_seconds = self._loop.time() - self._health.since
        return first, longest if away_seconds < PATIENT_SECONDS else TIRED_SECONDS

    async def _poll_due(self) -> None:
        now = self._loop.time()
        await self._look([name for name, queue in self._queues.items() if queue.due_at <= now])

    async def _look(self, names: Iterable[str]) -> None:
        sound = [name for name in names if not self._queues[name].refused]
        for start in range(0, len(sound), POLL_BATCH):
            await self._look_at(sound[start : start + POLL_BATCH])

    async def _look_at(self, names: Sequence[str]) -> None:
        """Ring where the numbers moved. If that is refused, find out for which of the queues.

        Raises:
            IdenttqueueError: it concerns every TaskQueue here.
        """
        try:
            depths = await self.admin.depths(names)
        except IdenttqueueError as error:
            if _is_shared(error):
                raise
            await self.admin.server()  # or is the login refused?
            if len(names) > 1:
                await asyncio.gather(*(self._look_at([name]) for name in names))
            elif names[0] in self._queues:
                self._queues[names[0]].refused = True
                self._queues[names[0]].ring()
            return
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
    """Return what of a queue matters to scaling, so that a queue at rest stays at rest."""
    counts = (depth.queued, depth.held, depth.in_flight, depth.scheduled, depth.dead)
    return (*counts, int(depth.paused))


_TROUBLES = (
    (RedisAddressRefused, SourceTrouble.ADDRESS_REFUSED),
    (RedisAuthFailed, SourceTrouble.AUTH_FAILED),
    (RedisTlsFailed, SourceTrouble.TLS_FAILED),
    (RedisTopologyMismatch, SourceTrouble.TOPOLOGY_MISMATCH),
    (RedisProtocolError, SourceTrouble.PROTOCOL_ERROR),
    (RedisUnavailable, SourceTrouble.UNREACHABLE),
    (RedisFull, SourceTrouble.FULL),
)


def trouble_of(error: IdenttqueueError) -> SourceTrouble:
    """Return the condition's reason for an error of the library."""
    fits = (trouble for kind, trouble in _TROUBLES if isinstance(error, kind))
    return next(fits, SourceTrouble.INCOMPATIBLE)


def _is_shared(error: IdenttqueueError) -> bool:
    """Return whether an error concerns every TaskQueue at this Redis.

    A refused login does too, but looks like a refused queue; the poll finds out.
    """
    return isinstance(
        error,
        RedisUnavailable
        | RedisAddressRefused
        | RedisTlsFailed
        | RedisTopologyMismatch
        | RedisTooOld,
    )
