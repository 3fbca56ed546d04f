"""Acts on tasks: on some ids, or step by step on all that a filter matches."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from identtqueue.admin.base import AdminBase
from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import Reading, read_page
from identtqueue.admin.moving import move
from identtqueue.errors import InvalidInput
from identtqueue.protocol.answers import Replayed, Rescheduled, Revoked
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import acting
from identtqueue.protocol.calls.acting import MOST_AT_ONCE
from identtqueue.protocol.calls.listing import MOST_SCANNED, Place
from identtqueue.task import Failure, check_queue_name, queue_of
from identtqueue.transport.connection import AsyncRedis

CANCELLED: Final = Failure("Cancelled", "cancelled by an administrator")


class Act(enum.StrEnum):
    """Something that an administrator does to tasks.

    Attributes:
        CANCEL: end tasks that wait as cancelled; ask the workers of running ones to cancel them.
        REPLAY: put dead letters back into their queue, with their failures and losses reset to 0.
        DISCARD: delete dead letters.
        START_NOW: make scheduled tasks due now.
        RESCHEDULE: make scheduled tasks due at another time.
        MOVE: put tasks that wait, or dead letters, into another queue, where they run.
    """

    CANCEL = "cancel"
    REPLAY = "replay"
    DISCARD = "discard"
    START_NOW = "start_now"
    RESCHEDULE = "reschedule"
    MOVE = "move"


PLACES: Final[Mapping[Act, tuple[Place, ...]]] = {
    Act.CANCEL: (Place.PENDING, Place.HELD, Place.SCHEDULED, Place.RUNNING),
    Act.REPLAY: (Place.DEAD,),
    Act.DISCARD: (Place.DEAD,),
    Act.START_NOW: (Place.SCHEDULED,),
    Act.RESCHEDULE: (Place.SCHEDULED,),
    Act.MOVE: (Place.PENDING, Place.HELD, Place.SCHEDULED, Place.DEAD),
}
"""The places on whose tasks each act has an effect."""


@dataclass(frozen=True, slots=True)
class ActProgress:
    """How far an act on a filter has come.

    Attributes:
        scanned: how many entries it has looked at.
        total: how many entries the place had when the act began, whatever the filter.
        matched: how many tasks have matched.
        changed: how many of them the act has changed. The others had started, ended or been changed
            by others in the meantime, or another task holds their unique key.
        cursor: where to go on if the act is broken off here; None: there is nothing left.
        done: whether the act has come to its end.
    """

    scanned: int
    total: int
    matched: int
    changed: int
    cursor: str | None
    done: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An act to be done, with the arguments that it takes.

    Attributes:
        act: the act.
        at: for RESCHEDULE: when the tasks are due, as an aware datetime.
        to_queue: for MOVE: the queue that the tasks are put into.

    Raises:
        InvalidInput: the act lacks an argument, or has one that it does not take.
    """

    act: Act
    at: datetime | None = None
    to_queue: str | None = None

    def __post_init__(self) -> None:
        if self.act not in set(Act):
            raise InvalidInput(f"act={self.act!r}: must be one of {', '.join(Act)}")
        if (self.act is Act.RESCHEDULE) != (self.at is not None):
            raise InvalidInput(f"at={self.at!r}: give it for reschedule, and for that act only")
        if (self.act is Act.MOVE) != (self.to_queue is not None):
            raise InvalidInput(f"to_queue={self.to_queue!r}: give it for move, and for that only")
        if self.to_queue is not None:
            check_queue_name(self.to_queue)
        aware = isinstance(self.at, datetime) and self.at.utcoffset() is not None
        if self.at is not None and not aware:
            raise InvalidInput(
                f"at={self.at!r}: must be an aware datetime: datetime(…, tzinfo=UTC)"
            )

    @property
    def at_ms(self) -> int:
        """When the tasks are due, in ms since 1970; 0: now."""
        return 0 if self.at is None else max(1, round(self.at.timestamp() * 1000))

    def words(self, queue: str) -> str:
        """Return the arguments in words, for the audit list; empty if there are none."""
        if self.at is not None:
            return f"to {self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}: "
        return f"from queue {queue} to queue {self.to_queue}: " if self.to_queue else ""

    def check_source(self, queue: str) -> None:
        """Check the queue of the tasks.

        Raises:
            InvalidInput: the tasks would be moved to where they are.
        """
        if self.to_queue == check_queue_name(queue):
            raise InvalidInput(f"to_queue={queue!r}: the tasks are in that queue already")


def check_place(act: Act, place: Place) -> None:
    """Check that an act has an effect on the tasks of a place.

    Raises:
        InvalidInput: it has none.
    """
    if place not in PLACES[act]:
        known = " or ".join(PLACES[act])
        raise InvalidInput(f"{act} does nothing to {place} tasks: it is for {known} ones")


def describe(order: Order, reading: Reading) -> str:
    """Describe what an act is done to, for the audit list: a place and a filter."""
    wanted = {entry.name: getattr(reading.filter, entry.name) for entry in fields(Filter)}
    conditions = [f"{name}={value}" for name, value in wanted.items() if value is not None]
    return order.words(reading.queue) + " ".join([f"all {reading.place}", *conditions])


async def act_on_all(
    redis: AsyncRedis, order: Order, reading: Reading, note: bytes, cursor: str | None
) -> AsyncGenerator[ActProgress, None]:
    """Act on all tasks of a place that match: see `Admin.act`.

    Args:
        redis: runs the calls.
        order: what is to be done.
        reading: the place, the filter, and an order in which no task is met again that was changed.
        note: for the audit list.
        cursor: where to begin; None: at the beginning of the place.
    """
    scanned = matched = changed = total = 0
    is_first = True
    while is_first or cursor is not None:
        page = await read_page(
            redis, reading, limit=MOST_AT_ONCE, cursor=cursor, scan_limit=MOST_SCANNED
        )
        ids = [row.task_id for row in page.rows if row.due_at_ms != order.at_ms]
        if ids or is_first:  # an act that matches nothing is recorded, too
            asks = reading.place is Place.RUNNING
            changed += len(await apply(redis, order, reading.queue, ids, note, asks=asks))
        if is_first:
            total = page.total
        is_first, cursor = False, page.cursor
        scanned += page.scanned
        matched += len(ids)
        yield ActProgress(scanned, total, matched, changed, cursor, done=cursor is None)


async def act_on(
    redis: AsyncRedis,
    order: Order,
    task_ids: Mapping[str, Sequence[str]],
    notes: Mapping[str, bytes],
) -> list[str]:
    """Act on tasks by their ids: see `Admin.act_on`.

    Args:
        redis: runs the calls.
        order: what is to be done.
        task_ids: the tasks of each queue.
        notes: for the audit list of each queue.
    """
    changed: list[str] = []
    for queue in task_ids:
        order.check_source(queue)
    for queue, ids in task_ids.items():
        for first in range(0, len(ids), MOST_AT_ONCE):
            part = ids[first : first + MOST_AT_ONCE]
            changed += await apply(redis, order, queue, part, notes[queue], asks=True)
    return changed


def by_queue(task_ids: Iterable[str]) -> dict[str, list[str]]:
    """Sort task ids by their queues; an id that is given twice counts once.

    Raises:
        InvalidTaskId: an id is not `<queue>:<unique part>`.
    """
    found: dict[str, list[str]] = {}
    for task_id in dict.fromkeys(task_ids):
        found.setdefault(queue_of(task_id), []).append(task_id)
    return found


async def apply(
    redis: AsyncRedis, order: Order, queue: str, ids: Sequence[str], note: bytes, *, asks: bool
) -> list[str]:
    """Act on at most `MOST_AT_ONCE` tasks of one queue, and return those that it has changed."""
    if order.to_queue is not None:
        return await move(redis, queue, order.to_queue, ids, note)
    call: Call[Any]
    if order.act is Act.CANCEL:
        call = acting.revoke(queue, ids, CANCELLED, asks=asks, note=note)
    elif order.act is Act.REPLAY:
        call = acting.replay(queue, ids, note=note)
    elif order.act is Act.DISCARD:
        call = acting.discard(queue, ids, note=note)
    else:
        call = acting.reschedule(queue, dict.fromkeys(ids, order.at_ms), note=note)
    answers: list[Any] = await redis.run(call)
    return [t for t, answer in zip(ids, answers, strict=True) if answer in _CHANGED]


_CHANGED: Final = (Revoked.OK, Revoked.ASKED, Replayed.OK, Rescheduled.OK)
"""The answers that say that a task was changed."""


class ActAdmin(AdminBase):
    """The methods of `Admin` that act on tasks."""

    async def act(
        self,
        act: Act,
        queue: str,
        place: Place,
        filter: Filter = Filter(),  # noqa: A002, B008 - the word of the users; it is frozen
        *,
        cursor: str | None = None,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> AsyncIterator[ActProgress]:
        """Act on all tasks of a place that match a filter, step by step.

        ::

            failed = Filter(job="read_mrz", error="httpx.ReadTimeout")
            async for step in admin.act(Act.REPLAY, "mrz", Place.DEAD, failed):
                print(f"{step.changed} of {step.matched} replayed, {step.scanned}/{step.total}")

        Each step looks at up to 500 entries and changes up to 100 tasks, so nobody waits long for
        Redis. The act stops when the iteration is broken off. It may be begun again, from the
        last `ActProgress.cursor` or from the start: no task is changed twice. Tasks that join the
        place meanwhile are left alone. The audit list has one entry of the act, whose numbers grow
        with each step.

        Args:
            act: what to do.
            queue: name of the queue.
            place: which tasks; not every act is for every place.
            filter: conditions that they must meet; without any, all of the place.
            cursor: where to go on; None: at the beginning.
            at: for RESCHEDULE: when the tasks are due, as an aware datetime. A task that has
                `expires_seconds` still expires at its time.
            to_queue: for MOVE: the queue to put the tasks into. They keep the unique part of their
                id, their arguments, options and tags, and begin there with their first attempt.
                Clients that wait for a task that has not ended get TaskCancelled.

        Raises:
            InvalidInput: an argument breaks a rule, the act is not for this place, or the cursor is
                of another list.
        """
        order = Order(act, at, to_queue)
        check_place(act, place)
        order.check_source(queue)
        # Tasks that are changed must lie behind the cursor afterwards.
        reading = Reading(queue, place, filter, newest_first=act is not Act.START_NOW)
        note = self._note(act, describe(order, reading))
        async with aclosing(act_on_all(self._redis, order, reading, note, cursor)) as steps:
            async for step in steps:
                yield step

    async def act_on(
        self,
        act: Act,
        task_ids: Iterable[str],
        *,
        at: datetime | None = None,
        to_queue: str | None = None,
    ) -> list[str]:
        """Act on tasks by their ids, of any queues, up to 100 of a queue in one call.

        Args:
            act: what to do.
            task_ids: the tasks.
            at: see `act`.
            to_queue: see `act`.

        Returns:
            The ids of those that were changed. A running task that is cancelled counts when its
            worker is asked for the first time.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
            InvalidInput: another argument breaks a rule.
        """
        order, ids = Order(act, at, to_queue), by_queue(task_ids)
        notes = {
            queue: self._note(act, order.words(queue) + " ".join(some))
            for queue, some in ids.items()
        }
        return await act_on(self._redis, order, ids, notes)

    async def purge(self, queue: str, place: Place) -> AsyncIterator[ActProgress]:
        """Empty a place: delete dead letters, or cancel tasks, step by step as `act` does.

        Clients that wait for a task that is cancelled get TaskCancelled at once. Workers are asked
        to cancel running tasks.

        Args:
            queue: name of the queue.
            place: which tasks; not ENDED, whose results expire by themselves.

        Raises:
            InvalidInput: the queue's name breaks the rule, or the place is ENDED.
        """
        act = Act.DISCARD if place is Place.DEAD else Act.CANCEL
        check_place(act, place)
        order, reading = Order(act), Reading(queue, place, Filter())
        note = self._note("purge", describe(order, reading))
        async with aclosing(act_on_all(self._redis, order, reading, note, None)) as steps:
            async for step in steps:
                yield step

    async def replay(self, task_ids: Iterable[str]) -> list[str]:
        """Put dead letters back into their queues, with their failures and losses reset to 0.

        A dead letter stays where it is if another unfinished task holds its `unique_key`.

        Args:
            task_ids: dead letters, of any queues.

        Returns:
            The ids of those that run again.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await self.act_on(Act.REPLAY, task_ids)

    async def discard(self, task_ids: Iterable[str]) -> list[str]:
        """Delete dead letters.

        Args:
            task_ids: dead letters, of any queues.

        Returns:
            The ids of those that were deleted.

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await self.act_on(Act.DISCARD, task_ids)

    async def start_now(self, task_ids: Iterable[str]) -> list[str]:
        """Make scheduled tasks due now. They get behind the tasks that are pending already.

        Args:
            task_ids: scheduled tasks, of any queues.

        Returns:
            The ids of those that are due now. The others are not scheduled (any more).

        Raises:
            InvalidTaskId: an id is not `<queue>:<unique part>`.
        """
        return await self.act_on(Act.START_NOW, task_ids)
