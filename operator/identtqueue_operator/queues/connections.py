"""The connections of one TaskQueue: for each trigger, one to the Redis that holds its queues.

TaskQueues and triggers with the same Redis share an endpoint. `Connections` knows which endpoints a
TaskQueue uses, and for which queues. Each trigger listens as an owner of its own, so trouble of one
trigger (an ACL that lacks its queues, say) is not trouble of another one at the same Redis.

A queue may leave the specification, or its trigger may move to another Redis. Such a dropped queue
is remembered with its endpoint until its draining workers have been called back. If that Redis
can't be reached, the operator gives up after a while, since the server may never come back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from identtqueue.admin import Admin
from identtqueue.errors import IdenttqueueError
from identtqueue_operator.api.v1alpha1 import ResolvedTrigger, TaskQueueSpec
from identtqueue_operator.model import MAIN_TRIGGER, Source, SourceTrouble
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.queues.endpoints import Endpoints
from identtqueue_operator.queues.secrets import SecretMissing

GIVE_UP_SECONDS = 600.0
"""Time to wait for an unreachable Redis, to call workers back in dropped queues."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The connection of a trigger to its Redis, or the reason why there is none."""

    name: str
    """Name of the trigger."""
    queues: tuple[str, ...]
    owner: str
    """Name by which the endpoint knows the trigger."""
    endpoint: Endpoint | None
    trouble: Source | None = None
    """Why there is no endpoint."""

    @property
    def address(self) -> str:
        """Address of the Redis, without credentials; empty if it is not known."""
        return self.endpoint.settings.safe_address if self.endpoint else ""

    @property
    def source(self) -> Source:
        """State of the connection now."""
        if self.endpoint is None:
            return self.trouble or Source()
        return self.endpoint.source(self.owner)

    @property
    def admin(self) -> Admin | None:
        """Runs commands on the queues; None while there is trouble."""
        endpoint = self.endpoint
        if endpoint is None or endpoint.in_trouble or not endpoint.hears(self.owner):
            return None
        return endpoint.admin

    async def tried(self) -> None:
        """Wait until it is known whether Redis answers. Without an endpoint, that is known."""
        if self.endpoint is not None:
            await self.endpoint.tried()

    def failed(self, error: IdenttqueueError) -> None:
        """Note that the trigger could not be read."""
        if self.endpoint is not None:
            self.endpoint.failed(error, self.owner)

    def answered(self) -> None:
        """Note that the trigger could be read."""
        if self.endpoint is not None:
            self.endpoint.answered(self.owner)


@dataclass(slots=True)
class _Held:
    """An endpoint in use for a trigger."""

    endpoint: Endpoint
    url: str
    """Address of the Redis, as the specification has it."""
    queues: tuple[str, ...]


@dataclass(slots=True)
class Dropped:
    """Queues at one endpoint that no trigger names any more."""

    endpoint: Endpoint
    connection: Connection
    queues: set[str]
    since: float
    """When the first of them was dropped, on the monotonic clock."""


class Connections:
    """All connections of one TaskQueue.

    Args:
        uid: UID of the TaskQueue.
        namespace: namespace of the TaskQueue and its Secrets.
        endpoints: shared by all TaskQueues.
        ring: wakes the TaskQueue when there is something to look at.
        clock: seconds, monotonic.
    """

    # Two thousand TaskQueues have one each.
    __slots__ = ("_clock", "_dropped", "_endpoints", "_held", "_namespace", "_ring", "_uid")

    def __init__(
        self,
        uid: str,
        namespace: str,
        endpoints: Endpoints,
        ring: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._uid = uid
        self._namespace = namespace
        self._endpoints = endpoints
        self._ring = ring
        self._clock = clock
        self._held: dict[str, _Held | None] = {}
        """By the name of the trigger. None: a Secret is missing, and nothing was there before."""
        self._dropped: dict[Endpoint, Dropped] = {}

    async def find(self, spec: TaskQueueSpec) -> tuple[Connection, ...]:
        """Return the connections of all triggers, in the order of the spec; make new ones.

        Raises:
            ApiError: a Secret could not be read.
        """
        period = float(spec.scaling.poll_period_seconds)
        found = tuple([await self._find(trigger, period) for trigger in spec.all_triggers])
        for name in self._held.keys() - {trigger.name for trigger in spec.all_triggers}:
            await self._remove(name, period)
        return found

    async def _find(self, trigger: ResolvedTrigger, period: float) -> Connection:
        owner, held = self._owner(trigger.name), self._held.get(trigger.name)
        in_trouble = held is None or held.endpoint.source(owner).trouble is not None
        self._held[trigger.name] = held
        try:
            endpoint = await self._endpoints.find(
                owner, self._namespace, trigger.redis, in_trouble=in_trouble
            )
        except SecretMissing as error:
            missing = Source(SourceTrouble.SECRET_MISSING, str(error), trusted_seconds=0.0)
            return Connection(trigger.name, trigger.queue_names, owner, None, missing)
        now = _Held(endpoint, trigger.redis.url, trigger.queue_names)
        endpoint.listen(owner, trigger.queue_names, period, self._ring)
        self._held[trigger.name] = now
        if held is not None:
            # With new credentials it is another endpoint, and the same Redis.
            same = held.url == now.url
            gone = set(held.queues).difference(now.queues if same else ())
            self._drop(now if same else held, gone, period)
        if held is not None and held.endpoint is not endpoint:
            if in_trouble:
                endpoint.distrust(owner)
            held.endpoint.forget(owner)
            await self._endpoints.drop_if_idle(held.endpoint)
        return Connection(trigger.name, trigger.queue_names, owner, endpoint)

    def current(self) -> list[Connection]:
        """Return the connections as they were last found, without those that lack a Secret."""
        return [
            Connection(name, held.queues, self._owner(name), held.endpoint)
            for name, held in self._held.items()
            if held is not None
        ]

    def _owner(self, name: str) -> str:
        return self._uid if name == MAIN_TRIGGER else f"{self._uid}#{name}"

    async def _remove(self, name: str, period: float) -> None:
        """Remove a trigger that has left the specification."""
        owner, held = self._owner(name), self._held.pop(name)
        self._endpoints.forget(owner)
        if held is not None:
            self._drop(held, held.queues, period)
            held.endpoint.forget(owner)
            await self._endpoints.drop_if_idle(held.endpoint)

    # --- dropped queues ---

    def _drop(self, held: _Held, queues: Iterable[str], period: float) -> None:
        """Remember dropped queues, and keep their endpoint."""
        queues = set(queues)
        if not queues:
            return
        owner, endpoint = f"{self._uid}/dropped", held.endpoint
        before = self._dropped.get(endpoint)
        queues |= before.queues if before else set()
        since = before.since if before else self._clock()
        endpoint.listen(owner, sorted(queues), period, self._ring)
        names = tuple(sorted(queues))
        self._dropped[endpoint] = Dropped(
            endpoint, Connection("dropped", names, owner, endpoint), queues, since
        )

    def dropped(self) -> Iterator[Dropped]:
        """List the dropped queues, without those that another trigger names by now."""
        for endpoint, dropped in list(self._dropped.items()):
            dropped.queues -= {
                queue
                for held in self._held.values()
                if held is not None and held.endpoint is endpoint
                for queue in held.queues
            }
            yield dropped

    def is_late(self, dropped: Dropped) -> bool:
        """Return whether the operator has waited long enough for an unreachable Redis."""
        return self._clock() - dropped.since >= GIVE_UP_SECONDS

    async def forget(self, dropped: Dropped) -> None:
        """Forget dropped queues, where nothing is left to do."""
        del self._dropped[dropped.endpoint]
        dropped.endpoint.forget(dropped.connection.owner)
        await self._endpoints.drop_if_idle(dropped.endpoint)

    async def close(self) -> None:
        """Stop listening, and break the reference cycle with the owner of `ring`."""
        for dropped in list(self._dropped.values()):
            await self.forget(dropped)
        for name, held in self._held.items():
            self._endpoints.forget(self._owner(name))
            if held is not None:
                held.endpoint.forget(self._owner(name))
                await self._endpoints.drop_if_idle(held.endpoint)
        self._held.clear()
        self._ring = _ring_nothing


def _ring_nothing() -> None:
    pass
