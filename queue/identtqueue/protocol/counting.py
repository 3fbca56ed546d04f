"""The numbers of a minute or an hour: what is counted, and its form in Redis.

Each queue has a HASH per minute, kept for a day, and one per hour, kept for two weeks. Their fields
are named after a kind and a job:

- `e:<job>`: how many tasks were enqueued. The script that enqueues counts them.
- `r:<job>` and `d:<job>`: how many tasks were taken back from lost workers, and how many became
  dead letters without a report of a worker. The scripts that do so count them.
- `w:<job>`: what workers have counted, as msgpack: a list of numbers (see `Number`), and the
  failures by type of error.

Workers count in memory, and report the differences about once a second (`lua/count.lua`). So a
task costs no command in Redis for being counted. ([ADR
42](../docs/adr/042-who-counts-what.md))
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from identtqueue.protocol import codec

BOUNDS_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""Upper bounds of the histograms in Redis. All workers of a queue use the same ones, so that their
numbers can be added."""

OTHER: Final = "(other)"
"""The job, or the type of error, under which those are counted that are not told apart."""

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000

MINUTES_KEPT: Final = 1_440
HOURS_KEPT: Final = 336
"""How many complete minutes and hours can be read: a day, and 14 days."""


class Number(enum.IntEnum):
    """The place of each number in the list that a worker reports, before its histograms.

    The list ends with the counts per bucket: first of the waits, then of the runs.
    """

    STARTED = 0
    SUCCEEDED = 1
    FAILED = 2
    RETRIED = 3
    RELEASED = 4
    CANCELLED = 5
    DECLINED = 6
    DISOWNED = 7
    WAITED_US = 8
    RAN_US = 9


FIRST_BUCKET: Final = len(Number)

BUCKETS: Final = len(BOUNDS_SECONDS) + 1
"""Buckets of one histogram. The last one has no upper bound."""


class Histogram(msgspec.Struct, frozen=True):
    """Durations, counted by bucket.

    Attributes:
        counts: number of durations in each bucket. A bucket ends with its bound; the last one has
            no end.
        sum_seconds: sum of all durations.
        bounds: upper bounds of the buckets in seconds, without that of the last one.
    """

    counts: tuple[int, ...] = (0,) * BUCKETS
    sum_seconds: float = 0.0
    bounds: tuple[float, ...] = BOUNDS_SECONDS

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None: nothing was counted."""
        count = self.count
        return self.sum_seconds / count if count else None

    def quantile(self, share: float) -> float | None:
        """Estimate the duration that this share of all durations does not exceed.

        The estimate lies in the right bucket. Within it, the durations are taken to be spread
        evenly, as `histogram_quantile` of Prometheus does.

        Args:
            share: from 0 to 1; 0.95 gives the 95th percentile.

        Returns:
            The duration in seconds. None: nothing was counted. If it exceeds the last bound, that
            bound is returned.

        Raises:
            ValueError: `share` is not from 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share={share!r}: must be from 0 to 1")
        rank, seen, lower = share * self.count, 0, 0.0
        for count, upper in zip(self.counts, self.bounds, strict=False):
            if count and seen + count >= rank:
                return lower + (upper - lower) * max(0.0, rank - seen) / count
            seen, lower = seen + count, upper
        return lower if self.count else None

    def __add__(self, other: Histogram) -> Histogram:
        """Join two histograms of the same bounds."""
        if not isinstance(other, Histogram):
            return NotImplemented
        if self.bounds != other.bounds:
            raise ValueError("histograms of different bounds can't be added")
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.sum_seconds + other.sum_seconds, self.bounds)


_NOTHING: Final = Histogram()


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of events of the tasks of a job, or of several, in some time.

    Attributes:
        enqueued: tasks that were enqueued, or planned by a schedule.
        started: attempts that workers have started.
        succeeded, retried: attempts that ended so.
        failed: tasks that became dead letters, also without an attempt that failed.
        released: attempts that were cut off because their worker stopped; the task runs again.
        cancelled: attempts that were cancelled on request.
        declined: attempts whose worker could not run the task.
        disowned: attempts that were cut off because their worker had lost its lease.
        recovered: tasks that were taken back from lost workers, and wait again.
        waited: how long the tasks of these attempts had been pending.
        ran: how long the attempts ran.
        errors: failed and retried attempts by the type of their error.
    """

    enqueued: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    cancelled: int = 0
    declined: int = 0
    disowned: int = 0
    recovered: int = 0
    waited: Histogram = _NOTHING
    ran: Histogram = _NOTHING
    errors: Mapping[str, int] = msgspec.field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many attempts have ended, however."""
        return self.ran.count

    def __add__(self, other: Counts) -> Counts:
        """Add what was counted elsewhere, or at another time."""
        if not isinstance(other, Counts):
            return NotImplemented
        errors = dict(self.errors)
        for kind, number in other.errors.items():
            errors[kind] = errors.get(kind, 0) + number
        numbers = {name: getattr(self, name) + getattr(other, name) for name in _NUMBERS}
        return Counts(
            **numbers,
            waited=self.waited + other.waited,
            ran=self.ran + other.ran,
            errors=errors,
        )


_NUMBERS: Final = (
    *("enqueued", "started", "succeeded", "failed", "retried", "released", "cancelled"),
    *("declined", "disowned", "recovered"),
)

_REPORTED: Final = {place.name.lower(): place for place in Number if place < Number.WAITED_US}
"""The numbers that workers report, by their names in `Counts`."""


def pack(numbers: Sequence[int], errors: Mapping[str, int]) -> bytes:
    """Encode what a worker has counted for one job, as `lua/count.lua` adds it.

    Args:
        numbers: see `Number`.
        errors: failures by type of error.
    """
    return codec.encode_plain([list(numbers), dict(errors)])


def parse_numbers(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, Counts]:
    """Parse the HASH of a minute or an hour: what was counted, by job.

    Args:
        fields: names and values of its fields.
    """
    found: dict[str, dict[str, bytes]] = {}
    for name, value in fields:
        kind, colon, job = name.decode(errors="replace").partition(":")
        if colon:
            found.setdefault(job, {})[kind] = value
    return {job: _counts(kinds) for job, kinds in found.items()}


def _counts(kinds: Mapping[str, bytes]) -> Counts:
    """Decode the fields of one job, by kind."""
    enqueued, recovered, dead = (int(kinds.get(kind, 0)) for kind in "erd")
    if "w" not in kinds:
        return Counts(enqueued=enqueued, recovered=recovered, failed=dead)
    numbers, errors = codec.decode_value(kinds["w"])
    numbers[Number.FAILED] += dead
    first, second = FIRST_BUCKET, FIRST_BUCKET + BUCKETS
    return Counts(
        enqueued=enqueued,
        recovered=recovered,
        **{name: numbers[place] for name, place in _REPORTED.items()},
        waited=Histogram(tuple(numbers[first:second]), numbers[Number.WAITED_US] / 1e6),
        ran=Histogram(tuple(numbers[second:]), numbers[Number.RAN_US] / 1e6),
        errors=dict(errors),  # Lua writes an empty map as an empty list
    )
