"""Slots and metrics of a worker."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from identtqueue.worker.metrics import BUCKETS, Counters, Histogram
from identtqueue.worker.slots import Slots

# --- slots ---


async def test_waiting_ends_when_a_slot_is_given_back() -> None:
    slots = Slots(2)
    await slots.wait()
    slots.take(2)
    waiting = asyncio.ensure_future(slots.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give()
    await waiting
    assert (slots.free, slots.total) == (1, 2)


async def test_several_may_wait() -> None:
    slots = Slots(1)
    slots.take(1)
    waiting = [asyncio.ensure_future(slots.wait()) for _ in range(3)]
    slots.give()
    await asyncio.gather(*waiting)


async def test_no_more_can_be_taken_than_there_are() -> None:
    with pytest.raises(AssertionError):
        Slots(1).take(2)


@given(st.lists(st.integers(0, 5)))
def test_waiting_returns_exactly_when_one_is_free(takes: list[int]) -> None:
    async def scenario() -> None:
        slots, taken = Slots(5), 0
        for number in takes:
            if number <= slots.free:
                slots.take(number)
                taken += number
            else:
                slots.give()
                taken -= 1
            assert slots.free == 5 - taken
            waiting = asyncio.ensure_future(slots.wait())
            await asyncio.sleep(0)
            assert waiting.done() == (slots.free > 0)
            waiting.cancel()

    asyncio.run(scenario())


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


def scrape(counters: Counters) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(counters)  # type: ignore[arg-type]
    lines = generate_latest(registry).decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_what_prometheus_reads() -> None:
    counters = Counters(concurrency=8)
    counters.ended_one("mrz", "succeeded", 0.01, 2)
    counters.ended_one("mrz", "succeeded", 0.5, 400)
    counters.ended_one("mrz", "failed", 0.5, 0)
    counters.ended_one("default", "retried", 1, 1)
    counters.running, counters.draining, counters.abandoned_threads = 3, True, 2

    seen = scrape(counters)

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
    assert seen["identtqueue_draining"] == 1


def test_before_the_first_task_there_is_something_to_read() -> None:
    assert scrape(Counters(concurrency=1))["identtqueue_running"] == 0
