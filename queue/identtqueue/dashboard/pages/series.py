"""The data of the plots, as columns of numbers in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from identtqueue.admin import QueueDepth
from identtqueue.dashboard.board import Board
from identtqueue.dashboard.history import STEP_MINUTES, Course
from identtqueue.dashboard.pages.noun import Pages
from identtqueue.dashboard.pages.overview import FEW_QUEUES, MOST_QUEUES, SHORT_HOURS

Columns = dict[str, Any]


async def answer(request: Request) -> Response:
    """Answer with the last 24 hours of a queue, a job, or all queues that a search finds."""
    board = Board.of(request)
    words = request.query_params
    queue = words.get("queue", "")
    if queue:
        columns = await of_queue(board, queue, words.get("job") or None)
    else:
        columns = await _of_all(board, words.get("q", ""))
    return JSONResponse(columns, headers={"Cache-Control": "no-store"})


async def of_queue(board: Board, queue: str, job: str | None = None) -> Columns:
    """Return the columns of a queue, or of one of its jobs."""
    course, depth, marks = await asyncio.gather(
        board.reader.course(queue, job),
        board.reader.depth(queue),
        board.reader.releases([queue]),
    )
    columns = _columns(course, marks)
    if job is None:
        columns["depth"] = _depths(course, depth)
    return columns


async def _of_all(board: Board, search: str) -> Columns:
    known = await board.reader.queues()
    names = [name for name in sorted(known) if search.strip().lower() in name][:MOST_QUEUES]
    if not names:
        return {"at": []}
    hours = 24 if len(names) <= FEW_QUEUES else SHORT_HOURS
    courses = await asyncio.gather(*(board.reader.course(name, hours=hours) for name in names))
    return _columns(sum(courses[1:], courses[0]), await board.reader.releases(names))


def _columns(course: Course, marks: Sequence[tuple[int, str]]) -> Columns:
    """Return rates per minute, and times in seconds; None: nothing happened then."""
    steps = course.steps
    last_minutes = max(1.0, (course.now_ms - steps[-1].at_ms) / 60_000)
    minutes = [*[float(STEP_MINUTES)] * (len(steps) - 1), last_minutes]

    def rate(*names: str) -> list[float]:
        return [
            round(sum(getattr(step.counts, name) for name in names) / each, 2)
            for step, each in zip(steps, minutes, strict=True)
        ]

    def slowest(name: str) -> list[float | None]:
        return [getattr(step.counts, name).quantile(0.95) for step in steps]

    return {
        "at": [step.at_ms // 1000 for step in steps],
        "enqueued": rate("enqueued"),
        "succeeded": rate("succeeded"),
        "failed": rate("failed", "retried"),
        "recovered": rate("recovered"),
        "waited": slowest("waited"),
        "ran": slowest("ran"),
        "marks": [
            {"at": at_ms // 1000, "text": text} for at_ms, text in marks if at_ms >= steps[0].at_ms
        ],
    }


def _depths(course: Course, now: QueueDepth) -> list[int]:
    """Estimate how many unfinished tasks there were at the end of each step.

    Redis keeps no depths of the past. So they are counted backwards from the present one, by what
    came in and what ended. Replayed and discarded tasks are not in these numbers.
    """
    depth = now.queued + now.in_flight + now.scheduled
    found = []
    for step in reversed(course.steps):
        found.append(max(0, depth))
        counts = step.counts
        depth -= counts.enqueued - counts.succeeded - counts.failed - counts.cancelled
    return found[::-1]


PAGES: Final = Pages(routes=(Route("/series.json", answer, name="series"),))
