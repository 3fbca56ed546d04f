"""The answers to calls, as typed values. All times are in ms."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from identtqueue.limits import JobLimits
from identtqueue.task import Attempt, State


class Ack(enum.Enum):
    """The answer to a report about an attempt."""

    OK = b"ok"
    DONE = b"done"  # the same report had arrived before
    LOST = b"lost"  # the task was recovered; the report is ignored
    MISSING = b"missing"

    def __init__(self, word: bytes) -> None:
        self.recorded: Final = word in (b"ok", b"done")
        """Whether the report is recorded, now or before."""


class Lease(enum.Enum):
    """The answer to a renewal."""

    OK = b"ok"
    DRAINING = b"draining"
    LOST = b"lost"


class Cancelled(enum.Enum):
    """The answer to a cancellation."""

    OK = b"ok"
    ASKED = b"asked"
    ENDED = b"ended"
    MISSING = b"missing"


class Revoked(enum.Enum):
    """The answer to the cancellation of a task by an administrator."""

    OK = b"ok"
    ASKED = b"asked"
    ASKED_BEFORE = b"asked before"
    RUNNING = b"running"  # and its worker was not to be asked
    ENDED = b"ended"
    MISSING = b"missing"


class Received(enum.Enum):
    """The answer of a queue to which a task is moved."""

    OK = b"ok"  # now, or by an earlier call
    EXISTS = b"exists"  # another task has its id
    UNIQUE = b"unique"  # another unfinished task holds its unique key


class Movable(msgspec.Struct, frozen=True):
    """A task that may be moved to another queue.

    Attributes:
        dead: whether it is a dead letter; else it waits.
        fields: the fields of its hash in its new queue.
    """

    dead: bool
    fields: Mapping[str, bytes]


class Replayed(enum.Enum):
    """The answer to a replay or a discard."""

    OK = b"ok"
    MISSING = b"missing"
    NOT_DEAD = b"not dead"
    UNIQUE = b"unique"  # another unfinished task holds its unique key


class Rescheduled(enum.Enum):
    """The answer to the request to change when a scheduled task is due."""

    OK = b"ok"
    MISSING = b"missing"
    NOT_SCHEDULED = b"not scheduled"


class Enqueued(enum.Enum):
    """The answer to an enqueue."""

    OK = "ok"
    EXISTS = "exists"  # a task of this id exists already and was left as it is
    UNIQUE = "unique"  # another unfinished task holds the unique key


class Announced(msgspec.Struct, frozen=True):
    """The answer in place of a result that is too big for a reply: the size of that result."""

    size_bytes: int


class Receipt(msgspec.Struct, frozen=True):
    """The answer to the enqueue of one task.

    Attributes:
        task_id: the id of the task. If `status` is UNIQUE, the id of the task that holds the key.
        status: whether the task is new, and if not, why.
    """

    task_id: str
    status: Enqueued

    @property
    def created(self) -> bool:
        """Whether the task is new."""
        return self.status is Enqueued.OK


class Expiring(msgspec.Struct, frozen=True):
    """The state of a task that will be cancelled unless it starts within `expires_in_ms`."""

    state: State
    expires_in_ms: int


class Claim(enum.Enum):
    """The status of a claim: whether the worker may claim, and if not, why."""

    OK = b"ok"
    LOST = b"lost"
    DRAINING = b"draining"
    PAUSED = b"paused"


class Claimed(msgspec.Struct, frozen=True):
    """The answer to a claim.

    Attributes:
        status: whether the worker may claim.
        attempts: the tasks that it got.
        next_due_ms: time after which this worker must look again, because the next scheduled task,
            or the next task held by a rate limit, may start then; None: there is none, or another
            worker looks.
        alarm_ms: Redis' time at that moment.
        pending: how many more tasks may start now (of held ones, one per job is counted).
        suspects: how many suspects wait for a worker that runs nothing else.
        hold_ms: the worker must start nothing for this time, or until it runs nothing and asks for
            a suspect; None: it may start tasks.
        shelves: names of the queue's shelves (see `worker/shelves.py`).
    """

    status: Claim
    attempts: tuple[Attempt, ...] = ()
    next_due_ms: int | None = None
    pending: int = 0
    suspects: int = 0
    hold_ms: int | None = None
    shelves: tuple[str, ...] = ()
    alarm_ms: int = 0


class Promoted(msgspec.Struct, frozen=True):
    """The answer to a promotion.

    Attributes:
        moved: how many tasks became pending.
        next_due_ms: time until the next task is due; None: there is none.
        now_ms: Redis' time.
        more: whether due work is left, so that the caller should promote again at once.
        shelves: names of the queue's shelves (see `worker/shelves.py`).
    """

    moved: int
    next_due_ms: int | None
    now_ms: int
    more: bool = False
    shelves: tuple[str, ...] = ()


class Recovery(msgspec.Struct, frozen=True):
    """The tasks that were taken from a lost worker.

    Attributes:
        lost: False if the worker was unknown or alive.
        requeued, dead, cancelled: the ids of its tasks, by what became of them.
        isolated: those of the requeued ones that run alone the next time, because they may have
            killed their workers.
        more: whether the worker still has tasks, so that the caller must recover it again.
    """

    lost: bool
    requeued: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    isolated: tuple[str, ...] = ()
    more: bool = False

    def __add__(self, other: Recovery) -> Recovery:
        """Join the results of two calls."""
        return Recovery(
            self.lost or other.lost,
            self.requeued + other.requeued,
            self.dead + other.dead,
            self.cancelled + other.cancelled,
            self.isolated + other.isolated,
            other.more,
        )


class QueueDepth(msgspec.Struct, frozen=True):
    """The number of tasks in a queue, by state, at one moment.

    Attributes:
        queued: how many tasks are pending.
        in_flight: how many tasks run.
        scheduled: how many tasks are not due yet.
        dead: how many dead letters there are.
        oldest_wait_ms: how long the oldest of the queued tasks that may start has waited; None:
            none may start.
        next_due_in_ms: time until the next scheduled task is due; None: there is none.
        due_soon: how many scheduled tasks fall due within the time that the caller asked about.
        paused: whether the queue is paused, so that no task may start.
        workers: how many worker incarnations are registered.
        counters: counts of events since the queue's first task; they only grow.
        held: how many of the queued tasks may not start now, because their job is at a limit. The
            number is exact for up to 200 tasks that no worker has looked at. If there are more, it
            is estimated from the first 200.
        next_held_in_ms: time until a rate limit lets one of the held tasks start (0: one may start
            now); None: none is held, or only by `max_running`.
    """

    queued: int
    in_flight: int
    scheduled: int
    dead: int
    oldest_wait_ms: int | None
    next_due_in_ms: int | None
    due_soon: int
    paused: bool
    workers: int
    counters: Mapping[str, int]
    held: int = 0
    next_held_in_ms: int | None = None


class Scheduled(msgspec.Struct, frozen=True):
    """A scheduled task, which was enqueued with a delay or waits for a retry.

    Attributes:
        task_id: `<queue>:<unique part>`.
        due_ms: when it is due (Redis time), in ms since 1970.
    """

    task_id: str
    due_ms: int


class LimitsInUse(msgspec.Struct, frozen=True):
    """The limits of one job of a queue, and how far they are used.

    Attributes:
        job: name of the job.
        limits: the limits of the newest registration; empty if they were removed while tasks were
            held.
        running: how many tasks count towards `max_running`.
        held: how many tasks a worker has looked at and has held back.
        next_start_in_ms: time until one more task may start (0: now); None: when a running one
            ends, or when the job is resumed.
        paused: whether the job is paused, so that none of its tasks may start.
    """

    job: str
    limits: JobLimits
    running: int
    held: int
    next_start_in_ms: int | None
    paused: bool = False


class JobPaused(enum.Enum):
    """The answer to the request to pause or resume a job."""

    OK = b"ok"
    AS_BEFORE = b"as before"
    TOO_MANY = b"too many"


class CronPaused(enum.Enum):
    """The answer to the request to pause or resume a schedule."""

    OK = b"ok"
    AS_BEFORE = b"as before"
    MISSING = b"missing"


class CronInfo(msgspec.Struct, frozen=True):
    """A schedule of a queue, as its workers have declared it. Times are in ms since 1970.

    Attributes:
        name: name of the schedule.
        job: name of the job that it runs.
        expression: the cron expression.
        zone: the time zone of the expression (IANA name).
        next_ms: when it fires next; None: it is paused, or no worker has planned the next firing.
        last_ms: when it fired last, also by `Admin.run_cron_now`; None: not yet.
        paused: whether it is paused.
        declared_ms: when a worker last declared it.
    """

    name: str
    job: str
    expression: str
    zone: str
    next_ms: int | None
    last_ms: int | None
    paused: bool
    declared_ms: int


class AuditEntry(msgspec.Struct, frozen=True):
    """An act of an administrator.

    Attributes:
        at_ms: when it began (Redis time), in ms since 1970.
        who: who did it: a user and a host, or the name that the caller gave.
        act: what was done, such as "pause" or "replay".
        what: what it was done to, in words: ids, or a filter.
        matched: how many things it concerned.
        changed: how many of them it has changed.
    """

    at_ms: int
    who: str
    act: str
    what: str
    matched: int
    changed: int


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker incarnation, as it is stored in its queue."""

    worker_id: str
    lease_expires_in_ms: int
    in_flight: int
    draining: bool
    info: Mapping[str, Any]
    """The fields that the worker wrote, without those of unexpected form."""
    flaw: str = ""
    """Names of the parts that can't be read. If `worker_id` is empty, that is one of them."""


class Shelf(msgspec.Struct, frozen=True):
    """The declined tasks of one job, see `worker/shelves.py`.

    Attributes:
        job: name of the job.
        declined_by: how many signatures of the job have declined them.
        tasks: how many tasks there are.
    """

    job: str
    declined_by: int
    tasks: int


class Planned(enum.Enum):
    """The answer to the planning of a schedule."""

    OK = b"ok"
    REPLACED = b"replaced"  # a worker with a newer definition keeps the schedule
    SUSPENDED = b"suspended"  # the schedule is paused


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue that is in use, as the registry knows it.

    Attributes:
        name: name of the queue.
        last_activity_ms: when a client or a worker last used it (Redis time), to the minute.
    """

    name: str
    last_activity_ms: int


class JobInfo(msgspec.Struct, frozen=True):
    """A job of a queue, as workers have declared it, or as it was enqueued.

    Attributes:
        name: name of the job.
        declared_at_ms: when a worker that has it last registered; None: none has within 30 days.
        last_enqueued_at_ms: when a task of it was last enqueued, to the minute; None: none was
            within 30 days.
        parameters: names of its parameters, without the context.
        hidden: names of the parameters whose values are not shown.
        module: the module that defines it; empty: not declared.
        paused: whether the job is paused on this queue.
        declared: all that was declared about it, as plain values.
    """

    name: str
    declared_at_ms: int | None = None
    last_enqueued_at_ms: int | None = None
    parameters: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    module: str = ""
    paused: bool = False
    declared: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Adopted(enum.Enum):
    """The answer to the adoption of one request of 0.2."""

    OK = b"ok"
    REFUSED = b"refused"  # it can't be read, and was put aside
    GONE = b"gone"  # another bridge or a worker of 0.2 has taken it
