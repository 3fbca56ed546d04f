"""The facts that the doctor judges: read from Redis at one time, and not changed after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from identtqueue.admin import JobInfo, LimitsInUse, QueueDepth, WorkerInfo
from identtqueue.protocol.answers import Shelf
from identtqueue.protocol.roles import Role
from identtqueue.transport.server import own_name
from identtqueue.transport.settings import RedisSettings


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server: the only one, or a node of a cluster.

    Attributes:
        name: how findings name it; empty if it is the only one.
        info: the default sections of INFO.
        settings: the settings that INFO does not show, by name; empty: CONFIG is refused.
    """

    name: str
    info: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def product(self) -> str:
        """Product and version, as in `Valkey 9.1.2`."""
        return " ".join(own_name(self.info))

    def number(self, name: str) -> int:
        """Return a number of INFO; 0 if the server does not say it."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """A task that runs.

    Attributes:
        task_id, job: the task.
        worker_id: the worker incarnation that owns it.
        ran_ms: for how long its attempt runs.
        timeout_ms: how long it may run; None: without end, or not known.
    """

    task_id: str
    job: str
    worker_id: str
    ran_ms: int
    timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue.

    Attributes:
        name: name of the queue.
        depth: its tasks by state.
        protocol: the major version that has written it; None: nothing has.
        paused_at_ms: when it was paused; 0: not known, None: it is not paused.
        paused_jobs: when each of its jobs that is paused was, in ms since 1970.
        workers: its workers.
        running: tasks that run, those that have run longest first.
        shelves: tasks that workers have declined.
        limits: limits of its jobs.
        jobs: the jobs that were declared or enqueued.
        suspects: how many tasks wait to run alone.
        dead_lately: how many dead letters there are from the last hour.
        refused: commands that the user's ACL lacks on this queue; None: the server can't say.
    """

    name: str
    depth: QueueDepth
    protocol: str | None = None
    paused_at_ms: int | None = None
    paused_jobs: Mapping[str, int] = field(default_factory=dict)
    workers: Sequence[WorkerInfo] = ()
    running: Sequence[RunningFacts] = ()
    shelves: Sequence[Shelf] = ()
    limits: Sequence[LimitsInUse] = ()
    jobs: Sequence[JobInfo] = ()
    suspects: int = 0
    dead_lately: int = 0
    refused: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was read.

    Attributes:
        settings: how Redis was reached.
        role: the role whose rights were checked.
        now_ms: Redis' time, in ms since 1970.
        clock_ahead_ms: how far the clock of this host is ahead of Redis'; negative: behind.
        pings_ms: how long each PING took, in ms; empty: Redis refuses them.
        servers: the servers.
        queues: the queues that were looked at.
        unread: the queues that could not be read, and why.
        registry_refused: why the list of queues could not be read; empty if it could.
    """

    settings: RedisSettings
    role: Role
    now_ms: int
    clock_ahead_ms: int
    pings_ms: Sequence[float]
    servers: Sequence[ServerFacts]
    queues: Sequence[QueueFacts] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    registry_refused: str = ""
