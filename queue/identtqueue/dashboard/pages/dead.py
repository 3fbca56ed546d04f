"""The dead letters of all queues, grouped by job and error: what to look at, and replay, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identtqueue.admin import DeadGroups, Place, TaskGroup
from identtqueue.dashboard.board import Board, MenuEntry
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.plans import acts_in
from identtqueue.dashboard.values import Written
from identtqueue.errors import TaskNotFound
from identtqueue.task import TaskInfo, check_queue_name

MOST_QUEUES: Final = 50
"""Queues with dead letters that are read, if none is chosen."""
MOST_GROUPS: Final = 50
"""Groups on the page, the largest first."""
SCANNED: Final = 10_000
"""Dead letters that are looked at, in all queues together."""
LONGEST_TRACEBACK: Final = 8_000


@dataclass(frozen=True, slots=True)
class Heap:
    """One group of dead letters on the page.

    Attributes:
        queue: name of the queue.
        group: the group.
        sample: its newest task; None: it is gone.
    """

    queue: str
    group: TaskGroup
    sample: TaskInfo | None

    @property
    def traceback(self) -> Written:
        """The traceback of the sample."""
        failure = self.sample.failure if self.sample else None
        text = failure.traceback if failure else ""
        return Written(text[:LONGEST_TRACEBACK], is_cut=len(text) > LONGEST_TRACEBACK)

    @property
    def conditions(self) -> dict[str, str]:
        """The filter that finds these tasks."""
        return {"job": self.group.job, "error": self.group.error_type}

    @property
    def can_be_named(self) -> bool:
        """Whether the filter finds these tasks alone: an empty condition would find others too."""
        return bool(self.group.job and self.group.error_type)


async def read(board: Board, visit: Visit) -> Mapping[str, Any]:
    """Read the groups of one queue, or of all that have dead letters."""
    chosen = visit["queue"]
    known = sorted(await board.reader.queues())
    numbers = await _numbers(board, [check_queue_name(chosen)] if chosen else known)
    queues = sorted(numbers, key=lambda queue: -numbers[queue])
    read_queues = queues[:MOST_QUEUES]
    share = max(500, SCANNED // max(1, len(read_queues)))
    found = await asyncio.gather(*(_groups(board, queue, share) for queue in read_queues))
    groups = [(q, one) for q, some in zip(read_queues, found, strict=True) for one in some.groups]
    groups.sort(key=lambda pair: (-pair[1].number, pair[0], pair[1].job, pair[1].error_type))
    return {
        "heaps": await _heaps(board, groups[:MOST_GROUPS]),
        "groups": len(groups),
        "scanned": sum(some.scanned for some in found),
        "total": sum(numbers.values()),
        "left_out": queues[MOST_QUEUES:],
        "chosen": chosen,
        "queues": known,
        "acts": acts_in(Place.DEAD),
        "place": Place.DEAD,
    }


async def _numbers(board: Board, queues: Sequence[str]) -> dict[str, int]:
    """Return how many dead letters each queue has, without the queues that have none."""
    depths = await board.reader.depths(queues)
    return {queue: depth.dead for queue, depth in depths.items() if depth.dead}


async def _groups(board: Board, queue: str, scan_limit: int) -> DeadGroups:
    return await board.reader.once(
        ("dead groups", queue, scan_limit),
        lambda: board.admin.dead_groups(queue, scan_limit=scan_limit),
        fresh_seconds=0,  # after an act the group is no longer here
    )


async def _heaps(board: Board, groups: Sequence[tuple[str, TaskGroup]]) -> list[Heap]:
    samples = await asyncio.gather(*(_sample(board, group.newest_id) for _, group in groups))
    return [Heap(queue, g, s) for (queue, g), s in zip(groups, samples, strict=True)]


async def _sample(board: Board, task_id: str) -> TaskInfo | None:
    try:
        return await board.reader.once(("task", task_id), lambda: board.admin.task(task_id))
    except TaskNotFound:
        return None


PAGES: Final = Pages(
    views=(View("dead", "/dead", "dead.html", read, query=frozenset({"queue"})),),
    navigation=(MenuEntry("dead", "Dead letters"),),
)
