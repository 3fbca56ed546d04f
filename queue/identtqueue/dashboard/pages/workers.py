"""All workers: where they run, how they are, and what each of them does now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from identtqueue.admin import TaskRow, WorkerInfo
from identtqueue.dashboard.acting import ActRequest, acting
from identtqueue.dashboard.board import Board, MenuEntry
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages

MOST_WORKERS: Final = 200
MOST_QUEUES: Final = 200
"""Queues whose workers are read. If more queues have workers, a search for a queue finds them."""
MOST_TASKS: Final = 20
"""Tasks that are listed for one worker."""


@dataclass(slots=True)
class WorkerCard:
    """One worker incarnation, over all its queues.

    Attributes:
        info: what it has written about itself, as one of its queues has it.
        queues: what each of its queues knows of it.
        tasks: what it runs, the oldest first.
    """

    info: WorkerInfo
    queues: dict[str, WorkerInfo] = field(default_factory=dict)
    tasks: list[TaskRow] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """How many tasks it owns."""
        return sum(each.in_flight for each in self.queues.values())

    @property
    def connected(self) -> bool:
        """Whether a process listens on its control channel."""
        return any(each.connected for each in self.queues.values())

    @property
    def draining(self) -> bool:
        """Whether it takes no more tasks from one of its queues."""
        return any(each.draining for each in self.queues.values())

    @property
    def flaw(self) -> str:
        """The parts of its entries that can't be read."""
        return next((each.flaw for each in self.queues.values() if each.flaw), "")

    @property
    def lease_expires_in_ms(self) -> int:
        """Time until the first of its leases expires."""
        return min(each.lease_expires_in_ms for each in self.queues.values())

    @property
    def name(self) -> str:
        """The name by which people know it."""
        return self.info.pod_name or self.info.host or self.info.worker_id or "(without a name)"

    @property
    def trouble(self) -> int:
        """How much it needs attention: those with more come first."""
        if self.lease_expires_in_ms < 0 or self.flaw:
            return 0
        return 1 if not self.connected else 2


async def read(board: Board, visit: Visit) -> dict[str, Any]:
    """Read the workers of all queues and what they run."""
    search = visit["q"].strip().lower()
    names, left_out = await _queues(board, search)
    found = await asyncio.gather(*(board.reader.workers(queue) for queue in names))
    cards: dict[str, WorkerCard] = {}
    for queue, workers in zip(names, found, strict=True):
        for worker in workers:
            card = cards.setdefault(worker.worker_id, WorkerCard(worker))
            card.queues[queue] = worker
    busy = sorted({queue for card in cards.values() for queue in card.queues if card.in_flight})
    for row in _joined(await asyncio.gather(*(board.reader.running(queue) for queue in busy))):
        if row.worker in cards and len(cards[row.worker].tasks) < MOST_TASKS:
            cards[row.worker].tasks.append(row)
    kept = [card for card in cards.values() if _matches(card, search)]
    kept.sort(key=lambda card: (card.trouble, card.name, card.info.worker_id))
    versions = {card.info.version for card in cards.values() if card.info.version}
    return {
        "cards": kept[:MOST_WORKERS],
        "found": len(kept),
        "known": len(cards),
        "left_out": left_out,
        "running": sum(card.in_flight for card in cards.values()),
        "slots": sum(card.info.concurrency for card in cards.values()),
        "draining": sum(card.draining for card in cards.values()),
        "silent": sum(card.trouble < 2 for card in cards.values()),
        "search": visit["q"],
        "versions": sorted(versions),
    }


async def _queues(board: Board, search: str) -> tuple[list[str], int]:
    """Choose the queues whose workers are read: if there are too many, those of the search first.

    Returns:
        Their names, and how many other queues have workers.
    """
    names = list(await board.reader.queues())
    if len(names) <= MOST_QUEUES:
        return names, 0
    depths = await board.reader.depths(names)
    staffed = [name for name in names if depths[name].workers]
    staffed.sort(key=lambda name: search not in name)
    return staffed[:MOST_QUEUES], len(staffed[MOST_QUEUES:])


def _joined(lists: Iterable[Sequence[TaskRow]]) -> list[TaskRow]:
    rows = [row for rows in lists for row in rows]
    rows.sort(key=lambda row: row.started_at_ms or 0)
    return rows


def _matches(card: WorkerCard, search: str) -> bool:
    words = (card.name, card.info.worker_id, card.info.version or "", *card.queues)
    return any(search in word.lower() for word in words)


async def drain(request: ActRequest) -> Response:
    """Ask a worker to take no more tasks, from any of its queues."""
    return await _drain(request, stop=True)


async def undrain(request: ActRequest) -> Response:
    """Call a worker back."""
    return await _drain(request, stop=False)


async def _drain(request: ActRequest, *, stop: bool) -> Response:
    words = request.request.query_params
    worker = words.get("worker", "")
    change = request.admin.drain if stop else request.admin.undrain
    changed = [queue for queue in words.getlist("queue") if await change(queue, [worker])]
    address = request.links.to("workers")
    if not changed:
        return request.then(address, "Nothing had to be changed: the worker is so, or is gone.")
    state = "takes no more tasks from" if stop else "takes tasks again from"
    return request.then(address, f"The worker {worker} {state} {', '.join(changed)}.")


PAGES: Final = Pages(
    views=(
        View(
            "workers",
            "/workers",
            "workers.html",
            read,
            live=("totals", "workers"),
            query=frozenset({"q"}),
        ),
    ),
    routes=(
        acting("/workers/drain", "workers.drain", drain),
        acting("/workers/undrain", "workers.undrain", undrain),
    ),
    navigation=(MenuEntry("workers", "Workers"),),
)
