"""Log lines while Redis is in trouble."""

from __future__ import annotations

import logging

import pytest

from identtqueue.errors import RedisUnavailable
from identtqueue.transport.outage import Outage
from testing.clock import StoppedClock

AWAY = RedisUnavailable("Redis can't be reached: refused")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def outage(clock: StoppedClock) -> Outage:
    return Outage(clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return said


def test_a_line_at_its_start_every_ten_seconds_and_at_its_end(
    outage: Outage, clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    for tick in range(250):  # 25 s, four who fail ten times a second
        for who in ("lease", "fetching", "upkeep", "results"):
            outage.failed(who, AWAY)
        clock.now += 0.1
        assert len(caplog.records) == 1 + tick // 100
    for who in ("fetching", "upkeep", "results"):
        outage.worked(who)
    outage.worked("lease")
    assert lines(caplog) == [
        "lease: Redis can't be reached: refused; trying again",
        f"still failing after 10 s: fetching, lease, results, upkeep: {AWAY}",
        f"still failing after 20 s: fetching, lease, results, upkeep: {AWAY}",
        "Redis works again, after 25.0 s",
    ]
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


def test_it_is_over_when_all_work_again(
    outage: Outage, clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    outage.failed("lease", AWAY)
    outage.failed("fetching", AWAY)
    outage.worked("lease")
    assert len(lines(caplog)) == 1
    clock.now += 3
    outage.worked("fetching")
    outage.worked("fetching")
    outage.worked("somebody else")
    assert lines(caplog) == ["Redis works again, after 3.0 s"]


def test_flapping_is_no_flood(
    outage: Outage, clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        outage.failed("fetching", AWAY)
        clock.now += 0.1
        outage.worked("fetching")
    assert lines(caplog) == [
        "fetching: Redis can't be reached: refused; trying again",
        "Redis works again, after 0.1 s",
    ]


def test_a_client_that_has_given_up_does_not_prolong_the_outage(
    outage: Outage, clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An idle client that gave up hours ago logs no outage of hours when it works again."""
    outage.failed("client", AWAY)
    outage.gave_up("client")
    lines(caplog)
    clock.now += 3600
    outage.worked("client")
    assert lines(caplog) == []
