"""The state machine as data: every transition, with its script, its guard and its callers.

A test keeps this table, the files in `lua/` and the table in `docs/internals.md` consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from identtqueue.task import State

NONE: Final = None
"""The task does not exist: not yet, or no longer."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One script that moves tasks from one of `sources` to one of `targets`.

    Attributes:
        script: name of the script.
        sources: states that a task may have before; None: it does not exist.
        targets: states that it may have after; None: it does not exist.
        guard: the condition under which the script moves a task.
        caller: the parts of the system that call the script. The permissions of a Redis user
            follow from them (`protocol/roles.py`).
    """

    script: str
    sources: tuple[State | None, ...]
    targets: tuple[State | None, ...]
    guard: str
    caller: str


@dataclass(frozen=True, slots=True)
class Service:
    """One script that moves no task.

    Attributes:
        script: name of the script.
        does: what it does.
        caller: the part of the system that calls the script.
    """

    script: str
    does: str
    caller: str


TRANSITIONS: Final = (
    Transition(
        "enqueue",
        (NONE, State.SUCCEEDED, State.FAILED, State.CANCELLED),
        (State.PENDING, State.SCHEDULED),
        "id unused, or its task has ended and is to be replaced; unique key free",
        "client, cron",
    ),
    Transition(
        "schedule",
        (NONE, State.SCHEDULED),
        (State.SCHEDULED, NONE),
        "each firing is planned once; a new definition removes the firings that the old one "
        "planned; none while the schedule is paused",
        "cron",
    ),
    Transition(
        "promote",
        (State.SCHEDULED, State.PENDING),
        (State.PENDING, State.CANCELLED),
        "due; cancelled if it expired before it started; limited to a batch",
        "upkeep, operator",
    ),
    Transition(
        "claim",
        (State.PENDING,),
        (State.RUNNING, State.CANCELLED),
        "worker has a lease and is not draining; queue not paused; job below its limits; "
        "cancelled if it expired before it started or its cancellation was requested",
        "fetch",
    ),
    Transition(
        "finish",
        (State.RUNNING,),
        (State.SUCCEEDED,),
        "running under this attempt number, owned by this worker",
        "finish",
    ),
    Transition(
        "retry",
        (State.RUNNING,),
        (State.SCHEDULED, State.CANCELLED),
        "as finish; cancelled if that was requested",
        "finish",
    ),
    Transition("bury", (State.RUNNING,), (State.FAILED,), "as finish", "finish"),
    Transition("abort", (State.RUNNING,), (State.CANCELLED,), "as finish", "finish"),
    Transition(
        "release",
        (State.RUNNING,),
        (State.PENDING, State.CANCELLED),
        "as finish; cancelled if that was requested",
        "shutdown, fetch",
    ),
    Transition(
        "decline",
        (State.RUNNING,),
        (State.PENDING, State.CANCELLED),
        "as finish; the worker cannot run the task; cancelled if that was requested",
        "finish",
    ),
    Transition(
        "give_up",
        (State.PENDING,),
        (State.FAILED,),
        "declined long ago, and since then no worker was seen that could run it",
        "upkeep",
    ),
    Transition(
        "recover",
        (State.RUNNING,),
        (State.PENDING, State.FAILED, State.CANCELLED),
        "lease expired, or waived on evidence of death; a task that ran alone is buried if its "
        "losses reach the limit",
        "upkeep, operator",
    ),
    Transition(
        "cancel",
        (State.SCHEDULED, State.PENDING),
        (State.CANCELLED,),
        "not started; for a running task, its worker is asked to cancel it",
        "client",
    ),
    Transition(
        "await",
        (State.SCHEDULED, State.PENDING),
        (State.CANCELLED,),
        "expired before it started",
        "client",
    ),
    Transition(
        "replay",
        (State.FAILED,),
        (State.PENDING,),
        "is a dead letter; unique key free",
        "admin",
    ),
    Transition("discard", (State.FAILED,), (NONE,), "is a dead letter", "admin"),
    Transition(
        "revoke",
        (State.SCHEDULED, State.PENDING),
        (State.CANCELLED,),
        "not started; for a running task, its worker is asked to cancel it if the caller says so",
        "admin",
    ),
    Transition(
        "receive",
        (NONE, State.CANCELLED),
        (State.SCHEDULED,),
        "moved from another queue; id unused, or the task was received before and is cancelled; "
        "unique key free",
        "admin",
    ),
    Transition(
        "pause_cron",
        (State.SCHEDULED, NONE),
        (NONE, State.SCHEDULED),
        "a firing of a schedule, which is withdrawn by a pause and planned by a resume",
        "admin",
    ),
    Transition(
        "run_cron",
        (NONE,),
        (State.PENDING,),
        "a worker has declared the schedule; unique key free",
        "admin",
    ),
)

SERVICES: Final = (
    Service(
        "enlist",
        "notes in the registry that queues are in use, and forgets those that no longer are",
        "client, worker",
    ),
    Service(
        "register",
        "a worker incarnation takes its first lease and declares its jobs; checks the protocol "
        "version",
        "worker",
    ),
    Service("count", "adds what a worker has counted to the numbers of the queue", "worker"),
    Service("describe", "renews what a worker says about itself", "worker"),
    Service("extend", "renews the lease of a worker that still has one", "worker"),
    Service("leave", "gives the lease back when nothing is in flight", "worker"),
    Service("drain", "asks workers to stop fetching, or calls them back", "operator"),
    Service("pause", "stops or resumes claims from the whole queue", "admin"),
    Service("pause_job", "stops or resumes claims of one job's tasks", "admin"),
    Service("schedules", "lists the schedules with their next firings; writes nothing", "admin"),
    Service(
        "progress",
        "stores the progress of a running attempt, and publishes it to those who watch",
        "worker",
    ),
    Service("reschedule", "changes when scheduled tasks are due", "admin"),
    Service("wake", "wakes one idle worker when tasks may start", "worker"),
    Service(
        "depth",
        "counts the tasks by state, and measures the oldest wait; writes nothing",
        "client, operator",
    ),
    Service(
        "workers",
        "lists the workers and how many tasks each has; writes nothing",
        "upkeep, operator",
    ),
    Service(
        "permitted", "lists the commands that the caller's ACL lacks; writes nothing", "worker"
    ),
    Service(
        "limits", "lists the limits of jobs and how far they are used; writes nothing", "admin"
    ),
    Service("children", "notes which tasks a running task has enqueued", "client"),
    Service("fields", "reads fields of a task; writes nothing", "client, worker, admin"),
    Service("record", "reads all that is kept of a task; writes nothing", "admin"),
    Service(
        "page", "reads the tasks of one container that match a filter; writes nothing", "admin"
    ),
    Service(
        "tally",
        "counts the tasks of one container that match a filter, by job and error; writes nothing",
        "admin",
    ),
    Service(
        "parts", "lists the containers in which running or held tasks lie; writes nothing", "admin"
    ),
)
"""Scripts that move no task."""

CALLERS: Final = {row.script: row.caller.split(", ") for row in (*TRANSITIONS, *SERVICES)}
"""The parts of the system that call each script. `protocol/roles.py` derives from it who needs what
permission."""
