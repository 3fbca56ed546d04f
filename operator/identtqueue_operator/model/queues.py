"""Queues and workers, as Redis knows them, and the connection to it."""

from dataclasses import dataclass, field
from enum import StrEnum

MAIN_TRIGGER = "main"
"""Name of the first trigger, which the fields of the specification itself make."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Several queues, summed."""

    queued: int = 0
    in_flight: int = 0
    scheduled: int = 0
    dead: int = 0
    paused: int = 0
    """How many of the queued tasks wait in a queue that is paused; no worker may take them."""
    held: int = 0
    """How many of the queued tasks of other queues their jobs' limits hold back."""
    next_held_seconds: float | None = None
    """Time until a rate limit lets one of these start; None: only another event does."""
    oldest_wait_seconds: float | None = None
    workers: int = 0
    """Registered worker incarnations, counted once per queue."""
    next_due_seconds: float | None = None
    """Time until the next scheduled task falls due."""
    due_soon: int = 0
    """Scheduled tasks, not of a paused queue, that fall due within `due_within_seconds`."""
    due_within_seconds: float = 0.0
    """How far ahead tasks count as due soon: the time that a pod takes to start."""
    enqueued_total: int = 0
    ended_total: int = 0
    run_ms_total: int = 0

    @property
    def waiting(self) -> int:
        """Tasks that a worker could take now."""
        return self.queued - self.paused - self.held

    @property
    def demand(self) -> int:
        """Tasks that need a worker: waiting, running, or due before a new pod would be ready."""
        return self.waiting + self.due_soon + self.in_flight


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker incarnation, over all queues it serves in the Redis of one trigger.

    Two triggers at one Redis may each have a row of it, with different queues.
    """

    worker_id: str
    queues: tuple[str, ...]
    host: str
    pod_uid: str | None = None
    container: str | None = None
    in_flight: int = 0
    draining_in: tuple[str, ...] = ()
    """The queues in which it was asked to drain."""
    connected: bool = True
    """Whether Redis has a connection of it."""
    lease_left_seconds: float = 15.0
    registered_at: float = 0.0
    """Time of registration, on its node's clock."""
    trigger: str = MAIN_TRIGGER
    """Name of the trigger through whose connection it was read, and can be reached."""

    @property
    def draining(self) -> bool:
        """Whether it drains: one queue is enough for it to stop fetching from all."""
        return bool(self.draining_in)

    @property
    def told_everywhere(self) -> bool:
        """Whether every queue refuses its claims, even before it has noticed the request."""
        return len(self.draining_in) == len(self.queues)


class SourceTrouble(StrEnum):
    """The reason why queues could not be read; the value is the condition's reason."""

    UNREACHABLE = "RedisUnreachable"
    AUTH_FAILED = "RedisAuthFailed"
    TLS_FAILED = "RedisTlsFailed"
    PROTOCOL_ERROR = "RedisProtocolError"
    ADDRESS_REFUSED = "RedisAddressRefused"
    TOPOLOGY_MISMATCH = "RedisTopologyMismatch"
    FULL = "RedisFull"
    INCOMPATIBLE = "RedisIncompatible"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a condition


@dataclass(frozen=True, slots=True)
class Source:
    """The state of the connection to Redis."""

    trouble: SourceTrouble | None = None
    message: str = ""
    outage_seconds: float = 0.0
    """Duration of the trouble."""
    trusted_seconds: float = float("inf")
    """Time for which Redis has been up, and reachable without a break."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The observation of one trigger: queues in one Redis that ask for replicas together."""

    name: str = MAIN_TRIGGER
    queues: tuple[str, ...] = ()
    """Names of its queues."""
    redis: str = ""
    """Address of the Redis, without credentials. Empty: that is not known."""
    source: Source = field(default_factory=Source)
    depth: Depth | None = None
    """None: not known, because of `source.trouble`."""
