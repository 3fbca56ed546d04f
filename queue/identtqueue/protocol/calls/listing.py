"""Lists of tasks, read page by page: the calls, and how their replies are parsed.

A *place* is what a user asks for, such as the held tasks. A *part* is one container in Redis in
which tasks of a place lie, such as the held tasks of one job. Most places have one part. All times
are Redis time, in ms since 1970.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Scheduled
from identtqueue.protocol.call import Call, Word
from identtqueue.protocol.keys import QueueKeys, queue_keys
from identtqueue.task import State, queue_of

MOST_SCANNED: Final = 500
"""Upper bound for the entries that one step of a list or of an act looks at."""

MOST_PER_PAGE: Final = 200
MOST_PER_TALLY: Final = 100
"""Upper bounds for the entries that one call looks at. Redis does nothing else meanwhile."""


class Place(enum.StrEnum):
    """The place where a task can be listed.

    Attributes:
        PENDING: it waits for a worker, and may start.
        HELD: it waits, and may not start now: its job is at a limit or is paused, it must run
            alone, or the workers there have declined it.
        SCHEDULED: it is not due yet.
        RUNNING: a worker runs it.
        DEAD: it is a dead letter.
        ENDED: it has ended recently, in any way.
    """

    PENDING = "pending"
    HELD = "held"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    DEAD = "dead"
    ENDED = "ended"

    @property
    def is_divided(self) -> bool:
        """Whether its tasks lie in several containers of Redis."""
        return self in (Place.HELD, Place.RUNNING)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task in a list. Times are Redis time, in ms since 1970; None: not yet.

    Attributes:
        task_id: `<queue>:<unique part>`.
        queue: the queue it was enqueued in.
        place: the list that it is in.
        state: its state.
        job: the name of its job.
        attempt: the number of the last attempt, which is how often it was started; 0: never.
        failures: how many attempts have failed.
        losses: how many attempts have lost their worker.
        enqueued_at_ms: when it was enqueued.
        since_ms: the time of its place. Pending and held: since when it waits. Scheduled: when it
            is due. Running: when it was started. Dead and ended: when it ended.
        due_at_ms: when it is due; None: it is not scheduled.
        started_at_ms: when the last attempt started.
        finished_at_ms: when the task ended.
        worker: the worker incarnation that claimed it last.
        error: type and first line of the last failure, at most 200 characters.
        tags: the tags that it was enqueued with.
    """

    task_id: str
    queue: str
    place: Place
    state: State
    job: str
    attempt: int
    failures: int
    losses: int
    enqueued_at_ms: int
    since_ms: int
    due_at_ms: int | None
    started_at_ms: int | None
    finished_at_ms: int | None
    worker: str | None
    error: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks of one job that failed with the same type of error.

    Attributes:
        job: name of the job.
        error_type: type of their last failure; empty: they have not failed.
        number: how many they are.
        newest_id: the one of them that came last.
        newest_ms: its time (`TaskRow.since_ms`).
        oldest_ms: the time of the one that came first.
        sample: type and first line of the failure of the newest one, at most 200 characters.
    """

    job: str
    error_type: str
    number: int
    newest_id: str
    newest_ms: int
    oldest_ms: int
    sample: str

    def __add__(self, other: TaskGroup) -> TaskGroup:
        """Join what two calls have counted of the same job and error."""
        newest = max(self, other, key=lambda group: group.newest_ms)
        return replace(
            newest,
            number=self.number + other.number,
            oldest_ms=min(self.oldest_ms, other.oldest_ms),
        )


class Part(msgspec.Struct, frozen=True):
    """One container of a place.

    Attributes:
        name: its name in Redis, behind the queue: `pending`, `held:<job>`, `inflight:<worker>`.
        number: how many tasks lie in it.
    """

    name: str
    number: int


class Stop(msgspec.Struct, frozen=True):
    """The point in a container at which the next page goes on. Empty: at the beginning.

    Attributes:
        position: index or score of an entry.
        anchor: the last entry that was looked at.
    """

    position: str = ""
    anchor: str = ""


class Slice(msgspec.Struct, frozen=True):
    """The tasks that one call has found in one container.

    Attributes:
        rows: the tasks, in the order of reading.
        scanned: how many entries the call has looked at.
        total: how many entries the container has, whatever the filter.
        stop: where to go on; None: this was the end.
        now_ms: Redis' time.
    """

    rows: list[TaskRow]
    scanned: int
    total: int
    stop: Stop | None
    now_ms: int


class Tally(msgspec.Struct, frozen=True):
    """The tasks that one call has counted in one container: see `Slice`."""

    groups: list[TaskGroup]
    scanned: int
    total: int
    stop: Stop | None


def parts(queue: str, place: Place) -> Call[list[Part]]:
    """List the containers of a place that is divided: of the held or the running tasks.

    Args:
        queue: name of the queue.
        place: HELD or RUNNING.
    """
    k = queue_keys(queue)
    return Call(
        "parts",
        (k.workers, k.blocked, k.shelves, k.suspects, k.tombstones),
        (k.inflight_prefix, k.held_prefix, place.value),
        _parse_parts,
    )


def page(
    queue: str,
    place: Place,
    part: str,
    conditions: Mapping[str, Any] | None = None,
    *,
    newest_first: bool = True,
    stop: Stop | None = None,
    most: int = 50,
    most_scanned: int = MOST_PER_PAGE,
) -> Call[Slice]:
    """Read the next tasks of a container that match a filter.

    Args:
        queue: name of the queue.
        place: the place that the container belongs to.
        part: name of the container.
        conditions: the filter, in the form that the header of `page.lua` describes.
        newest_first: whether to read from the end of the container.
        stop: where the last page has ended; None: at the beginning.
        most: maximum number of tasks.
        most_scanned: maximum number of entries to look at.
    """
    k = queue_keys(queue)
    most_scanned = min(most_scanned, MOST_PER_PAGE)
    scan = _scan(k, part, conditions, stop, most_scanned, newest_first=newest_first)
    return Call(
        "page",
        (k.tombstones, k.jobs, k.packed_tasks),
        (*scan, most),
        lambda reply: _parse_slice(place, reply),
    )


def tally(
    queue: str,
    part: str,
    conditions: Mapping[str, Any] | None = None,
    *,
    stop: Stop | None = None,
    most_scanned: int = MOST_PER_TALLY,
) -> Call[Tally]:
    """Count the next tasks of a container that match a filter, the newest first.

    Args:
        queue: name of the queue.
        part: name of the container.
        conditions: see `page`.
        stop: where the last call has ended; None: at the beginning.
        most_scanned: maximum number of entries to look at.
    """
    k = queue_keys(queue)
    return Call(
        "tally",
        (k.tombstones, k.jobs, k.packed_tasks),
        _scan(k, part, conditions, stop, min(most_scanned, MOST_PER_TALLY), newest_first=True),
        _parse_tally,
    )


def _scan(
    k: QueueKeys,
    part: str,
    conditions: Mapping[str, Any] | None,
    stop: Stop | None,
    most_scanned: int,
    *,
    newest_first: bool,
) -> tuple[Word, ...]:
    """Return the arguments by which `lua/lib/scan.lua` knows where to look, and for what."""
    stop = stop or Stop()
    filtered = msgspec.msgpack.encode(conditions) if conditions else b""
    return (
        *(k.task_prefix, k.base, part, int(newest_first), stop.position, stop.anchor),
        *(filtered, most_scanned),
    )


def scheduled_tasks(queue: str, offset: int, limit: int) -> Call[list[Scheduled]]:
    """List scheduled tasks with the times when they are due, the next one first.

    Args:
        queue: name of the queue.
        offset: how many to skip.
        limit: how many to return at most.
    """
    return Call(
        "ZRANGEBYSCORE",
        (queue_keys(queue).scheduled,),
        ("-inf", "+inf", "WITHSCORES", "LIMIT", offset, limit),
        replies.parse_scheduled,
        is_script=False,
    )


def dead_letters(queue: str, offset: int, limit: int) -> Call[list[str]]:
    """List the ids of dead letters, the newest first.

    Args:
        queue: name of the queue.
        offset: how many to skip.
        limit: maximum number of ids.
    """
    return Call(
        "ZREVRANGE",
        (queue_keys(queue).dead,),
        (offset, offset + limit - 1),
        replies.parse_names,
        is_script=False,
    )


def _parse_parts(reply: list[Any]) -> list[Part]:
    return [Part(reply[i].decode(), reply[i + 1]) for i in range(0, len(reply), 2)]


def _parse_slice(place: Place, reply: list[Any]) -> Slice:
    scanned, total, stop, now_ms = _parse_head(reply[0])
    return Slice([_row(place, fields) for fields in reply[1:]], scanned, total, stop, now_ms)


def _parse_tally(reply: list[Any]) -> Tally:
    scanned, total, stop, _ = _parse_head(reply[0])
    return Tally([_group(fields) for fields in reply[1:]], scanned, total, stop)


def _parse_head(head: list[Any]) -> tuple[int, int, Stop | None, int]:
    scanned, total, position, anchor, more, now_ms = head
    return scanned, total, Stop(position.decode(), anchor.decode()) if more else None, now_ms


def _group(fields: list[Any]) -> TaskGroup:
    job, kind, number, newest_id, newest, oldest, line = fields
    return TaskGroup(
        job=job.decode(),
        error_type=kind.decode(errors="replace"),
        number=number,
        newest_id=newest_id.decode(),
        newest_ms=newest,
        oldest_ms=oldest,
        sample=_error(kind, line),
    )


def _row(place: Place, fields: list[Any]) -> TaskRow:
    task_id, state, job, attempt, failures, losses, enqueued, since = fields[:8]
    due, started, finished, owner, kind, line, tags = fields[8:]
    name = task_id.decode()
    return TaskRow(
        task_id=name,
        queue=queue_of(name),
        place=place,
        state=State(state.decode()),
        job=job.decode(),
        attempt=int(attempt),
        failures=int(failures),
        losses=int(losses),
        enqueued_at_ms=int(enqueued),
        since_ms=int(since),
        due_at_ms=_time(due),
        started_at_ms=_time(started),
        finished_at_ms=_time(finished),
        worker=owner.decode() if owner else None,
        error=_error(kind, line) if kind is not None else None,
        tags=replies.parse_tags(tags),
    )


def _time(stored: bytes | int | None) -> int | None:
    return int(stored) if stored else None


def _error(kind: bytes, line: bytes) -> str:
    text = kind.decode(errors="replace")
    more = line.decode(errors="replace")
    return (f"{text}: {more}" if more else text)[:200]
