"""All queues at a glance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from identtqueue.admin import QueueDepth
from identtqueue.dashboard.board import Board, MenuEntry
from identtqueue.dashboard.history import Course
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages

MOST_QUEUES: Final = 200
"""Queues on the page. If there are more, a search finds the others."""
FEW_QUEUES: Final = 20
"""Up to so many queues, all 24 hours are read for each; else the last two."""
SHORT_HOURS: Final = 2


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue in the table.

    Attributes:
        name: name of the queue.
        depth: what is in it.
        last_activity_ms: when a client or worker last used it; None: unknown.
        course: what happened.
    """

    name: str
    depth: QueueDepth
    last_activity_ms: int | None
    course: Course

    @property
    def ended_per_minute(self) -> float:
        """Attempts that end, per minute."""
        return self.course.recent.ended / self.course.recent_minutes

    @property
    def enqueued_per_minute(self) -> float:
        """Tasks that are enqueued, per minute."""
        return self.course.recent.enqueued / self.course.recent_minutes

    @property
    def failures(self) -> int:
        """Attempts that failed recently, also those that are retried."""
        return self.course.recent.failed + self.course.recent.retried

    @property
    def lacks_workers(self) -> bool:
        """Whether tasks wait and no worker is registered."""
        return self.depth.workers == 0 and self.depth.queued > 0


_SORTS: Final[Mapping[str, Callable[[QueueRow], Any]]] = {
    "queue": lambda row: row.name,
    "waiting": lambda row: -row.depth.queued,
    "oldest": lambda row: -(row.depth.oldest_wait_ms or -1),
    "running": lambda row: -row.depth.in_flight,
    "scheduled": lambda row: -row.depth.scheduled,
    "dead": lambda row: -row.depth.dead,
    "rate": lambda row: -row.ended_per_minute,
    "failed": lambda row: -row.failures,
}
"""How the table can be sorted."""


async def read(board: Board, visit: Visit) -> dict[str, Any]:
    """Read the depth and the recent course of all queues."""
    seen = await board.reader.queues()
    search = visit["q"].strip().lower()
    names = [name for name in sorted(seen) if search in name]
    shown = names[:MOST_QUEUES]
    rows = await _rows(board, shown, seen)
    sort = visit["sort"] if visit["sort"] in _SORTS else "queue"
    rows.sort(key=_SORTS[sort])
    return {
        "rows": rows,
        "names": names,
        "known": len(seen),
        "most": MOST_QUEUES,
        "search": visit["q"],
        "sort": sort,
        "sorts": tuple(_SORTS),
        "totals": _totals(rows),
    }


async def _rows(
    board: Board, names: Sequence[str], seen: Mapping[str, int | None]
) -> list[QueueRow]:
    hours = 24 if len(names) <= FEW_QUEUES else SHORT_HOURS
    depths = await board.reader.depths(names)
    courses = await asyncio.gather(*(board.reader.course(name, hours=hours) for name in names))
    return [
        QueueRow(name, depths[name], seen[name], course)
        for name, course in zip(names, courses, strict=True)
    ]


def _totals(rows: Sequence[QueueRow]) -> dict[str, Any]:
    waits = [row.depth.oldest_wait_ms for row in rows if row.depth.oldest_wait_ms is not None]
    return {
        "waiting": sum(row.depth.queued for row in rows),
        "held": sum(row.depth.held for row in rows),
        "running": sum(row.depth.in_flight for row in rows),
        "scheduled": sum(row.depth.scheduled for row in rows),
        "dead": sum(row.depth.dead for row in rows),
        "oldest_ms": max(waits, default=None),
        "rate": sum(row.ended_per_minute for row in rows),
        "failures": sum(row.failures for row in rows),
    }


PAGES: Final = Pages(
    views=(
        View(
            "overview",
            "/",
            "overview.html",
            read,
            live=("totals", "queues"),
            query=frozenset({"q", "sort"}),
        ),
    ),
    navigation=(MenuEntry("overview", "Queues", covers=("queue",)),),
)
