"""Declarations of a job's limits."""

from __future__ import annotations

import pytest

from identtqueue import App, Job, RateLimit
from identtqueue.errors import InvalidInput
from identtqueue.limits import JobLimits
from identtqueue.worker.registry import Registry


async def job(_ctx: object) -> None: ...


@pytest.mark.parametrize(
    ("rate", "interval_ms", "burst"),
    [
        (RateLimit(100, per_seconds=60), 600, 1),
        (RateLimit(100, per_seconds=60, burst=5), 600, 5),
        (RateLimit(100, per_seconds=1), 10, 1),
        (RateLimit(1000, per_seconds=1), 1, 10),
        (RateLimit(1000, per_seconds=1, burst=1), 1, 1),
        (RateLimit(1, per_seconds=86_400), 86_400_000, 1),
    ],
)
def test_a_rate_is_paced(rate: RateLimit, interval_ms: float, burst: int) -> None:
    """The default burst is the number of starts in 10 ms, so workers need not claim more often."""
    assert (rate.interval_ms, rate.burst_size) == (interval_ms, burst)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "1", 2**53])
def test_invalid_max_running(count: object) -> None:
    with pytest.raises(InvalidInput, match=r"RateLimit: count=.* must be a whole number"):
        RateLimit(count, 1)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"RateLimit: burst=.* must be a whole number"):
        RateLimit(1, 1, burst=count)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"max_running=.*: must be a whole number, 1 or more"):
        Job(name="job", function=job, max_running=count)  # type: ignore[arg-type]


def test_invalid_rates() -> None:
    with pytest.raises(InvalidInput, match=r"RateLimit: count=None must be a whole number"):
        RateLimit(None, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_invalid_periods(seconds: object) -> None:
    with pytest.raises(InvalidInput, match=r"RateLimit: per_seconds=.* must be a number, more"):
        RateLimit(1, seconds)  # type: ignore[arg-type]


def test_a_rate_limit_that_is_a_text() -> None:
    with pytest.raises(InvalidInput, match=r"give RateLimit\(100, per_seconds=60\)"):
        Job(name="job", function=job, rate_limit="100/m")  # type: ignore[arg-type]


def test_a_worker_declares_every_job() -> None:
    """Jobs without limits are declared too, because an earlier version may have had some."""
    rate = RateLimit(1, 1)
    limited = Job(name="limited", function=job, max_running=2, rate_limit=rate)
    limits = Registry({"free": job, "limited": limited}).limits
    assert limits == {
        "free": JobLimits(),
        "limited": JobLimits(max_running=2, rate_limit=rate),
    }
    assert [bool(declared) for declared in limits.values()] == [False, True]


def test_a_job_of_an_app_has_limits() -> None:
    app = App("redis://localhost")
    declare = app.task(name="a", max_running=3, rate_limit=RateLimit(5, 1))
    assert declare(job).job_options.limits == JobLimits(max_running=3, rate_limit=RateLimit(5, 1))
    assert not app.task(job).job_options.limits
    with pytest.raises(InvalidInput, match="max_running=0"):
        app.task(name="b", max_running=0)(job)
