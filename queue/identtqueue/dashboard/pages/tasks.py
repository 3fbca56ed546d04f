"""The tasks of a queue: a list for each place, filtered by what the address says, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from identtqueue.admin import Filter, Page, Place
from identtqueue.dashboard.board import Board
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.plans import WORDS, acts_in, place_of
from identtqueue.errors import InvalidInput
from identtqueue.task import State, check_queue_name

MOST_ROWS: Final = 50
"""Tasks on a page."""

_SINCE: Final = {
    Place.PENDING: "Waits since",
    Place.HELD: "Waits since",
    Place.SCHEDULED: "Due",
    Place.RUNNING: "Started",
    Place.DEAD: "Died",
    Place.ENDED: "Ended",
}
"""Heading of the time of a place."""


def filter_words(visit: Visit) -> dict[str, str]:
    """Return the conditions of a visit, without those that are not given."""
    return {word: visit[word].strip() for word in WORDS if visit[word].strip()}


async def read(board: Board, visit: Visit) -> Mapping[str, Any]:
    """Read a page of the list, and how many tasks each place has."""
    queue = check_queue_name(visit["queue"])
    place = place_of(visit["place"] or Place.PENDING)
    depth = await board.reader.depth(queue)  # first, because it also moves tasks that are due
    words = filter_words(visit)
    page, trouble = Page([], None, 0, 0), ""
    try:
        page = await _page(board, visit, queue, place, Filter.parse(words))
    except InvalidInput as error:  # of a condition that is still being written
        trouble = str(error)
    jobs = await board.reader.jobs(queue)
    return {
        "queue": queue,
        "place": place,
        "places": _places(depth, place, page),
        "words": words,
        "same": {"queue": queue, "place": place.value, "order": visit["order"], **words},
        "oldest_first": visit["order"] == "oldest",
        "is_first": not visit["cursor"],
        "page": page,
        "trouble": trouble,
        "since": _SINCE[place],
        "acts": acts_in(place),
        "jobs": [job.name for job in jobs],
        "states": [state.value for state in State if state.ended],
    }


async def _page(board: Board, visit: Visit, queue: str, place: Place, wanted: Filter) -> Page:
    newest_first = visit["order"] != "oldest"
    cursor = visit["cursor"] or None
    return await board.reader.once(
        ("tasks", queue, place, wanted, newest_first, cursor),
        lambda: board.admin.tasks(
            queue, place, wanted, newest_first=newest_first, limit=MOST_ROWS, cursor=cursor
        ),
        fresh_seconds=0,  # after an act its tasks are no longer here
    )


def _places(depth: Any, place: Place, page: Page) -> list[tuple[Place, int | None]]:
    """Return the places and how many tasks each has; None: not counted here."""
    numbers: dict[Place, int | None] = {
        Place.PENDING: max(0, depth.queued - depth.held),
        Place.HELD: depth.held,
        Place.SCHEDULED: depth.scheduled,
        Place.RUNNING: depth.in_flight,
        Place.DEAD: depth.dead,
        Place.ENDED: None,
    }
    if place is Place.ENDED:
        numbers[place] = page.total
    return list(numbers.items())


PAGES: Final = Pages(
    views=(
        View(
            "tasks",
            "/queues/{queue}/tasks",
            "tasks.html",
            read,
            query=frozenset({"place", "order", "cursor", *WORDS}),
        ),
    )
)
