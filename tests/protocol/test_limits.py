"""Limits of jobs: which tasks are held, in which order they start, and how they are counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol.answers import Ack, Cancelled, Claim, LimitsInUse, Replayed
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    inspecting,
    leasing,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.task import Attempt, Result, State
from protocol.bench import FAILURE, MS, TIME, Bench
from protocol.servers import fill
from protocol.test_reports import REPORTS, ack_of
from testing.redis_server import RedisServer

LATER_MS = 3_600_000
ONE = JobLimits(max_running=1)
TWO = JobLimits(max_running=2)
HOURLY = JobLimits(rate_limit=RateLimit(1, 3600))
INF = float("inf")


def enqueue(bench: Bench, job: str, *names: str, **options: object) -> None:
    bench.run(enqueueing.enqueue(bench.queue, [bench.task(n, job, **options) for n in names]))


def enqueue_mixed(bench: Bench, *jobs: str) -> None:
    """Enqueue a task of each of these jobs, in their order."""
    tasks = [bench.task(f"t{number}", job) for number, job in enumerate(jobs)]
    bench.run(enqueueing.enqueue(bench.queue, tasks))


def claim(bench: Bench, worker: str = "w", limit: int = 10) -> list[str]:
    return bench.names(attempt.task_id for attempt in bench.claim(worker, limit))


def finish(bench: Bench, *names: str, worker: str = "w", attempt: int = 1) -> None:
    done = [(bench.id(name), attempt, b"\xc0") for name in names]
    assert bench.run(reporting.finish(bench.queue, worker, done)) == [Ack.OK] * len(names)


# --- what is written ---


def test_everything_that_a_claim_at_its_limits_writes(bench: Bench) -> None:
    bench.register("w", one=ONE, hourly=HOURLY)
    enqueue(bench, "one", "a", "b")
    enqueue(bench, "hourly", "c", "d")

    claimed = bench.run(claiming.claim(bench.queue, "w", 9))

    assert bench.names(a.task_id for a in claimed.attempts) == ["a", "c"]
    assert claimed.pending == 0
    assert claimed.next_due_ms == pytest.approx(3_600_000, abs=10_000)
    held = {"state": "pending", "enqueued_at": TIME}
    running = {"state": "running", "enqueued_at": TIME, "started_at": TIME}
    running |= {"owner": "w", "attempt": 1}
    assert bench.dump() == {
        "alarm (expires)": TIME,
        "inflight:w": ["a", "c"],
        "held:one": ["b"],
        "held:hourly": ["d"],
        "blocked": {"one": INF, "hourly": TIME},
        "running:one": {"a"},
        "rates": {"hourly": TIME},
        "limits": {
            "one": {"max": 1},
            "hourly": {"interval": 3_600_000, "burst": 1, "count": 1, "per_seconds": 3600},
        },
        "workers": {"w": TIME},
        "info": {"w": {"host": "w"}},
        "stats": {"enqueued": 4, "claimed": 2, "wait_ms": MS},
        "meta": {"protocol": "2"},
        "task:a": running | {"payload": "a", "function": "one", "slot": "one"},
        "task:b": held | {"payload": "b", "function": "one", "held": "one"},
        "task:c": running | {"payload": "c", "function": "hourly"},
        "task:d": held | {"payload": "d", "function": "hourly", "held": "hourly"},
    }


def test_a_worker_without_limits_declares_nothing(bench: Bench) -> None:
    bench.register("w", job=JobLimits())
    assert "limits" not in bench.dump()


# --- max_running ---


def test_no_more_run_than_may_over_all_workers(bench: Bench) -> None:
    bench.register("v", "w", two=TWO)
    enqueue(bench, "two", *"abcde")
    assert claim(bench, "v", 1) == ["a"]
    assert claim(bench, "w") == ["b"]
    assert claim(bench, "v") == claim(bench, "w") == []
    finish(bench, "a", worker="v")
    assert claim(bench, "w") == ["c"]
    finish(bench, "b", "c")
    assert claim(bench, "v") == ["d", "e"]
    assert bench.counted("two") == {"d", "e"}


def test_a_limited_job_does_not_stand_in_the_way_of_others(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", *(f"o{i}" for i in range(150)))
    bench.enqueue("x", "y")
    assert claim(bench, limit=3) == ["o0", "x", "y"]
    assert bench.held("one") == [f"o{i}" for i in range(1, 150)]
    assert bench.pending() == []


@pytest.mark.slow
def test_one_claim_looks_at_a_bounded_number(bench: Bench) -> None:
    """Redis does nothing else during a script. The worker claims again at once."""
    bench.register("w", one=ONE)
    enqueue(bench, "one", *(f"o{i}" for i in range(1_500)))
    bench.enqueue("x")
    assert claim(bench, limit=1) == ["o0"]
    rounds = []
    while not (attempts := bench.redis.run(claiming.claim(bench.queue, "w", 1))).attempts:
        assert attempts.pending > 0
        rounds.append(len(bench.held("one")))
    assert bench.names(a.task_id for a in attempts.attempts) == ["x"]
    assert rounds == [200, 400, 600, 800, 1_000, 1_200, 1_400]


def test_held_tasks_come_first_once_they_may_start(bench: Bench) -> None:
    """They were enqueued earlier."""
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b", "c")
    assert claim(bench, limit=2) == ["a"]
    bench.enqueue("x")
    enqueue(bench, "one", "d")
    finish(bench, "a")
    assert claim(bench, limit=1) == ["b"]
    finish(bench, "b")
    assert claim(bench) == ["c", "x"]
    assert bench.held("one") == ["d"]


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_whoever_stops_running_gives_its_slot_back_and_rings(
    bench: Bench, report: Callable[..., Call[object]]
) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    (attempt,) = bench.claim("w")
    assert not bench.token()
    call = report(bench, "w", attempt.task_id, attempt.number)
    assert ack_of(bench.run(call)) is Ack.OK
    assert bench.token()
    assert bench.counted("one") == set()
    assert bench.field("a", "slot") is None
    assert ack_of(bench.run(call)) is Ack.DONE
    assert claim(bench) == ["a" if report is REPORTS["release"] else "b"]


def test_a_lost_worker_gives_its_slots_back(bench: Bench) -> None:
    bench.register("v", "w", two=TWO)
    enqueue(bench, "two", *"abcd")
    assert claim(bench, "v") == ["a", "b"]
    recovery = bench.recover("v")
    assert bench.names(recovery.requeued) == ["b", "a"]
    assert bench.token()
    assert bench.held("two") == ["a", "b", "c", "d"], "before those that had not started"
    assert bench.pending() == []
    assert claim(bench) == ["a", "b"]
    assert bench.recover("w", limit=2).isolated == (bench.id("b"), bench.id("a"))
    for number, name in enumerate("ab"):
        worker = f"u{number}"
        bench.register(worker, two=TWO)
        (attempt,) = bench.claim(worker, idle=True)
        assert attempt.task_id == bench.id(name)
        assert bench.recover(worker, limit=2).dead == (bench.id(name),)
    bench.register("w", two=TWO)
    assert claim(bench) == ["c", "d"]


def test_a_lost_worker_rings_the_operator(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    claim(bench)
    with bench.raw.pubsub() as doorbell:
        doorbell.subscribe(bench.keys.doorbell)
        assert doorbell.get_message(timeout=5)["type"] == "subscribe"
        bench.recover("w")
        assert doorbell.get_message(timeout=5)["type"] == "message"


def test_released_tasks_go_before_those_that_are_held(bench: Bench) -> None:
    bench.register("w", two=TWO)
    enqueue(bench, "two", *"abc")
    attempts = bench.claim("w")
    bench.run(reporting.release(bench.queue, "w", [(a.task_id, a.number) for a in attempts]))
    assert bench.held("two") == ["a", "b", "c"]
    assert claim(bench) == ["a", "b"]


def test_a_retry_counts_when_it_runs_and_not_while_it_waits(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    (attempt,) = bench.claim("w")
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 1, LATER_MS, FAILURE))
    assert claim(bench) == ["b"]
    bench.fall_due("a")
    assert claim(bench) == []
    assert bench.held("one") == ["a"]
    finish(bench, "b")
    assert claim(bench) == ["a"]
    finish(bench, "a", attempt=2)


# --- what may happen to a held task ---


def test_a_held_task_can_be_cancelled(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    enqueue(bench, "one", "c", unique="key", unique_ttl=LATER_MS)
    claim(bench)
    assert bench.run(one_task.cancel(bench.id("c"))) is Cancelled.OK
    assert bench.held("one") == ["b"]
    assert bench.field("c", "state") == State.CANCELLED
    assert "unique:key (expires)" not in bench.dump()
    assert bench.run(one_task.cancel(bench.id("b"))) is Cancelled.OK
    assert "blocked" not in bench.dump(), "the last one takes the job along"
    assert bench.refuses(one_task.cancel(bench.id("b"))) is Cancelled.ENDED


def test_a_pending_task_of_a_job_with_held_ones_can_be_cancelled(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    claim(bench)
    enqueue(bench, "one", "c")
    assert bench.run(one_task.cancel(bench.id("c"))) is Cancelled.OK
    assert (bench.pending(), bench.held("one")) == ([], ["b"])


def test_a_unique_key_is_held_too(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a")
    enqueue(bench, "one", "b", unique="key", unique_ttl=LATER_MS)
    claim(bench)
    rival = bench.task("c", "one", unique="key", unique_ttl=LATER_MS)
    (receipt,) = bench.run(enqueueing.enqueue(bench.queue, [rival]))
    assert receipt.task_id == bench.id("b")


def test_an_expired_task_takes_neither_a_slot_nor_a_start(bench: Bench) -> None:
    """It is cancelled when its turn comes, as in `pending`."""
    both = JobLimits(max_running=1, rate_limit=RateLimit(2, 3600, burst=2))
    bench.register("w", both=both)
    enqueue(bench, "both", "a", "b", "c", expires=LATER_MS)
    assert claim(bench) == ["a"]
    bench.expire("b")
    finish(bench, "a")
    assert claim(bench) == ["c"]
    assert bench.field("b", "state") == State.CANCELLED
    assert isinstance(bench.run(one_task.await_result(bench.id("b"))), Result)


def test_a_paused_queue_starts_no_held_task_until_it_is_resumed(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    claim(bench)
    bench.run(acting.pause(bench.queue, stop=True))
    finish(bench, "a")
    bench.take_token()
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)).status is Claim.PAUSED
    bench.run(acting.pause(bench.queue, stop=False))
    assert bench.token()
    assert claim(bench) == ["b"]


def test_a_draining_worker_leaves_them_to_others_and_passes_the_token_on(bench: Bench) -> None:
    bench.register("v", "w", one=ONE)
    enqueue(bench, "one", "a", "b")
    assert claim(bench, "v") == ["a"]
    bench.run(acting.drain(bench.queue, ["v"], stop=True))
    finish(bench, "a", worker="v")
    bench.take_token()
    assert bench.refuses(claiming.claim(bench.queue, "v", 1)).status is Claim.DRAINING
    assert bench.run(claiming.wake(bench.queue)) == 1
    assert bench.token()
    assert claim(bench, "w") == ["b"]


def test_a_replayed_task_is_limited_as_any_other(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    (attempt,) = bench.claim("w")
    bench.run(reporting.bury(bench.queue, "w", attempt.task_id, 1, FAILURE))
    assert claim(bench) == ["b"]
    assert bench.run(acting.replay(bench.queue, [attempt.task_id])) == [Replayed.OK]
    assert claim(bench) == []
    finish(bench, "b")
    assert claim(bench) == ["a"]


def test_an_id_whose_hash_was_removed_by_hand_holds_up_nobody(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b", "c")
    claim(bench)
    bench.raw.delete(bench.unpack(bench.id("b")))
    bench.redis.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    assert claim(bench) == ["c"]


# --- limits that change ---


def test_the_newest_registration_counts(bench: Bench) -> None:
    bench.register("v", one=ONE)
    enqueue(bench, "one", *"abcd")
    assert claim(bench, "v") == ["a"]
    bench.register("w", one=JobLimits(max_running=3))
    assert bench.token(), "the held ones are looked at again"
    assert claim(bench, "w") == ["b", "c"]
    bench.register("u", one=ONE)
    finish(bench, "a", worker="v")
    finish(bench, "b")
    assert claim(bench, "w") == [], "one still runs"
    finish(bench, "c")
    assert claim(bench, "w") == ["d"]
    assert bench.counted("one") == {"d"}


def test_a_worker_that_has_the_job_without_limits_takes_them_away(bench: Bench) -> None:
    bench.register("w", one=ONE, hourly=HOURLY)
    enqueue(bench, "one", *"abc")
    enqueue(bench, "hourly", *"de")
    assert claim(bench) == ["a", "d"]
    bench.register("other", something=JobLimits())
    assert claim(bench) == [], "who doesn't have the jobs leaves them alone"
    bench.register("newer", one=JobLimits(), hourly=JobLimits())
    assert sorted(claim(bench, limit=2) + claim(bench)) == ["b", "c", "e"]
    for name in "abcde":
        finish(bench, name)
    bench.run(leasing.leave(bench.queue, "w"))
    assert not {"limits", "rates", "blocked", "running:one"} & set(bench.dump())


def test_a_limit_that_comes_later_counts_those_that_start_later(bench: Bench) -> None:
    bench.register("v", one=JobLimits())
    enqueue(bench, "one", *"abc")
    assert claim(bench, "v", 1) == ["a"]
    bench.register("w", one=ONE)
    assert claim(bench) == ["b"]
    finish(bench, "a", worker="v")
    assert bench.counted("one") == {"b"}, "what was not counted is not counted down"


def test_limits_removed_by_hand_hold_nobody_for_ever(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", *"abc")
    assert claim(bench) == ["a"]
    bench.raw.delete(bench.keys.limits)
    assert bench.run(scheduling.promote(bench.queue)).moved == 0
    assert bench.token()
    assert claim(bench) == ["b", "c"]


# --- versions that know no limits, in the middle of a rolling upgrade ---


def recovered_by_an_older_version(bench: Bench, name: str, *, buried: bool = False) -> None:
    """Recover a task as an older version does: it takes a slot, but is not running."""
    task = bench.unpack(bench.id(name))
    bench.raw.lrem(bench.keys.inflight("w"), 1, bench.id(name))
    bench.raw.hdel(task, "owner")
    if buried:
        bench.raw.zadd(bench.keys.dead, {bench.id(name): bench.now_ms()})
        ended = {"state": "failed", "error": FAILURE, "finished_at": bench.now_ms()}
        bench.raw.hset(task, mapping=ended)
        bench.raw.pexpire(task, LATER_MS)
    else:
        bench.raw.lpush(bench.keys.pending, bench.id(name))
        bench.raw.hset(task, "state", "pending")


def test_a_task_that_an_older_version_recovered_runs_again(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a")
    assert claim(bench) == ["a"]
    recovered_by_an_older_version(bench, "a")
    assert claim(bench) == ["a"], "it does not wait for its own slot"
    finish(bench, "a", attempt=2)
    assert bench.counted("one") == set()


def test_a_task_that_an_older_version_buried_is_struck_off(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    assert claim(bench) == ["a"]
    recovered_by_an_older_version(bench, "a", buried=True)
    bench.redis.run(scheduling.promote(bench.queue))
    assert bench.token()
    bench.raw.hdel(bench.unpack(bench.id("a")), "slot")  # for the invariants, as the next
    died_ms = bench.field("a", "finished_at")
    bench.raw.rpush(bench.keys.ended, f"{died_ms} {bench.id('a')}")
    assert claim(bench) == ["b"]


def test_a_held_task_that_an_older_client_cancelled_is_passed_over(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b", "c")
    claim(bench)
    key = bench.unpack(bench.id("b"))
    bench.raw.hset(key, mapping={"state": "cancelled", "error": FAILURE, "finished_at": 1})
    bench.raw.hdel(key, "payload")
    bench.raw.pexpire(key, LATER_MS)
    bench.raw.rpush(bench.keys.ended, f"1 {bench.id('b')}")  # for the invariants
    bench.redis.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    assert claim(bench) == ["c"]


# --- rate limits ---


def started_at(attempts: list[Attempt]) -> list[int]:
    return [attempt.started_at_ms for attempt in attempts]


def test_a_burst_starts_at_once_and_then_nobody(bench: Bench) -> None:
    bench.register("w", slow=JobLimits(rate_limit=RateLimit(10, 36_000, burst=3)))
    enqueue(bench, "slow", *"abcde")
    claimed = bench.run(claiming.claim(bench.queue, "w", 9))
    assert bench.names(a.task_id for a in claimed.attempts) == ["a", "b", "c"]
    assert claimed.next_due_ms == pytest.approx(3_600_000, abs=10_000)
    assert bench.claim("w") == []


def test_a_repeated_attempt_is_a_start_too(bench: Bench) -> None:
    bench.register("w", hourly=HOURLY)
    enqueue(bench, "hourly", "a")
    (attempt,) = bench.claim("w")
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    assert bench.claim("w") == []
    bench.pass_time("hourly")
    assert claim(bench) == ["a"]


@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(RateLimit(100, 1), marks=pytest.mark.slow),
        RateLimit(250, 1, burst=10),
        RateLimit(30, 0.1, burst=1),
    ],
)
def test_no_window_has_more_starts_than_the_limit_says(bench: Bench, rate: RateLimit) -> None:
    """Claim as fast as possible, and check starts and promised times by Redis' clock."""
    bench.register("w", paced=JobLimits(rate_limit=rate))
    enqueue(bench, "paced", *(f"p{i}" for i in range(60)))
    attempts: list[Attempt] = []
    due, claims = 0, 0
    while len(attempts) < 60:
        before, claims = bench.now_ms(), claims + 1
        claimed = bench.redis.run(claiming.claim(bench.queue, "w", 7))
        if claimed.attempts:
            assert claimed.attempts[0].started_at_ms >= due
            attempts += claimed.attempts
        elif claimed.next_due_ms is not None:
            due = before + claimed.next_due_ms
    starts = started_at(attempts)
    assert claims > 10
    window_ms = rate.per_seconds * 1000
    for first in range(60):
        inside = [start for start in starts[first:] if start - starts[first] < window_ms]
        assert len(inside) <= rate.count + rate.burst_size - 1
    # The same for every other window: n starts take at least the time of n - burst intervals.
    for first in range(60):
        for last in range(first + 1, 60):
            least = (last - first + 1 - rate.burst_size) * rate.interval_ms
            assert starts[last] - starts[first] >= least - 1e-3


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    interval_ms=st.floats(0.2, 50_000),
    burst=st.integers(1, 50),
    ahead=st.floats(-3, 60),
    left=st.integers(0, 3),
)
def test_the_allowance_is_that_of_gcra(
    bench: Bench, interval_ms: float, burst: int, ahead: float, left: int
) -> None:
    """Compare with the definition of GCRA, in which each arrival conforms or does not."""
    for key in bench.snapshot():
        bench.raw.delete(key)  # of the example before
    rate = RateLimit(1, interval_ms / 1000, burst=burst)
    bench.register("w", paced=JobLimits(rate_limit=rate))
    arrival = bench.now_ms() + ahead * interval_ms
    bench.raw.hset(bench.keys.rates, "paced", arrival)
    names = [f"p{i}" for i in range(burst + left)]
    enqueue(bench, "paced", *names)

    now = bench.now_ms()
    attempts = bench.claim("w", 1000)

    if attempts:
        now = attempts[0].started_at_ms
    expected, at = 0, min(arrival, now + burst * interval_ms)
    while expected < len(names) and at - (burst - 1) * interval_ms <= now:
        at = max(at, now) + interval_ms
        expected += 1
    assert len(attempts) == expected


def test_a_changed_limit_does_not_wait_for_the_old_one(bench: Bench) -> None:
    bench.register("w", paced=HOURLY)
    enqueue(bench, "paced", "a", "b")
    assert claim(bench) == ["a"]
    bench.register("v", paced=JobLimits(rate_limit=RateLimit(1000, 1, burst=2)))
    claimed = bench.run(claiming.claim(bench.queue, "w", 1))
    assert claimed.attempts or claimed.next_due_ms <= 2


def test_a_promotion_rings_for_a_held_task_whose_time_has_come(bench: Bench) -> None:
    """Workers may have been busy when the time came."""
    bench.register("w", hourly=HOURLY)
    enqueue(bench, "hourly", "a", "b")
    assert claim(bench) == ["a"]
    assert bench.run(scheduling.promote(bench.queue)).moved == 0
    assert not bench.token()
    bench.pass_time("hourly")
    bench.run(scheduling.promote(bench.queue))
    assert bench.token()
    assert claim(bench) == ["b"]


# --- looking ---


def test_the_depth_counts_what_may_not_start(bench: Bench) -> None:
    bench.register("w", two=TWO, hourly=HOURLY)
    enqueue(bench, "two", *"abcde")
    enqueue(bench, "hourly", *"fgh")
    bench.enqueue("x")
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held, depth.next_held_in_ms) == (9, 5, None), "nobody has looked"
    assert claim(bench) == ["a", "b", "f", "x"]
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held, depth.in_flight) == (5, 5, 4)
    assert depth.oldest_wait_ms is None, "nobody waits for a worker"
    assert depth.next_held_in_ms == pytest.approx(3_600_000, abs=10_000)
    finish(bench, "a")
    bench.pass_time("hourly")
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held, depth.next_held_in_ms) == (5, 3, 0)
    assert depth.oldest_wait_ms is not None


def test_the_depth_of_many_is_told_from_the_first(bench: Bench) -> None:
    bench.register("w", two=TWO)
    enqueue_mixed(bench, *(["two", "two", "two", "job"] * 250))
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held) == (1_000, 748)


def test_the_depth_of_many_jobs_adds_up(bench: Bench) -> None:
    """Twentieths of 206 are no whole numbers, and as floats they add up to more than 206."""
    bench.register("w", two=TWO)
    enqueue_mixed(bench, *(f"job-{i % 20}" for i in range(206)))
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held) == (206, 0)


def test_limits_are_shown_with_their_use(bench: Bench) -> None:
    both = JobLimits(max_running=2, rate_limit=RateLimit(60, 7_200_000, burst=1))
    bench.register("w", two=TWO, both=both, free=JobLimits(), idle=HOURLY)
    enqueue(bench, "two", *"abcd")
    enqueue(bench, "both", *"ef")
    claim(bench)
    shown = bench.refuses(inspecting.limits(bench.queue))
    both_row = shown.pop(0)
    assert (both_row.job, both_row.limits, both_row.running, both_row.held) == ("both", both, 1, 1)
    assert both_row.next_start_in_ms == pytest.approx(120_000_000, abs=10_000)
    idle = JobLimits(rate_limit=RateLimit(1, 3600, burst=1))  # the default is told as a number
    assert shown == [
        LimitsInUse("idle", idle, 0, 0, 0),
        LimitsInUse("two", TWO, 2, 2, None),
    ]


def test_limits_of_an_unknown_queue(bench: Bench) -> None:
    assert bench.refuses(inspecting.limits(bench.queue)) == []


# --- a full server ---


def test_a_full_server_can_be_drained_of_limited_tasks(
    new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    bench = Bench(new_redis_server(), queue)
    bench.register("w", one=ONE, hourly=HOURLY)
    enqueue(bench, "one", *"abcd")
    enqueue(bench, "hourly", "e", "f")
    fill(bench.raw)
    assert claim(bench) == ["a", "e"]
    bench.register("v", one=TWO)
    assert claim(bench, "v") == ["b"]
    finish(bench, "a")
    assert bench.run(one_task.cancel(bench.id("d"))) is Cancelled.OK
    assert claim(bench) == ["c"]
    bench.recover("v")
    bench.raw.config_set("maxmemory", 0)
    bench.pass_time("hourly")
    fill(bench.raw)
    bench.run(scheduling.promote(queue))
    assert claim(bench) == ["f", "b"]
    for report in ("c", "e", "f"):
        finish(bench, report)
    finish(bench, "b", attempt=2)
    assert bench.run(inspecting.depth(queue)).queued == 0
    bench.close()


def test_queues_without_limits_are_not_asked_for_them(bench: Bench) -> None:
    """Only `paused` is read with other keys. Both read the texts of all tasks with one command."""
    bench.register("w")
    bench.enqueue(*"abcd")
    bench.raw.config_resetstat()
    attempts = bench.redis.run(claiming.claim(bench.queue, "w", 9)).attempts
    done = [(attempt.task_id, attempt.number, b"\xc0") for attempt in attempts]
    bench.redis.run(reporting.finish(bench.queue, "w", done))
    stats = bench.raw.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}
    assert not {"zcount", "scard", "hget", "sadd", "srem"} & set(calls)
    assert calls["exists"] == 1
    assert calls["hmget"] == 2
