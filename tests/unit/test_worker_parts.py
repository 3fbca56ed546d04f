"""Slots, drain, leftovers and metrics of a worker."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from identtqueue import Worker
from identtqueue.task import Attempt
from identtqueue.worker.draining import Draining
from identtqueue.worker.leftovers import LEAST_MOST_LEFT, Leftovers
from identtqueue.worker.metrics import BUCKETS, Counters, Gauges, Histogram, Metrics
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.running import Running
from identtqueue.worker.slots import Slots

# --- slots ---


async def test_waiting_ends_when_an_attempt_ends() -> None:
    running = {1, 2}
    slots = Slots(2, running)
    slots.reserve(0)
    waiting = asyncio.ensure_future(slots.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    running.discard(1)
    slots.freed()
    await waiting
    assert (slots.free, slots.total) == (1, 2)


async def test_several_may_wait() -> None:
    slots = Slots(1, ())
    slots.reserve(1)
    waiting = [asyncio.ensure_future(slots.wait()) for _ in range(3)]
    slots.unreserve(1)
    await asyncio.gather(*waiting)


async def test_no_more_can_be_reserved_than_there_are() -> None:
    with pytest.raises(AssertionError):
        Slots(1, ()).reserve(2)
    with pytest.raises(AssertionError):
        Slots(1, {1}).reserve(1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))))
def test_waiting_returns_exactly_when_one_is_free(rounds: list[tuple[int, int, int]]) -> None:
    """Each round reserves slots, starts attempts in some of them, and lets others end."""

    async def scenario() -> None:
        running: list[int] = []
        slots = Slots(5, running)
        for asked, found, ended in rounds:
            reserved = min(asked, slots.free)
            slots.reserve(reserved)
            assert slots.free == 5 - len(running) - reserved
            running.extend(range(min(found, reserved)))
            slots.unreserve(reserved)
            for _ in range(min(ended, len(running))):
                running.pop()
                slots.freed()
            assert slots.free == 5 - len(running)
            waiting = asyncio.ensure_future(slots.wait())
            await asyncio.sleep(0)
            assert waiting.done() == (slots.free > 0)
            waiting.cancel()

    asyncio.run(scenario())


# --- the drain ---


async def test_a_drain_and_the_stop_after_it_take_one_grace_time() -> None:
    draining = Draining()
    assert not draining
    assert draining.grace_left(25) == 25
    draining.begin()
    assert draining
    assert 5 <= draining.grace_left(25) < 25
    assert draining.grace_left(0) == 0
    assert draining.grace_left(5) == 5, "a stop after a long drain leaves five seconds"
    waiting = asyncio.ensure_future(draining.over())
    await asyncio.sleep(0)
    assert not waiting.done()
    draining.end()
    await waiting
    assert not draining
    assert draining.grace_left(25) == 25


# --- attempts that were left behind ---


def attempt(number: int) -> Attempt:
    return Attempt(f"q:{number}", "q", number, 0, 0, 0, 0, 0, b"", 0)


async def test_attempts_left_behind_count_in_every_incarnation() -> None:
    """They outlive the incarnation that left them behind, and so does the obstacle."""
    obstacles = Obstacles()
    leftovers = Leftovers(LEAST_MOST_LEFT, obstacles)
    entries = [Running(attempt(n), lambda: False, lambda *_: None) for n in range(LEAST_MOST_LEFT)]
    for entry in entries:
        assert not obstacles
        leftovers.add(entry)
    assert obstacles.text == f"{LEAST_MOST_LEFT} cancelled attempts have not ended"
    assert all(entry.left for entry in entries)
    leftovers.discard(entries[0])
    assert (len(leftovers), obstacles.text) == (LEAST_MOST_LEFT - 1, None)


# --- metrics ---


@given(st.lists(st.floats(0, 1_000)))
def test_a_histogram_counts_everything_once(seconds: list[float]) -> None:
    histogram = Histogram()
    for value in seconds:
        histogram.observe(value)
    rows = histogram.cumulative()
    assert [bound for bound, _ in rows] == [*map(str, BUCKETS), "+Inf"]
    assert [count for _, count in rows] == [
        *(sum(value <= bound for value in seconds) for bound in BUCKETS),
        len(seconds),
    ]
    assert histogram.total == pytest.approx(sum(seconds))


def scrape(counters: Counters, gauges: Gauges) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(Metrics(counters, lambda: gauges))  # type: ignore[arg-type]
    lines = generate_latest(registry).decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


NOW = Gauges(
    running=3,
    concurrency=8,
    abandoned_threads=2,
    abandoned_attempts=1,
    processes=4,
    draining=True,
)


def test_what_prometheus_reads() -> None:
    counters = Counters()
    counters.ended_one("mrz", "succeeded", 0.01, 2)
    counters.ended_one("mrz", "succeeded", 0.5, 400)
    counters.ended_one("mrz", "failed", 0.5, 0)
    counters.ended_one("default", "retried", 1, 1)

    seen = scrape(counters, NOW)

    assert seen['identtqueue_attempts_total{outcome="succeeded",queue="mrz"}'] == 2
    assert seen['identtqueue_attempts_total{outcome="failed",queue="mrz"}'] == 1
    assert seen['identtqueue_attempts_total{outcome="retried",queue="default"}'] == 1
    assert seen['identtqueue_wait_seconds_bucket{le="0.025",queue="mrz"}'] == 1
    assert seen['identtqueue_wait_seconds_count{queue="mrz"}'] == 3
    assert seen['identtqueue_wait_seconds_sum{queue="mrz"}'] == pytest.approx(1.01)
    assert seen['identtqueue_run_seconds_bucket{le="300",queue="mrz"}'] == 2
    assert seen['identtqueue_run_seconds_bucket{le="+Inf",queue="mrz"}'] == 3
    assert seen["identtqueue_running"] == 3
    assert seen["identtqueue_concurrency"] == 8
    assert seen["identtqueue_abandoned_threads"] == 2
    assert seen["identtqueue_abandoned_attempts"] == 1
    assert seen["identtqueue_processes"] == 4
    assert seen["identtqueue_draining"] == 1


def test_before_the_first_task_there_is_something_to_read() -> None:
    worker = Worker({"job": print}, "redis://nowhere", "q", concurrency=2)
    seen = scrape(worker.counters, worker.gauges)
    assert (seen["identtqueue_running"], seen["identtqueue_concurrency"]) == (0, 2)
