"""One queue: its jobs, limits, workers and schedules; pause and resume."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from identtqueue.admin import Counts, JobInfo, LimitsInUse, Series
from identtqueue.dashboard.acting import ActRequest, acting
from identtqueue.dashboard.board import Board
from identtqueue.dashboard.live.view import View, Visit
from identtqueue.dashboard.pages.noun import Pages

RECENT_MINUTES: Final = 15
MOST_JOBS: Final = 300
MOST_WORKERS: Final = 100


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job in the table of a queue.

    Attributes:
        job: what is known of it.
        limits: how far its limits are used; None: it has none.
        hour: what happened in the last hour.
        course: attempts that ended, minute by minute.
        failed: those of them that failed.
    """

    job: JobInfo
    limits: LimitsInUse | None
    hour: Counts
    course: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def errors(self) -> list[tuple[str, int]]:
        """The three most frequent types of error, with their numbers."""
        return sorted(self.hour.errors.items(), key=lambda item: -item[1])[:3]


async def read(board: Board, visit: Visit) -> dict[str, Any]:
    """Read what is known of a queue."""
    queue = visit["queue"]
    reader = board.reader
    (depth, workers, crons), (course, hour), (jobs, limits) = await asyncio.gather(
        asyncio.gather(reader.depth(queue), reader.workers(queue), reader.crons(queue)),
        asyncio.gather(reader.course(queue), reader.hour(queue)),
        asyncio.gather(reader.jobs(queue), reader.limits(queue)),
    )
    return {
        "queue": queue,
        "depth": depth,
        "recent": course.recent,
        "recent_minutes": course.recent_minutes,
        "rows": _job_rows(jobs, limits, hour),
        "jobs_known": len(jobs),
        "workers": workers[:MOST_WORKERS],
        "workers_known": len(workers),
        "crons": crons,
    }


def _job_rows(jobs: Sequence[JobInfo], limits: Sequence[LimitsInUse], hour: Series) -> list[JobRow]:
    """Put together what is known of each job; the busiest ones come first."""
    known = {job.name: job for job in jobs}
    in_use = {each.job: each for each in limits}
    happened = {name for point in hour.points for name in point.by_job}
    rows = []
    for name in {*known, *in_use, *happened}:
        counts = [point.by_job.get(name) for point in hour.points]
        there = [each for each in counts if each is not None]
        rows.append(
            JobRow(
                known.get(name) or JobInfo(name),
                in_use.get(name),
                sum(there, Counts()),
                tuple(each.ended if each else 0 for each in counts),
                tuple(each.failed + each.retried if each else 0 for each in counts),
            )
        )
    rows.sort(key=lambda row: (-row.hour.ended, -row.hour.enqueued, row.job.name))
    return rows[:MOST_JOBS]


async def pause(request: ActRequest) -> Response:
    """Stop all claims from the queue, or from one job."""
    return await _pause(request, stop=True)


async def resume(request: ActRequest) -> Response:
    """Allow claims again."""
    return await _pause(request, stop=False)


async def _pause(request: ActRequest, *, stop: bool) -> Response:
    queue, job, admin = request.path["queue"], request.field("job"), request.admin
    if job:
        changed = await (admin.pause_job if stop else admin.resume_job)(queue, job)
    else:
        changed = await (admin.pause if stop else admin.resume)(queue)
    what = f"The job {job}" if job else f"The queue {queue}"
    state = "paused; running tasks go on" if stop else "no longer paused"
    notice = f"{what} is {state}." if changed else f"{what} was so already."
    return request.then(request.links.to("queue", queue=queue), notice)


async def cron(request: ActRequest) -> Response:
    """Run a schedule now, pause it, or resume it."""
    queue, name, admin = request.path["queue"], request.field("name"), request.admin
    address = request.links.to("queue", queue=queue)
    match request.path["what"]:
        case "run":
            await admin.run_cron_now(queue, name)
            return request.then(
                address, f"The schedule {name} runs now; its times stay as they are."
            )
        case "pause":
            await admin.pause_cron(queue, name)
            return request.then(address, f"The schedule {name} is paused.")
        case _:
            await admin.resume_cron(queue, name)
            return request.then(address, f"The schedule {name} is no longer paused.")


PAGES: Final = Pages(
    views=(
        View(
            "queue",
            "/queues/{queue}",
            "queue.html",
            read,
            live=("head", "totals", "jobs", "workers", "crons"),
        ),
    ),
    routes=(
        acting("/queues/{queue}/pause", "queue.pause", pause),
        acting("/queues/{queue}/resume", "queue.resume", resume),
        acting("/queues/{queue}/cron/{what}", "queue.cron", cron),
    ),
)
