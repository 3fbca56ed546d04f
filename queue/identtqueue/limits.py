"""The limits of a job, as checked values. Redis enforces them (`protocol/lua/lib/limits.lua`)."""

from __future__ import annotations

from typing import Final

import msgspec

from identtqueue.checks import check_duration
from identtqueue.errors import InvalidInput

PACED_MS: Final = 10.0
"""The default burst is the number of tasks that fall into this time. So rates up to 100/s are paced
one by one. At higher rates a worker need not ask more than 100 times a second."""


class RateLimit(msgspec.Struct, frozen=True):
    """A rate limit: how often tasks of a job may start, by GCRA (ITU-T I.371).

    The generic cell rate algorithm paces the starts: they are `per_seconds / count` apart, but
    after a rest up to `burst` may start at once. So in any window of `per_seconds`, wherever it
    begins, at most `count + burst - 1` tasks start; with `burst=1` never more than `count`. Every
    attempt counts as a start, including retries.

    Attributes:
        count: number of starts in `per_seconds`.
        per_seconds: length of that period in seconds.
        burst: how many may start at once after a rest. Default: as many as fall into 10 ms, at
            least 1; so rates up to 100/s have no burst.

    Raises:
        InvalidInput: an attribute breaks a rule.
    """

    count: int
    per_seconds: float
    burst: int | None = None

    def __post_init__(self) -> None:
        burst = 1 if self.burst is None else self.burst
        for name, value in (("count", self.count), ("burst", burst)):
            if not _is_count(value):
                raise InvalidInput(f"RateLimit: {name}={value!r} must be a whole number, 1 or more")
        check_duration("RateLimit: per_seconds", self.per_seconds)

    @property
    def interval_ms(self) -> float:
        """Time between two starts: GCRA's increment T."""
        return self.per_seconds * 1000 / self.count

    @property
    def burst_size(self) -> int:
        """Number of starts at once: GCRA's tolerance is `(burst_size - 1) * interval_ms`."""
        return self.burst or max(1, round(PACED_MS / self.interval_ms))


class JobLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one job in one queue, for all workers together.

    Attributes:
        max_running: how many of its tasks may run at the same time; None: any number.
        rate_limit: how often one may start; None: at any time.

    Raises:
        InvalidInput: an attribute breaks a rule.
    """

    max_running: int | None = None
    rate_limit: RateLimit | None = None

    def __post_init__(self) -> None:
        if self.max_running is not None and not _is_count(self.max_running):
            raise InvalidInput(
                f"max_running={self.max_running!r}: must be a whole number, 1 or more "
                "(to stop a queue altogether, pause it)"
            )
        if self.rate_limit is not None and not isinstance(self.rate_limit, RateLimit):
            raise InvalidInput(
                f"rate_limit={self.rate_limit!r}: give RateLimit(100, per_seconds=60)"
            )

    def __bool__(self) -> bool:
        """Return whether anything is limited."""
        return self.max_running is not None or self.rate_limit is not None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**53
