"""The series of a queue: what happened in each minute or hour, by job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Final, Literal, NamedTuple

from identtqueue.errors import InvalidInput
from identtqueue.protocol import counting
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import inspecting, server_facts
from identtqueue.protocol.counting import Counts
from identtqueue.task import check_queue_name
from identtqueue.transport.connection import AsyncRedis

StepName = Literal["minute", "hour"]

NOTHING: Final = Counts()

AT_ONCE: Final = 120
"""How many minutes or hours are read together. Other calls of this client come in between."""


class _Step(NamedTuple):
    """A step of a series: its length, and how many steps Redis keeps."""

    ms: int
    kept: int


_STEPS: Final[Mapping[str, _Step]] = {
    "minute": _Step(counting.MINUTE_MS, counting.MINUTES_KEPT),
    "hour": _Step(counting.HOUR_MS, counting.HOURS_KEPT),
}


@dataclass(frozen=True, slots=True)
class Point:
    """The numbers of one minute or hour.

    Attributes:
        at_ms: its beginning, in ms since 1970 (Redis time).
        by_job: what was counted, by job. Jobs of which nothing was counted are left out.
    """

    at_ms: int
    by_job: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """The numbers of all jobs together."""
        return reduce(add, self.by_job.values(), NOTHING)


@dataclass(frozen=True, slots=True)
class Series:
    """The numbers of a queue, in steps of equal length.

    Attributes:
        step_seconds: length of a step.
        points: one for each step, the newest last. Steps in which nothing happened are there, too.
            The newest one goes on: it is not complete.
    """

    step_seconds: int
    points: Sequence[Point]

    @property
    def total(self) -> Counts:
        """The numbers of all steps together."""
        return reduce(add, (point.total for point in self.points), NOTHING)

    @property
    def by_job(self) -> Mapping[str, Counts]:
        """The numbers of all steps together, by job."""
        found: dict[str, Counts] = {}
        for point in self.points:
            for job, counts in point.by_job.items():
                found[job] = found[job] + counts if job in found else counts
        return found


async def read_series(
    redis: AsyncRedis,
    queue: str,
    job: str | None,
    step: StepName,
    since_ms: int | None,
    until_ms: int | None,
) -> Series:
    """Read a series: see `Admin.series`."""
    check_queue_name(queue)
    if step not in _STEPS:
        raise InvalidInput(f"step={step!r}: must be 'minute' or 'hour'")
    length = _STEPS[step]
    now_ms = int(await redis.run(server_facts.server_time()) * 1000)
    newest = min(until_ms or now_ms, now_ms) // length.ms
    oldest = max(since_ms or 0, now_ms - (length.kept - 1) * length.ms) // length.ms
    steps = range(oldest, newest + 1)
    if step == "minute":
        found = await _read(redis, [inspecting.numbers_of_minute(queue, n) for n in steps])
    else:
        found = await _read_hours(redis, queue, steps, now_ms // counting.MINUTE_MS)
    points = [
        Point(number * length.ms, _only(job, by_job))
        for number, by_job in zip(steps, found, strict=True)
    ]
    return Series(length.ms // 1000, points)


async def read_last_minute(redis: AsyncRedis, queue: str) -> Mapping[str, Counts]:
    """Read the last complete minute: see `Admin.last_minute`."""
    check_queue_name(queue)
    now_ms = int(await redis.run(server_facts.server_time()) * 1000)
    return await redis.run(inspecting.numbers_of_minute(queue, now_ms // counting.MINUTE_MS - 1))


async def _read_hours(
    redis: AsyncRedis, queue: str, hours: range, this_minute: int
) -> list[dict[str, Counts]]:
    """Read hours, with the tasks that were enqueued in minutes that are not in their hours yet."""
    rolled = await redis.run(inspecting.rolled(queue))
    while True:
        found = await _read(redis, [inspecting.numbers_of_hour(queue, hour) for hour in hours])
        first = max(rolled + 1, this_minute - counting.MINUTES_KEPT)
        minutes = [m for m in range(first, this_minute + 1) if m // 60 in hours]
        late = await _read(redis, [inspecting.numbers_of_minute(queue, m) for m in minutes])
        before, rolled = rolled, await redis.run(inspecting.rolled(queue))
        if rolled == before:  # else a minute was added meanwhile, and may be counted twice
            break
    for minute, by_job in zip(minutes, late, strict=True):
        _add_enqueued(found[minute // 60 - hours.start], by_job)
    return found


def _add_enqueued(hour: dict[str, Counts], minute: Mapping[str, Counts]) -> None:
    for job, counts in minute.items():
        if counts.enqueued:
            hour[job] = hour.get(job, NOTHING) + Counts(enqueued=counts.enqueued)


async def _read(
    redis: AsyncRedis, calls: Sequence[Call[dict[str, Counts]]]
) -> list[dict[str, Counts]]:
    found: list[dict[str, Counts]] = []
    for first in range(0, len(calls), AT_ONCE):
        found += await redis.run_all(calls[first : first + AT_ONCE])
    return found


def _only(job: str | None, by_job: dict[str, Counts]) -> dict[str, Counts]:
    return by_job if job is None else {job: by_job[job]} if job in by_job else {}
