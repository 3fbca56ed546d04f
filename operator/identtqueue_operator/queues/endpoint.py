"""One Redis, as all TaskQueues with the same address and credentials share it.

It has one connection for commands (pipelined by itself) and one for the doorbell. Its parts:

* `Listeners`: which TaskQueues are woken for which queues;
* `Health`: whether this Redis is well, since when, and what is wrong;
* `Doorbells`: the subscription, which hears of the first task of a queue within a millisecond;
* `Poll`: the regular reading of depths, for whatever does not ring.

Whenever a connection is made or lost, and when trouble begins or ends, all TaskQueues are woken.
"""

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from identtqueue.admin import Admin, RedisSettings
from identtqueue.errors import IdenttqueueError
from identtqueue_operator.model import Source
from identtqueue_operator.queues.doorbell import Doorbells
from identtqueue_operator.queues.gate import Gate, Lanes
from identtqueue_operator.queues.health import Health
from identtqueue_operator.queues.listeners import Listeners, Ring
from identtqueue_operator.queues.poll import Poll
from identtqueue_operator.queues.redis_errors import concerns_all
from identtqueue_operator.timings import DEFAULTS, Timings


class Endpoint:
    """Commands, doorbells and poll of one Redis, shared by the TaskQueues that name it.

    Args:
        settings: address and credentials.
        gate: the way to the server; without one, it gets lanes of its own.
        timings: how soon a doorbell that Redis refuses is tried again.
    """

    def __init__(
        self, settings: RedisSettings, gate: Gate | None = None, timings: Timings = DEFAULTS
    ) -> None:
        gate = gate or Lanes().gate(settings.topology)
        self.settings = settings
        self.admin = Admin(replace(settings, gate=gate), retry_for_seconds=0, audited=False)
        self._listeners = Listeners()
        self._health = Health(settings.safe_address, self._health_changed)
        self._poll = Poll(self.admin, self._listeners, self._health)
        self._doorbells = Doorbells(
            settings, gate, self.admin, self._listeners, self._health, timings
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen and to poll. An unreachable Redis is not an error."""
        loop, name = asyncio.get_running_loop(), self.settings.safe_address
        self._doorbells.start()
        self._tasks = [
            loop.create_task(self._poll.run(), name=f"poll {name}"),
            loop.create_task(self._doorbells.run(), name=f"doorbells {name}"),
        ]

    async def close(self) -> None:
        """Stop, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._doorbells.close()
        await self.admin.close()

    async def tried(self) -> None:
        """Wait until it is known whether Redis answers."""
        await self._poll.tried.wait()

    # --- listeners ---

    @property
    def queues(self) -> frozenset[str]:
        """Names of the queues that have listeners."""
        return frozenset(self._listeners)

    @property
    def idle(self) -> bool:
        """Whether it has no listener left."""
        return not self._listeners

    def listen(self, owner: str, queues: Iterable[str], period_seconds: float, ring: Ring) -> None:
        """Wake an owner whenever there is something to look at in one of these queues.

        An owner that listens already may come again, with other queues or another period.

        Args:
            owner: begins with the UID of the TaskQueue. Its name would not do: a TaskQueue that is
                created anew listens before the old one has stopped.
            queues: their names.
            period_seconds: longest time between two looks of the poll.
            ring: called without an argument.
        """
        come, gone = self._listeners.put(owner, queues, period_seconds, ring)
        self._remove(gone)
        for queue in come:
            self._poll.add(queue)
            self._doorbells.add(queue)

    def forget(self, owner: str) -> None:
        """Stop waking an owner."""
        self._health.forget(owner)
        self._remove(self._listeners.drop(owner))

    def _remove(self, queues: Iterable[str]) -> None:
        for queue in queues:
            self._poll.remove(queue)
            self._doorbells.remove(queue)

    # --- health ---

    @property
    def in_trouble(self) -> bool:
        """Whether no TaskQueue can be served. When that is over, all of them are woken."""
        return self._health.in_trouble

    def source(self, owner: str) -> Source:
        """Return the state of the connection, as one round of a TaskQueue takes it in."""
        return self._health.source(owner)

    def hears(self, owner: str) -> bool:
        """Return whether all doorbells of an owner can be heard; if not, that is its trouble.

        Polling alone would hide it, and be slower.
        """
        refusals = map(self._doorbells.refusal, self._listeners.queues_of(owner))
        refusal = next(filter(None, refusals), None)
        if refusal is not None:
            self._health.refused(owner, refusal)
        return refusal is None

    def polls(self, queue: str) -> bool:
        """Return whether the poll reads a queue. It does not while Redis refuses to show it."""
        return self._poll.includes(queue)

    def failed(self, error: IdenttqueueError, owner: str | None = None) -> None:
        """Note that a command failed, which is the trouble of all TaskQueues or of this owner.

        Args:
            error: what Redis answered, or why it did not.
            owner: None if trouble of its own is reported elsewhere.
        """
        if concerns_all(error):
            self._health.failed(error)
        elif owner is not None:
            self._health.refused(owner, error)

    def answered(self, owner: str) -> None:
        """Note that a round of an owner got everything that it asked for."""
        self._health.answered(owner)
        self._poll.include(self._listeners.queues_of(owner))

    def distrust(self, owner: str) -> None:
        """Note that an owner has had trouble until now, at another endpoint: see `Health`."""
        self._health.distrust(owner)

    def _health_changed(self) -> None:
        if not self._health.in_trouble:
            self._doorbells.retry_refused()
        self._listeners.ring_all()
