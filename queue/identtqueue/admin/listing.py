"""Lists of tasks, read page by page over all containers of a place."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from identtqueue.admin.filters import Filter
from identtqueue.bounds import is_number
from identtqueue.errors import InvalidInput
from identtqueue.protocol.calls import inspecting, listing
from identtqueue.protocol.calls.listing import MOST_SCANNED, Place, Stop, TaskRow
from identtqueue.task import check_queue_name
from identtqueue.transport.connection import AsyncRedis

LARGEST_PAGE: Final = 1_000
SCAN_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of tasks.

    Attributes:
        rows: the tasks.
        cursor: where the next page begins; None: this is the last one. A page may have fewer rows
            than were asked for, or none, and still have a cursor: then `scan_limit` was reached.
        scanned: how many entries of the list were looked at for this page.
        total: how many entries the list has, whatever the filter.
    """

    rows: list[TaskRow]
    cursor: str | None
    scanned: int
    total: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A list to be read, its filter, its order.

    Attributes:
        queue: name of the queue.
        place: which list.
        filter: conditions that its tasks must meet.
        newest_first: whether the newest come first.

    Raises:
        InvalidInput: the queue's name breaks the rule, or the filter or the place is of a wrong
            type.
    """

    queue: str
    place: Place
    filter: Filter
    newest_first: bool = True

    def __post_init__(self) -> None:
        check_queue_name(self.queue)
        if self.place not in set(Place):
            raise InvalidInput(f"place={self.place!r}: must be one of {', '.join(Place)}")
        if not isinstance(self.filter, Filter):
            raise InvalidInput(f"filter={self.filter!r}: give Filter(…)")


async def read_page(
    redis: AsyncRedis,
    reading: Reading,
    *,
    limit: int,
    cursor: str | None = None,
    scan_limit: int = SCAN_LIMIT,
) -> Page:
    """Read the next page of a list: see `Admin.tasks`."""
    if not (is_number(limit, int) and 1 <= limit <= LARGEST_PAGE):
        raise InvalidInput(f"limit={limit!r}: must be a whole number, 1 to {LARGEST_PAGE}")
    check_scan_limit(scan_limit)
    first, stop = _open_cursor(reading, cursor) if cursor is not None else (None, None)
    conditions = await write_conditions(redis, reading)
    left, total = await find_parts(redis, reading, conditions)
    if first is not None:  # it may have vanished meanwhile
        stop = stop if first in left else None
        left = [name for name in left if name >= first]

    rows: dict[str, TaskRow] = {}
    scanned = 0
    while left and len(rows) < limit and scanned < scan_limit:
        found = await redis.run(
            listing.page(
                reading.queue,
                reading.place,
                left[0],
                conditions,
                newest_first=reading.newest_first,
                stop=stop,
                most=limit - len(rows),
                most_scanned=min(MOST_SCANNED, scan_limit - scanned),
            )
        )
        rows |= {row.task_id: row for row in found.rows}
        scanned += found.scanned
        stop = found.stop
        if not reading.place.is_divided:
            total = found.total
        if stop is None:
            left.pop(0)
    following = _cursor(reading, left[0], stop or Stop()) if left else None
    return Page(_in_order(list(rows.values()), reading), following, scanned, total)


def check_scan_limit(scan_limit: int) -> None:
    """Check how many entries may be looked at.

    Raises:
        InvalidInput: it is not a whole number, or less than 1.
    """
    if not (is_number(scan_limit, int) and scan_limit >= 1):
        raise InvalidInput(f"scan_limit={scan_limit!r}: must be a whole number, 1 or more")


def _in_order(rows: list[TaskRow], reading: Reading) -> list[TaskRow]:
    """Sort the rows of a page, if they come from several containers."""
    if reading.place.is_divided:
        rows.sort(key=lambda row: (row.since_ms, row.task_id), reverse=reading.newest_first)
    return rows


async def find_parts(
    redis: AsyncRedis, reading: Reading, conditions: Mapping[str, Any]
) -> tuple[list[str], int]:
    """Find the containers in which tasks of a place may match.

    Args:
        redis: runs the calls.
        reading: the place and the filter.
        conditions: the filter, from `write_conditions`.

    Returns:
        The names of the containers, sorted, and how many tasks the place has in all its containers;
        0 if it has only one, because reading it tells that.
    """
    if not reading.place.is_divided:
        return [reading.place.value], 0
    found = await redis.run(listing.parts(reading.queue, reading.place))
    names = {part.name for part in found}
    job, workers = reading.filter.job, conditions.get("workers")
    if reading.place is Place.RUNNING and workers is not None:
        names &= {f"inflight:{worker}" for worker in workers}
    elif reading.place is Place.HELD and job is not None:
        kept = {"suspects", f"held:{job}"}
        names = {name for name in names if name in kept or _shelf_is_of(name, job)}
    return sorted(names), sum(part.number for part in found)


def _shelf_is_of(name: str, job: str) -> bool:
    kind, _, shelf = name.partition(":")
    return kind == "shelf" and shelf.partition(":")[2] == job


async def write_conditions(redis: AsyncRedis, reading: Reading) -> dict[str, Any]:
    """Write the filter in the form that the script reads."""
    wanted, queue = reading.filter, reading.queue
    found: dict[str, Any] = {
        "job": wanted.job,
        "tag": wanted.tag,
        "state": wanted.state,
        "text": wanted.text,
        "older": _ms(wanted.older_than_seconds),
        "newer": _ms(wanted.newer_than_seconds),
    }
    if wanted.error is not None:
        found["error"] = wanted.error.removeprefix("builtins.")
    if (prefix := wanted.id_prefix) is not None:
        found["id"] = prefix if prefix.startswith(f"{queue}:") else f"{queue}:{prefix}"
    if (worker := wanted.worker) is not None:
        found["workers"] = [worker, *await _incarnations(redis, queue, worker)]
        found["pods"] = [worker]
    return {name: value for name, value in found.items() if value is not None}


async def _incarnations(redis: AsyncRedis, queue: str, name: str) -> list[str]:
    """List the workers of the queue in a pod or on a host of this name."""
    rows = await redis.run(inspecting.workers(queue))
    return [
        row.worker_id
        for row in rows
        if name in (row.info.get("pod_name"), row.info.get("pod_uid"), row.info.get("host"))
    ]


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


# --- cursors ---------------------------------------------------------------------------------


def _cursor(reading: Reading, part: str, stop: Stop) -> str:
    """Write down where the next page begins, as text that can stand in a URL."""
    order = int(reading.newest_first)
    packed = msgspec.msgpack.encode([reading.place, order, part, stop.position, stop.anchor])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _open_cursor(reading: Reading, cursor: str) -> tuple[str, Stop]:
    """Read the container and the position from a cursor.

    Raises:
        InvalidInput: it is not a cursor of this list.
    """
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place, order, part, position, anchor = msgspec.msgpack.decode(
            packed, type=tuple[str, int, str, str, str]
        )
    except (ValueError, TypeError, binascii.Error, msgspec.DecodeError):
        raise InvalidInput("the cursor is not one that a page of tasks has returned") from None
    if place != reading.place or order != reading.newest_first:
        raise InvalidInput("the cursor is of another list, or of the same list in another order")
    if not re.fullmatch(r"|-?\d{1,19}(\.\d+)?(e\+?\d{1,3})?|-?inf", position):
        raise InvalidInput("the cursor has no position")
    return part, Stop(position, anchor)
