"""The tasks that a command is about: by their ids, or by a queue, a state and a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from identtqueue.cli.options import FILTER_NAMES
from identtqueue.errors import InvalidInput
from identtqueue.protocol.calls.listing import Place, TaskRow
from identtqueue.task import State, check_queue_name, queue_of

if TYPE_CHECKING:
    from identtqueue.admin import Admin, Filter

STATES: Final[Mapping[str, tuple[Place, State | None]]] = {
    **{str(place): (place, None) for place in Place},
    "succeeded": (Place.ENDED, State.SUCCEEDED),
    "failed": (Place.DEAD, None),
    "cancelled": (Place.ENDED, State.CANCELLED),
}
"""Values of `--state`: the list in which the tasks are, and their state if it holds several."""

WAITING: Final = (Place.PENDING, Place.HELD, Place.SCHEDULED)
PAGE: Final = 1_000
"""Tasks per call of `Admin.tasks`, at most."""


def filter_of(words: Mapping[str, Any]) -> Filter:
    """Make a filter of the options that `filter_options` has added.

    Args:
        words: the parameters of the command by name; others than those of the filter are ignored.

    Raises:
        InvalidInput: a value breaks a rule. An empty one does, too: it comes from a variable of a
            script that is not set, and must not select all tasks.
    """
    from identtqueue.admin import Filter  # noqa: PLC0415 - as in `session.with_admin`

    given = {name: words[name] for name in FILTER_NAMES if words.get(name) is not None}
    for name, value in given.items():
        if not value:
            raise InvalidInput(f"--{name} is empty: give a value, or leave it out")
    return Filter.parse(given)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tasks that an act is about: those with these ids, or those of a queue that match.

    Attributes:
        task_ids: the ids; empty if a queue was named.
        queue: name of the queue; empty if ids were named.
        wanted: the conditions for the tasks of the queue.
        cursor: where to go on in the queue; None: at the beginning.
    """

    task_ids: Sequence[str]
    queue: str
    wanted: Filter
    cursor: str | None = None


def all_of(queue: str) -> Chosen:
    """Choose all tasks of a queue.

    Raises:
        InvalidQueueName: the name breaks the rule.
    """
    return Chosen((), check_queue_name(queue), filter_of({}))


def chosen(words: Sequence[str], given: Mapping[str, Any]) -> Chosen:
    """Read the arguments and options that `target_arguments` and `filter_options` have added.

    Args:
        words: a queue, or ids of tasks, which have a ':'.
        given: the other parameters of the command, by name.

    Raises:
        InvalidInput: it is not clear which tasks are meant, or a value breaks a rule.
    """
    wanted = filter_of(given)
    queues = [word for word in words if ":" not in word]
    if not queues:
        for task_id in words:
            queue_of(task_id)
        if wanted or given["all_"] or given["cursor"]:
            raise InvalidInput("filters, --all and --cursor go with a queue, not with ids of tasks")
        return Chosen(list(dict.fromkeys(words)), "", wanted)
    if len(words) > 1:
        raise InvalidInput(f"{queues[0]!r} is no task id: give one queue, or only ids of tasks")
    check_queue_name(queues[0])
    if bool(wanted) == given["all_"]:
        text = "give filters or --all, not both" if wanted else "give --all, or filters, or ids"
        raise InvalidInput(f"which tasks of {queues[0]}? {text}")
    return Chosen((), queues[0], wanted, given["cursor"])


@dataclass(frozen=True, slots=True)
class Found:
    """The tasks that were found in a list.

    Attributes:
        rows: the tasks.
        cursor: where to go on; None: that was all.
        scanned: how many entries were looked at.
        total: how many entries the list has, whatever the filter.
    """

    rows: list[TaskRow]
    cursor: str | None
    scanned: int
    total: int


async def find(
    admin: Admin,
    queue: str,
    state: str,
    wanted: Filter,
    *,
    limit: int,
    scan_limit: int,
    oldest: bool = False,
    cursor: str | None = None,
) -> Found:
    """Read tasks from a list, page by page, until there are enough.

    Args:
        admin: reads the pages.
        queue: name of the queue.
        state: one of `STATES`.
        wanted: the conditions.
        limit: how many tasks to return, at most.
        scan_limit: how many entries of the list to look at, at most.
        oldest: the oldest come first. Scheduled tasks always come in the order in which they are
            due.
        cursor: where to begin.
    """
    place, ended_as = STATES[state]
    wanted = wanted if ended_as is None else replace(wanted, state=ended_as)
    rows: list[TaskRow] = []
    scanned = total = 0
    while True:
        page = await admin.tasks(
            queue,
            place,
            wanted,
            newest_first=not (oldest or place is Place.SCHEDULED),
            limit=min(limit - len(rows), PAGE),
            cursor=cursor,
            scan_limit=scan_limit - scanned,
        )
        rows += page.rows
        scanned += page.scanned
        cursor, total = page.cursor, page.total
        if cursor is None or len(rows) >= limit or scanned >= scan_limit:
            return Found(rows, cursor, scanned, total)
