"""Numbers of tasks that match a filter, and dead letters by job and error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from identtqueue.admin.filters import Filter
from identtqueue.admin.listing import Reading, check_scan_limit, find_parts, write_conditions
from identtqueue.protocol.calls import listing
from identtqueue.protocol.calls.listing import MOST_SCANNED, Place, TaskGroup
from identtqueue.transport.connection import AsyncRedis

COUNT_LIMIT: Final = 100_000
"""How many entries a count looks at, unless the caller says otherwise."""


class Count(int):
    """A number of tasks.

    Attributes:
        exact: False: not all entries were looked at, so there may be more.
    """

    exact: bool

    def __new__(cls, number: int, *, exact: bool = True) -> Self:
        """Make a count."""
        made = super().__new__(cls, number)
        made.exact = exact
        return made

    def __str__(self) -> str:
        """Return the number, with a sign if there may be more."""
        return f"{int(self):,}" if self.exact else f"at least {int(self):,}"

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, Any]]:
        """Say how to copy it."""
        return (int(self),), {"exact": self.exact}


@dataclass(frozen=True, slots=True)
class DeadGroups:
    """The dead letters of a queue by job and error.

    Attributes:
        groups: the groups, the largest first.
        scanned: how many dead letters were looked at, the newest first.
        total: how many there are. If it is more, the groups are those of the newest ones.
    """

    groups: list[TaskGroup]
    scanned: int
    total: int


async def count(redis: AsyncRedis, reading: Reading, scan_limit: int) -> Count:
    """Count the tasks of a place that match: see `Admin.count`."""
    check_scan_limit(scan_limit)
    conditions = await write_conditions(redis, reading)
    parts, total = await find_parts(redis, reading, conditions)
    if not reading.filter:
        if not reading.place.is_divided:
            found = await redis.run(listing.tally(reading.queue, parts[0], most_scanned=0))
            total = found.total
        return Count(total)
    groups, _, _, complete = await _tally(redis, reading, parts, conditions, scan_limit)
    return Count(sum(group.number for group in groups), exact=complete)


async def dead_groups(redis: AsyncRedis, queue: str, scan_limit: int) -> DeadGroups:
    """Group the dead letters of a queue: see `Admin.dead_groups`."""
    check_scan_limit(scan_limit)
    reading = Reading(queue, Place.DEAD, Filter())
    groups, scanned, total, _ = await _tally(redis, reading, [Place.DEAD.value], {}, scan_limit)
    return DeadGroups(
        sorted(groups, key=lambda group: (-group.number, group.job, group.error_type)),
        scanned,
        total,
    )


async def _tally(
    redis: AsyncRedis,
    reading: Reading,
    left: list[str],
    conditions: dict[str, Any],
    scan_limit: int,
) -> tuple[list[TaskGroup], int, int, bool]:
    """Count over several containers. Returns groups, entries looked at, all, whether complete."""
    groups: dict[tuple[str, str], TaskGroup] = {}
    scanned = total = 0
    for name in left:
        stop = None
        while scanned < scan_limit:
            most = min(MOST_SCANNED, scan_limit - scanned)
            found = await redis.run(
                listing.tally(reading.queue, name, conditions, stop=stop, most_scanned=most)
            )
            for group in found.groups:
                key = group.job, group.error_type
                groups[key] = groups[key] + group if key in groups else group
            scanned += found.scanned
            total = found.total
            stop = found.stop
            if stop is None:
                break
        else:
            return list(groups.values()), scanned, total, False
    return list(groups.values()), scanned, total, True
