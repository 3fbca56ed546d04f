"""Checks of the way to Redis: how long it takes, and whether the clocks agree."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from identtqueue.cli.display.times import duration
from identtqueue.cli.doctor.facts import Facts
from identtqueue.cli.doctor.finding import Finding, Level, bad_or_well

SLOW_MS: Final = 20.0
"""Median time of a PING from which on the way to Redis is slow: each claim takes one such time."""

STALL_MS: Final = 500.0
"""A single PING that takes this long shows that Redis, the network or this host stood still."""

CLOCK_MS: Final = 1_000
"""Clocks that differ by more count as wrong."""


def latency(facts: Facts) -> list[Finding]:
    """Judge how long Redis takes to answer."""
    if not facts.pings_ms:
        text = "Redis answers no PING"
        return [Finding("latency", Level.UNKNOWN, text, "mend what the other checks have found")]
    middle, longest = median(facts.pings_ms), max(facts.pings_ms)
    found = f"{len(facts.pings_ms)} PINGs: median {_ms(middle)}, longest {_ms(longest)}"
    if middle >= SLOW_MS:
        mend = "run workers close to Redis; look at SLOWLOG GET, LATENCY DOCTOR and its CPU"
        return [Finding("latency", Level.WARNING, found, mend)]
    if longest >= STALL_MS:
        mend = "SLOWLOG GET and LATENCY DOCTOR show what Redis did meanwhile"
        return [Finding("latency", Level.WARNING, found, mend)]
    return [Finding("latency", Level.OK, found)]


def clocks(facts: Facts) -> list[Finding]:
    """Compare the clocks of this host and of the workers with Redis' clock.

    The library itself counts by Redis' clock alone. But jobs, logs and `at=` use the hosts' clocks.
    """
    mend = "synchronise the clock of that host (chronyc tracking, timedatectl)"

    def wrong() -> Iterator[Finding]:
        if abs(facts.clock_ahead_ms) > CLOCK_MS:
            found = f"the clock of this host is {_apart(facts.clock_ahead_ms)} Redis'"
            yield Finding("clocks", Level.WARNING, found, mend, "this host")
        seen = set()
        for queue in facts.queues:
            for worker in queue.workers:
                ahead_ms = worker.clock_ahead_ms or 0
                if abs(ahead_ms) > CLOCK_MS and worker.host not in seen:
                    seen.add(worker.host)
                    found = f"its clock was {_apart(ahead_ms)} Redis' when a worker started there"
                    yield Finding("clocks", Level.WARNING, found, mend, worker.host)

    return bad_or_well(
        "clocks", wrong(), f"this host is {_apart(facts.clock_ahead_ms)} Redis; workers agree"
    )


def _apart(ahead_ms: int) -> str:
    return f"{duration(abs(ahead_ms))} {'behind' if ahead_ms < 0 else 'ahead of'}"


def _ms(ms: float) -> str:
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:.0f} ms"
