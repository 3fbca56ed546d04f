"""Who has done what to the queues."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from identtqueue.admin import AuditEntry
from identtqueue.dashboard.board import Board, MenuEntry
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.task import check_queue_name

MOST_ENTRIES: Final = 200
"""Entries on the page, the newest of all queues together."""
MOST_QUEUES: Final = 200
"""Queues whose audit lists are read, if none is chosen: those that were used last."""


async def read(board: Board, visit: Visit) -> Mapping[str, Any]:
    """Read the newest entries of one queue, or of all."""
    chosen = visit["queue"]
    seen = await board.reader.queues()
    by_use = sorted(seen, key=lambda queue: -(seen[queue] or 0))
    queues = [check_queue_name(chosen)] if chosen else by_use[:MOST_QUEUES]
    lists = await asyncio.gather(*(_entries(board, queue) for queue in queues))
    entries = [(queue, one) for queue, found in zip(queues, lists, strict=True) for one in found]
    entries.sort(key=lambda pair: -pair[1].at_ms)
    return {
        "entries": entries[:MOST_ENTRIES],
        "is_cut": len(entries) > MOST_ENTRIES,
        "most": MOST_ENTRIES,
        "chosen": chosen,
        "left_out": 0 if chosen else len(by_use[MOST_QUEUES:]),
        "queues": sorted(seen),
    }


async def _entries(board: Board, queue: str) -> list[AuditEntry]:
    return await board.reader.once(
        ("audit", queue), lambda: board.admin.audit(queue, limit=MOST_ENTRIES)
    )


PAGES: Final = Pages(
    views=(
        View(
            "audit",
            "/audit",
            "audit.html",
            read,
            live=("entries",),
            query=frozenset({"queue"}),
        ),
    ),
    navigation=(MenuEntry("audit", "Audit"),),
)
