"""Schedules in tests: when they fire, and the call that each firing enqueues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from identtqueue.app import App, JobCall
from identtqueue.errors import InvalidInput
from identtqueue.protocol.submission import Submission
from identtqueue.schedule import Cron

MOST_FIRINGS: Final = 10_000
"""Upper bound for the firings of one question. A schedule of seconds has 86,400 in a day."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing of a schedule.

    Attributes:
        at: when it fires, in UTC.
        schedule: name of the schedule.
        job: name of the job.
        queue: queue that its task is enqueued in.
        args, kwargs: arguments of the job.
    """

    at: datetime
    schedule: str
    job: str
    queue: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def firings(app: App, start: datetime, end: datetime, schedule: str | None = None) -> list[Firing]:
    """List what the schedules of an app fire between two moments, without running anything.

    Args:
        app: the app.
        start: an aware datetime; a firing at this very moment does not count.
        end: an aware datetime; a firing at this very moment counts.
        schedule: name of one schedule. Default: all of the app.

    Returns:
        The firings, in the order of their times.

    Raises:
        InvalidInput: a datetime is not aware, the app has no such schedule, or there are more than
            10,000 firings.
    """
    for name, value in (("start", start), ("end", end)):
        if value.utcoffset() is None:
            raise InvalidInput(f"{name} must be an aware datetime: datetime(…, tzinfo=UTC)")
    entries = app.crons if schedule is None else [find_schedule(app, schedule)]
    found = [
        Firing(
            at=datetime.fromtimestamp(fire_ms / 1000, UTC),
            schedule=entry.name,
            job=entry.function_name,
            queue=entry.queue or app.default_queue,
            args=tuple(entry.args),
            kwargs=dict(entry.kwargs),
        )
        for entry in entries
        for fire_ms in firings_ms(entry, _ms(start), _ms(end))
    ]
    return sorted(found, key=lambda firing: firing.at)


def firings_ms(entry: Cron, start_ms: int, end_ms: int) -> Iterator[int]:
    """Iterate over the firings of one schedule after a moment, up to another, in ms since 1970.

    Raises:
        InvalidInput: there are more than 10,000.
    """
    at_ms = start_ms
    for _ in range(MOST_FIRINGS + 1):
        next_ms = entry.next_fire_ms(at_ms)
        if next_ms is None or next_ms > end_ms:
            return
        at_ms = next_ms
        yield at_ms
    raise InvalidInput(
        f"cron {entry.name} fires more than {MOST_FIRINGS:,} times: choose a shorter time"
    )


def cron_call(app: App, schedule: str) -> JobCall[Any]:
    """Return the call that a firing of a schedule enqueues, to enqueue it now.

    ::

        await app.enqueue_many([cron_call(app, "cleanup")])

    Args:
        app: the app.
        schedule: name of the schedule.

    Raises:
        InvalidInput: the app has no such schedule.
    """
    entry = find_schedule(app, schedule)
    job = app.jobs[entry.function_name]
    queue = entry.queue or app.default_queue
    return JobCall(job, Submission(queue, job.name, entry.args, entry.kwargs, entry.options))


def find_schedule(app: App, name: str) -> Cron:
    """Find a schedule of an app by its name.

    Raises:
        InvalidInput: there is none, or several queues have one of that name.
    """
    found = [entry for entry in app.crons if entry.name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted({entry.name for entry in app.crons})) or "none"
    what = "no schedule" if not found else "several schedules"
    raise InvalidInput(f"this app has {what} named {name!r}; its schedules: {known}")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
