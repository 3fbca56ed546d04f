"""From what was seen of one run to what became of its tasks. Pure.

Times are seconds on the monotonic clock, durations seconds; None: it did not happen while it was
waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness.ledger import END, POISON, START, Line, times

Facts = dict[str, Any]

RUNNING = "running"
"""The task that runs when the fault comes; the others wait."""


@dataclass(frozen=True)
class Exit:
    """A worker's first process ended; a negative code is the signal that ended it."""

    code: int
    at: float


@dataclass(frozen=True)
class Answer:
    """The record of each task, looked at from outside; see `Producer.outcome`."""

    at: float
    outcomes: Mapping[str, str | None]


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        labels: of its tasks.
        lines: of the ledger.
        answers: in order.
        moments: `fault`, when it was injected; `back`, when Redis was there again
            with tasks to do.
        exits: of the workers, in order.
    """

    labels: tuple[str, ...]
    lines: list[Line]
    answers: list[Answer]
    moments: Mapping[str, float]
    exits: tuple[Exit, ...] = field(default=())

    def first(self, event: str, label: str, after: float) -> float | None:
        """Seconds from a moment until the next event of a task."""
        return next((at - after for at in times(self.lines, event, label) if at > after), None)

    def outcome(self, label: str) -> str | None:
        """As last looked at."""
        return self.answers[-1].outcomes.get(label) if self.answers else None

    def recorded(self, label: str, after: float) -> float | None:
        """Seconds from a moment until its end was seen to be recorded."""
        seen = (answer.at for answer in self.answers if answer.outcomes.get(label))
        return next((at - after for at in seen), None)

    def books(self) -> Facts:
        """How many tasks came to which end, the poison left out.

        `unrecorded`: ran to its end, and no result is recorded; `missing`: neither.
        """
        counts = {"succeeded": 0, "failed": 0, "unrecorded": 0, "missing": 0}
        labels = [label for label in self.labels if label != POISON]
        for label in labels:
            ran = bool(times(self.lines, END, label))
            counts[self.outcome(label) or ("unrecorded" if ran else "missing")] += 1
        started = [len(times(self.lines, START, label)) for label in labels]
        ended = [len(times(self.lines, END, label)) for label in labels]
        return {
            **counts,
            "started_again": sum(number > 1 for number in started),
            "ended_again": sum(number > 1 for number in ended),
        }


def kill(record: Record) -> Facts:
    """The worker is killed while a task runs."""
    fault = record.moments["fault"]
    others = [record.first(END, label, fault) for label in record.labels if label != RUNNING]
    return {
        "again": record.first(START, RUNNING, fault),
        "outcome": record.outcome(RUNNING),
        "recorded": record.recorded(RUNNING, fault),
        "others": _all(others),
        **record.books(),
    }


def redis(record: Record) -> Facts:
    """Redis is killed while a task runs, and comes back."""
    fault, back = record.moments["fault"], record.moments["back"]
    starts = [line.at for line in record.lines if line.event == START and line.at > back]
    return {
        "exits": [end.code for end in record.exits],
        "next": min(starts) - back if starts else None,
        "outcome": record.outcome(RUNNING),
        "again": record.first(START, RUNNING, fault),
        **record.books(),
    }


def poison(record: Record) -> Facts:
    """A task kills its worker, time after time."""
    starts = times(record.lines, START, POISON)
    first = starts[0] if starts else 0.0
    others = [label for label in record.labels if label != POISON]
    return {
        "deliveries": len(starts),
        "seconds": starts[-1] - first if starts else None,
        "outcome": record.outcome(POISON),
        "recorded": record.recorded(POISON, first),
        "others": _all([record.first(END, label, first) for label in others]),
        **record.books(),
    }


def term(record: Record) -> Facts:
    """The worker gets SIGTERM while a task runs; what is left after the grace is killed."""
    fault, ended = record.moments["fault"], record.exits[0]
    finished = record.first(END, RUNNING, fault)
    return {
        "exit": ended.code,
        "exit_seconds": ended.at - fault,
        "finished": finished is not None and fault + finished <= ended.at,
        "outcome": record.outcome(RUNNING),
        "again": record.first(START, RUNNING, fault),
        **record.books(),
    }


def _all(durations: list[float | None]) -> float | None:
    """The longest; None if one of them has not happened."""
    known = [duration for duration in durations if duration is not None]
    return max(known) if durations and len(known) == len(durations) else None


JUDGES: dict[str, Callable[[Record], Facts]] = {
    "kill": kill,
    "redis": redis,
    "redis_free": redis,
    "poison": poison,
    "term": term,
    "long": term,
}
