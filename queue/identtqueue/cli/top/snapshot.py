"""The contents of the screen: read from Redis at one time, and not changed after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from identtqueue.admin import Counts, JobInfo, LimitsInUse, QueueDepth, TaskRow, WorkerInfo


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue.

    Attributes:
        name: name of the queue.
        depth: its tasks by state.
        enqueued, succeeded, failed: tasks per minute; None: not known yet.
        lately: what its workers have counted in the last minutes; None: not read yet.
    """

    name: str
    depth: QueueDepth
    enqueued: float | None = None
    succeeded: float | None = None
    failed: float | None = None
    lately: Counts | None = None


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker incarnation, with all its queues.

    Attributes:
        info: the worker, as its first queue has it.
        queues: its queues.
        draining: in how many of them it drains.
        running: how many tasks it owns.
        tasks: tasks that it runs, those that have run longest first; perhaps not all.
    """

    info: WorkerInfo
    queues: tuple[str, ...]
    draining: int
    running: int
    tasks: Sequence[TaskRow] = ()


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job of the queue that is open.

    Attributes:
        name: name of the job.
        minutes: over how many minutes `lately` counts.
        lately: what was counted of it lately.
        limits: its limits and how far they are used; None: it has none.
        info: what its workers have declared; None: nothing.
    """

    name: str
    minutes: float
    lately: Counts
    limits: LimitsInUse | None = None
    info: JobInfo | None = None


@dataclass(frozen=True, slots=True)
class TopSnapshot:
    """All that is shown.

    Attributes:
        now_ms: Redis' time, in ms since 1970.
        server: product and version of the server.
        used_bytes: memory that it uses; 0: it does not say.
        queues: the queues, in no order.
        left_out: how many queues there are beyond these.
        workers: the workers, by name.
        jobs: the jobs of the queue that is open.
    """

    now_ms: int
    server: str
    used_bytes: int
    queues: Sequence[QueueLine]
    left_out: int = 0
    workers: Sequence[WorkerLine] = ()
    jobs: Mapping[str, Sequence[JobLine]] = field(default_factory=dict)
