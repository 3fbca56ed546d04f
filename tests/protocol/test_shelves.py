"""decline, give_up, and what becomes of tasks that some workers cannot run and others can."""

from __future__ import annotations

import pytest

from identtqueue.limits import JobLimits
from identtqueue.protocol.answers import Ack, Cancelled, Replayed
from identtqueue.protocol.calls import (
    acting,
    claiming,
    inspecting,
    leasing,
    one_task,
    recovering,
    reporting,
    scheduling,
)
from identtqueue.task import Attempt, Failure, Result, State
from protocol.bench import FAILURE, MS, TIME, Bench

LATER_MS = 3_600_000
WHY = Failure("UnknownJob", "no such job")
OLD = "unknown:job"
"""The shelf of tasks of `job` that a worker without that job has declined."""


def decline(bench: Bench, worker: str, attempt: Attempt, signature: str = "unknown") -> Ack:
    return bench.run(
        reporting.decline(bench.queue, worker, attempt.task_id, attempt.number, signature, WHY)
    )


def claim(bench: Bench, worker: str, *shelves: str, limit: int = 10) -> list[str]:
    claimed = bench.run(claiming.claim(bench.queue, worker, limit, shelves=shelves))
    return bench.names(attempt.task_id for attempt in claimed.attempts)


def declined(bench: Bench, *names: str, worker: str = "old") -> None:
    for attempt in bench.running(worker, *names):
        assert decline(bench, worker, attempt) is Ack.OK


def lapse(bench: Bench, *names: str) -> None:
    """They were declined long ago."""
    for name in names:
        assert bench.raw.hset(bench.unpack(bench.id(name)), "declined_since", 1) == 0


def test_everything_that_a_decline_writes(bench: Bench) -> None:
    (attempt,) = bench.running("old", "a")
    assert decline(bench, "old", attempt) is Ack.OK
    dump = bench.dump()
    task = dump.pop("task:a")
    assert int(task.pop("declined_since")) > 0
    assert int(task.pop("fence")) == attempt.fencing_token
    assert task == {
        "state": "pending",
        "payload": "a",
        "function": "job",
        "enqueued_at": TIME,
        "owner": "old",
        "attempt": 1,
        "shelf": OLD,
        "declined": "unknown",
        "declines": "\n- old (unknown): UnknownJob: no such job",
        "unstarted": "1",
        "history": ["declined"],
        "error": "UnknownJob",
    }
    assert dump == {
        f"shelf:{OLD}": ["a"],
        "shelves": {OLD: "1"},
        "workers": {"old": TIME},
        "info": {"old": {"host": "old"}},
        "stats": {"enqueued": 1, "claimed": 1, "wait_ms": MS, "declined": 1},
        "meta": {"protocol": "2"},
    }, "nobody is rung: it may be one that declines it"


def test_only_its_owner_declines_and_once(bench: Bench) -> None:
    (attempt,) = bench.running("old", "a")
    bench.register("thief")
    queue, why = bench.queue, WHY
    foreign = reporting.decline(queue, "thief", attempt.task_id, attempt.number, "unknown", why)
    assert bench.refuses(foreign) is Ack.LOST
    missing = reporting.decline(queue, "old", bench.id("b"), 1, "unknown", why)
    assert bench.refuses(missing) is Ack.MISSING
    assert decline(bench, "old", attempt) is Ack.OK
    again = reporting.decline(queue, "old", attempt.task_id, attempt.number, "unknown", why)
    assert bench.refuses(again) is Ack.DONE


def test_who_does_not_ask_for_a_shelf_hears_of_it(bench: Bench) -> None:
    declined(bench, "a")
    bench.enqueue("b")
    claimed = bench.run(claiming.claim(bench.queue, "old", 10))
    assert bench.names(attempt.task_id for attempt in claimed.attempts) == ["b"]
    assert (claimed.shelves, claimed.pending) == ((OLD,), 0)
    assert bench.run(scheduling.promote(bench.queue)).shelves == (OLD,)


def test_who_asks_for_a_shelf_gets_it_first(bench: Bench) -> None:
    declined(bench, "a", "b", "c")
    bench.enqueue("d")
    bench.register("new")
    claimed = bench.run(claiming.claim(bench.queue, "new", 2, shelves=[OLD]))
    assert bench.names(attempt.task_id for attempt in claimed.attempts) == ["a", "b"]
    assert [(attempt.failures, attempt.losses) for attempt in claimed.attempts] == [(0, 0)] * 2
    assert claimed.pending == 2
    assert claim(bench, "new", OLD) == ["c", "d"]
    assert bench.run(claiming.claim(bench.queue, "new", 9, shelves=[OLD])).shelves == ()


def test_a_task_is_declined_once_by_each_signature(bench: Bench) -> None:
    """So it comes to those that can run it, and no two pass it to and fro."""
    declined(bench, "a")
    for worker, signature, shelf, after in (
        ("new", "v2", OLD, "unknown,v2:job"),
        ("newer", "v1", "unknown,v2:job", "unknown,v1,v2:job"),
    ):
        bench.register(worker)
        (attempt,) = bench.run(claiming.claim(bench.queue, worker, 1, shelves=[shelf])).attempts
        assert decline(bench, worker, attempt, signature) is Ack.OK
        assert bench.run(scheduling.promote(bench.queue)).shelves == (after,)


def test_a_task_that_comes_back_goes_to_the_shelf_that_it_was_on(bench: Bench) -> None:
    """It was run by a worker that can, which was lost; then an old one met it again."""
    declined(bench, "a")
    bench.register("new")
    assert claim(bench, "new", OLD) == ["a"]
    bench.recover("new")
    (attempt,) = bench.claim("old")
    assert decline(bench, "old", attempt) is Ack.OK
    assert bench.run(scheduling.promote(bench.queue)).shelves == (OLD,)
    assert (bench.field("a", "declines") or "").count("old") == 1


def test_a_declined_task_can_be_cancelled(bench: Bench) -> None:
    declined(bench, "a", "b")
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    assert bench.run(inspecting.depth(bench.queue)).queued == 1
    bench.register("new")
    assert claim(bench, "new", OLD) == ["b"]


def test_a_decline_of_a_task_that_is_to_be_cancelled_ends_it(bench: Bench) -> None:
    (attempt,) = bench.running("old", "a")
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.ASKED
    assert decline(bench, "old", attempt) is Ack.OK
    result = bench.run(one_task.await_result(bench.id("a")))
    assert isinstance(result, Result)
    assert result.state is State.CANCELLED


@pytest.mark.parametrize("looks", ["claim", "upkeep"])
def test_a_declined_task_can_expire(bench: Bench, looks: str) -> None:
    """It has not started."""
    (attempt,) = bench.running("old", "a", expires=LATER_MS)
    decline(bench, "old", attempt)
    bench.expire("a")
    if looks == "claim":
        bench.register("new")
        assert claim(bench, "new", OLD) == []
    else:
        bench.run(scheduling.promote(bench.queue))
    result = bench.run(one_task.await_result(bench.id("a")))
    assert isinstance(result, Result)
    assert result.state is State.CANCELLED


def test_a_task_that_was_run_before_it_was_declined_does_not_expire(bench: Bench) -> None:
    (attempt,) = bench.running("new", "a", expires=LATER_MS)
    bench.run(reporting.retry(bench.queue, "new", attempt.task_id, 1, 0, FAILURE))
    bench.register("old")
    (attempt,) = bench.claim("old")
    decline(bench, "old", attempt)
    bench.expire("a")
    assert claim(bench, "new", OLD) == ["a"]


def test_limits_hold_for_declined_tasks(bench: Bench) -> None:
    declined(bench, "a", "b")
    bench.register("new", job=JobLimits(max_running=1))
    claimed = bench.run(claiming.claim(bench.queue, "new", 10, shelves=[OLD]))
    assert bench.names(attempt.task_id for attempt in claimed.attempts) == ["a"]
    assert claimed.pending == 0, "or it would ask again and again"
    assert bench.held("job") == [], "where workers that decline it would take it from"
    bench.run(reporting.finish(bench.queue, "new", [(bench.id("a"), 2, b"\xc0")]))
    assert claim(bench, "new", OLD) == ["b"]


def test_a_decline_gives_the_slot_back(bench: Bench) -> None:
    bench.register("old", job=JobLimits(max_running=1))
    bench.enqueue("a", "b")
    (attempt,) = bench.claim("old")
    decline(bench, "old", attempt)
    assert claim(bench, "old") == ["b"]


# --- depth ---


def test_declined_tasks_want_workers_that_can_run_them(bench: Bench) -> None:
    """More of those that decline them are of no use."""
    declined(bench, "a", "b")

    def queued_and_held() -> tuple[int, int]:
        depth = bench.run(inspecting.depth(bench.queue))
        return depth.queued, depth.held

    assert queued_and_held() == (2, 2)
    bench.run(scheduling.promote(bench.queue, serves=[OLD]))
    assert queued_and_held() == (2, 0), "one is there that can run them"
    bench.raw.hset(bench.keys.served, OLD, 1)
    assert queued_and_held() == (2, 2), "it has gone"
    bench.run(leasing.leave(bench.queue, "old"))
    assert queued_and_held() == (2, 0), "the first worker may be a new one"


# --- give_up ---


def give_up(bench: Bench, after_ms: int = 600_000) -> list[str]:
    return bench.names(bench.run(recovering.give_up(bench.queue, [OLD], after_ms)))


def test_what_nobody_can_run_becomes_a_dead_letter_that_says_so(bench: Bench) -> None:
    declined(bench, "a", "b")
    assert give_up(bench) == []
    lapse(bench, "a")
    assert give_up(bench) == ["a"]
    result = bench.run(one_task.await_result(bench.id("a")))
    assert isinstance(result, Result)
    assert result.failure == Failure(
        "UnknownJob",
        "no worker has been able to run it for 600 s. It was declined by:\n"
        "- old (unknown): UnknownJob: no such job",
    )
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.queued, depth.dead) == (1, 1)


def test_what_a_worker_can_run_is_not_given_up(bench: Bench) -> None:
    """It may be busy for longer than that."""
    declined(bench, "a")
    lapse(bench, "a")
    bench.run(scheduling.promote(bench.queue, serves=[OLD]))
    assert give_up(bench) == []


def test_a_replayed_one_begins_again(bench: Bench) -> None:
    declined(bench, "a")
    lapse(bench, "a")
    assert give_up(bench) == ["a"]
    assert bench.run(acting.replay(bench.queue, [bench.id("a")])) == [Replayed.OK]
    (attempt,) = bench.claim("old")
    assert decline(bench, "old", attempt) is Ack.OK
    assert give_up(bench) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 99, 100, 190])
def test_giving_up_is_bounded(bench: Bench, number: int) -> None:
    names = [f"t{i}" for i in range(number)]
    declined(bench, *names)
    lapse(bench, *names)
    given_up = 0
    while dead := len(give_up(bench)):
        assert dead <= 100
        given_up += dead
    assert given_up == number
