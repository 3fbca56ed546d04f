"""Slots, drain, leftovers and metrics of a worker."""

from __future__ import annotations

import asyncio
import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from identtqueue import Worker
from identtqueue.protocol.counting import BOUNDS_SECONDS, BUCKETS, FIRST_BUCKET
from identtqueue.task import Attempt, Failure
from identtqueue.worker.counts import DEFAULT_BUCKETS, MOST_ERRORS, MOST_JOBS, Counters
from identtqueue.worker.draining import Draining
from identtqueue.worker.gauges import Gauges
from identtqueue.worker.leftovers import LEAST_MOST_LEFT, Leftovers
from identtqueue.worker.metrics import MOST_LABELLED, Metrics
from identtqueue.worker.obstacles import Obstacles
from identtqueue.worker.outcome import Failed, Retried, Succeeded
from identtqueue.worker.running import ProgressSink, Running
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


def no_progress(_attempt: Attempt) -> ProgressSink:
    raise AssertionError("its job reports none")


async def test_attempts_left_behind_count_in_every_incarnation() -> None:
    """They outlive the incarnation that left them behind, and so does the obstacle."""
    obstacles = Obstacles()
    leftovers = Leftovers(LEAST_MOST_LEFT, obstacles)
    entries = [
        Running(attempt(n), lambda: False, lambda *_: None, no_progress)
        for n in range(LEAST_MOST_LEFT)
    ]
    for entry in entries:
        assert not obstacles
        leftovers.add(entry)
    assert obstacles.text == f"{LEAST_MOST_LEFT} cancelled attempts have not ended"
    assert all(entry.left for entry in entries)
    leftovers.discard(entries[0])
    assert (len(leftovers), obstacles.text) == (LEAST_MOST_LEFT - 1, None)


# --- metrics ---


BOUNDS = st.lists(st.floats(0.001, 5_000), min_size=1, max_size=20, unique=True).map(sorted)


@given(BOUNDS, st.lists(st.tuples(st.integers(0, 9_000_000), st.floats(0, 9_000))))
def test_each_duration_is_counted_once_for_prometheus_and_for_redis(
    buckets: list[float], attempts: list[tuple[int, float]]
) -> None:
    counters = Counters(buckets)
    job = counters.start("q", "job")
    for waited_ms, ran_seconds in attempts:
        job.end(Succeeded(b""), waited_ms, ran_seconds)
    for counts, seconds in (
        (job.waits, [ms / 1000 for ms, _ in attempts]),
        (job.runs, [ran for _, ran in attempts]),
    ):
        assert counters.cumulative(counts) == [
            *((str(b), sum(value <= b for value in seconds)) for b in buckets),
            ("+Inf", len(seconds)),
        ]
    folded = counters.folded(job.numbers)
    assert len(folded) == FIRST_BUCKET + 2 * BUCKETS
    assert folded[:FIRST_BUCKET] == job.numbers[:FIRST_BUCKET]
    runs = folded[FIRST_BUCKET + BUCKETS :]
    for i, bound in enumerate(BOUNDS_SECONDS):
        assert sum(runs[: i + 1]) == sum(ran <= bound for _, ran in attempts)
    assert sum(runs) == len(attempts) == counters.ended


def test_the_default_buckets_need_no_others_than_those_of_redis() -> None:
    assert set(DEFAULT_BUCKETS) <= set(BOUNDS_SECONDS)
    assert Counters().bounds == BOUNDS_SECONDS


def test_jobs_and_errors_are_told_apart_up_to_a_bound() -> None:
    """Clients may enqueue jobs of any name, and jobs may raise errors of any type."""
    counters = Counters()
    for i in range(MOST_JOBS + 50):
        counters.start("q", f"job{i}").end(Succeeded(b""), 0, 0)
    assert len(counters.by_job) == MOST_JOBS + 1
    first = counters.start("q", "job0")
    for i in range(MOST_ERRORS + 5):
        first.end(Failed(Failure(f"Error{i}", "no")), 0, 0)
    assert len(first.errors) == MOST_ERRORS + 1
    assert first.errors["(other)"] == 5

    seen = scrape(counters, NOW)
    name = 'identtqueue_attempts_total{job="%s",outcome="succeeded",queue="q"}'
    assert seen[name % "job0"] == 1
    assert seen[name % f"job{MOST_LABELLED - 1}"] == 1
    assert name % f"job{MOST_LABELLED}" not in seen
    assert seen[name % "(other)"] == MOST_JOBS + 50 - MOST_LABELLED


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
    reconnects=5,
)


def test_what_prometheus_reads() -> None:
    counters = Counters()
    no = Failure("ValueError", "no")
    read = counters.start("mrz", "read")
    for outcome, waited_ms, ran in (
        (Succeeded(b""), 10, 2),
        (Succeeded(b""), 500, 400),
        (Failed(no), 500, 0),
    ):
        read.end(outcome, waited_ms, ran)
    counters.start("default", "read").end(Retried(no, 1), 1, 1)
    counters.claim("mrz", 0.01)
    counters.fire("mrz", "read", 0.2)

    seen = scrape(counters, NOW)

    mrz = 'job="read",queue="mrz"'
    assert seen[f"identtqueue_attempts_started_total{{{mrz}}}"] == 1
    assert seen['identtqueue_attempts_total{job="read",outcome="succeeded",queue="mrz"}'] == 2
    assert seen['identtqueue_attempts_total{job="read",outcome="failed",queue="mrz"}'] == 1
    assert seen['identtqueue_attempts_total{job="read",outcome="retried",queue="default"}'] == 1
    assert seen['identtqueue_failures_total{error="ValueError",job="read",queue="mrz"}'] == 1
    assert seen['identtqueue_failures_total{error="ValueError",job="read",queue="default"}'] == 1
    assert seen['identtqueue_wait_seconds_bucket{job="read",le="0.025",queue="mrz"}'] == 1
    assert seen[f"identtqueue_wait_seconds_count{{{mrz}}}"] == 3
    assert seen[f"identtqueue_wait_seconds_sum{{{mrz}}}"] == pytest.approx(1.01)
    assert seen['identtqueue_run_seconds_bucket{job="read",le="300",queue="mrz"}'] == 2
    assert seen['identtqueue_run_seconds_bucket{job="read",le="+Inf",queue="mrz"}'] == 3
    assert seen['identtqueue_claim_seconds_count{queue="mrz"}'] == 1
    assert seen['identtqueue_claim_seconds_bucket{le="0.025",queue="mrz"}'] == 1
    assert seen[f"identtqueue_cron_lateness_seconds_sum{{{mrz}}}"] == pytest.approx(0.2)
    assert seen["identtqueue_running"] == 3
    assert seen["identtqueue_concurrency"] == 8
    assert seen["identtqueue_abandoned_threads"] == 2
    assert seen["identtqueue_abandoned_attempts"] == 1
    assert seen["identtqueue_processes"] == 4
    assert seen["identtqueue_draining"] == 1
    assert seen["identtqueue_reconnects_total"] == 5
    (build,) = [name for name in seen if name.startswith("identtqueue_build_info{")]
    assert f'python="{platform.python_version()}"' in build


def test_before_the_first_task_there_is_something_to_read() -> None:
    worker = Worker({"job": print}, "redis://nowhere", "q", concurrency=2)
    seen = scrape(worker.counters, worker.gauges)
    assert (seen["identtqueue_running"], seen["identtqueue_concurrency"]) == (0, 2)
