"""The doorbell of one Redis: a subscription that notifies of a queue's first task at once.

The library's `Doorbell` listens to one channel for each queue. Here the subscription follows the
queues that have listeners, and survives what Redis refuses of single queues.
"""

import asyncio
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from identtqueue.admin import Admin, Doorbell, RedisSettings
from identtqueue.errors import IdenttqueueError
from identtqueue_operator.queues.gate import Gate, LateGate
from identtqueue_operator.queues.health import Health
from identtqueue_operator.queues.listeners import Listeners
from identtqueue_operator.queues.redis_errors import concerns_all
from identtqueue_operator.timings import DEFAULTS, Timings

BATCH = 200
"""Queues per subscription; keeps Redis and the event loop responsive."""
UNREACHABLE_PAUSE_SECONDS = 1.0
"""Pause before doorbells are tried again while Redis can't be reached."""


class Doorbells:
    """The doorbells of all queues of one Redis that have listeners, on one connection.

    Args:
        settings: where Redis is.
        gate: the way to the server.
        admin: rings the doorbells, to try whether Redis permits them.
        listeners: are woken by a ring, and whenever a ring may have been missed.
        health: takes in losses of the connection.
        timings: how soon a doorbell that Redis refuses is tried again.
    """

    def __init__(
        self,
        settings: RedisSettings,
        gate: Gate,
        admin: Admin,
        listeners: Listeners,
        health: Health,
        timings: Timings = DEFAULTS,
    ) -> None:
        self._retry_seconds = timings.doorbell_retry_seconds
        # While Redis can't be reached, only the poll tries to connect.
        late = replace(settings, gate=LateGate(health.well, gate))
        self._doorbell = Doorbell(late, listeners.ring, self._connected)
        self._admin = admin
        self._listeners = listeners
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._refusals: dict[str, IdenttqueueError] = {}
        """Why the doorbell of a queue can't be heard."""
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        """Queues whose subscription has to be looked at."""

    def start(self) -> None:
        """Begin to listen. An unreachable Redis is not an error."""
        self._doorbell.start()

    async def close(self) -> None:
        """Stop listening."""
        await self._doorbell.close()

    def add(self, queue: str) -> None:
        """Listen to a queue soon."""
        self._changed.put_nowait(queue)

    def remove(self, queue: str) -> None:
        """Stop listening to a queue soon."""
        self._refusals.pop(queue, None)
        self._changed.put_nowait(queue)

    def refusal(self, queue: str) -> IdenttqueueError | None:
        """Return why the doorbell of a queue can't be heard; None if Redis does not refuse it."""
        return self._refusals.get(queue)

    def retry_refused(self) -> None:
        """Try the doorbells that Redis has refused again."""
        for queue in self._refusals:
            self._changed.put_nowait(queue)

    def _connected(self, connected: bool) -> None:
        # A ring may be missed while the connection is away, so look now. A lost connection is not
        # yet trouble: the look itself finds out whether Redis answers.
        if not connected:
            self._health.interrupted()
            # Perhaps Redis ended it after a change of the ACL, which may now refuse some of them.
            for queue in self._listeners:
                self._changed.put_nowait(queue)
        self._listeners.ring_all()

    # --- the subscription ---

    async def run(self) -> None:
        """Subscribe to the queues that come and unsubscribe from those that go, without end."""
        while True:
            queues = {await self._changed.get()}
            while not self._changed.empty():
                queues.add(self._changed.get_nowait())
            try:
                await self._follow(queues)
            except Exception as problem:  # noqa: BLE001 - logged, or reported by the poll
                self._health.translate(problem, "doorbell")
                await asyncio.sleep(self._retry_seconds)
                for queue in queues:
                    self._changed.put_nowait(queue)

    async def _follow(self, queues: Iterable[str]) -> None:
        gone = [queue for queue in queues if queue not in self._listeners]
        come = [queue for queue in queues if queue in self._listeners]
        await self._doorbell.remove(*gone)
        for start in range(0, len(come), BATCH):
            await self._subscribe(come[start : start + BATCH])

    async def _subscribe(self, queues: Sequence[str]) -> None:
        """Listen to these queues, as far as Redis allows it.

        A subscription that is refused ends the connection, and with it those to all the others. So
        each channel is tried first by ringing it, for which the same permission is needed.
        """
        answers = await asyncio.gather(*map(self._try, queues))
        refusals = dict(zip(queues, answers, strict=True))
        if any(error is not None and concerns_all(error) for error in answers):
            await asyncio.sleep(UNREACHABLE_PAUSE_SECONDS)  # the poll reports it
            for queue in queues:
                self._changed.put_nowait(queue)
            return
        allowed = [queue for queue in queues if refusals[queue] is None]
        await self._doorbell.remove(*(set(queues) - set(allowed)))
        try:
            if allowed:
                await self._doorbell.add(*allowed)
        except IdenttqueueError as error:
            refusals |= dict.fromkeys(allowed, error)
        for queue in queues:
            self._note(queue, refusals[queue])

    async def _try(self, queue: str) -> IdenttqueueError | None:
        """Ring a doorbell; return the error if Redis refuses that."""
        try:
            await self._admin.ring(queue)
        except IdenttqueueError as error:
            return error
        return None

    def _note(self, queue: str, refusal: IdenttqueueError | None) -> None:
        """Note that a doorbell is heard from now on, or is tried again later."""
        if queue not in self._listeners:
            return  # removed meanwhile
        self._refusals.pop(queue, None)
        self._listeners.ring(queue)  # tasks that came before the subscription held did not
        if refusal is not None:
            self._refusals[queue] = refusal
            self._loop.call_later(self._retry_seconds, self._changed.put_nowait, queue)
