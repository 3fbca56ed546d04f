"""Pauses between attempts."""

from __future__ import annotations

from typing import Final

from redis.backoff import EqualJitterBackoff

_BACKOFF: Final = EqualJitterBackoff(base=0.05, cap=2.0)


def backoff_seconds(failures: int) -> float:
    """Compute the pause after this many failures in a row.

    Its upper bound is 100 ms after the first failure, and doubles with each further one, up to 2 s.
    The pause is random, between half of the bound and all of it. That holds at 2 s too, so that a
    fleet does not return in step after a long outage.
    """
    return float(_BACKOFF.compute(min(failures, 16)))  # 2**16 is past the cap
