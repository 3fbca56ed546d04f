"""recover: running -> pending (head) / failed / cancelled, for all tasks of a lost worker."""

from __future__ import annotations

import pytest

from identtqueue.errors import InvalidInput
from identtqueue.protocol.answers import Lease, Recovery
from identtqueue.protocol.calls import acting, claiming, leasing, one_task, recovering, reporting
from identtqueue.task import Result, State
from protocol.bench import MS, TIME, Bench

LATER_MS = 3_600_000


def test_everything_that_a_recovery_writes(bench: Bench) -> None:
    bench.running("w", "a", "b")
    bench.run(acting.drain(bench.queue, ["w"], stop=True))

    recovery = bench.recover("w")

    assert recovery == Recovery(lost=True, requeued=(bench.id("b"), bench.id("a")))
    back = {
        "state": "pending",
        "function": "job",
        "enqueued_at": TIME,
        "started_at": TIME,
        "pending_since": TIME,
        "attempt": 1,
        "losses": 1,
        "history": ["lost"],
    }
    assert bench.dump() == {
        "pending": ["a", "b"],
        "wake": ["1"],
        "stats": {"enqueued": 2, "claimed": 2, "wait_ms": MS, "recovered": 2},
        "meta": {"protocol": "2"},
        "task:a": back | {"payload": "a"},
        "task:b": back | {"payload": "b"},
    }


def test_recovered_tasks_go_to_the_head_in_their_old_order(bench: Bench) -> None:
    bench.running("w", "a", "b", "c")
    bench.enqueue("d")
    bench.recover("w")
    assert bench.pending() == ["a", "b", "c", "d"]


def test_only_the_lost_workers_tasks_are_taken(bench: Bench) -> None:
    bench.running("v", "a")
    bench.running("w", "b")
    bench.recover("w")
    assert bench.dump()["inflight:v"] == ["a"]
    assert bench.pending() == ["b"]


def test_a_worker_whose_lease_holds_is_left_alone(bench: Bench) -> None:
    bench.running("w", "a")
    assert bench.refuses(bench.recovery("w", waive=False)) == Recovery(lost=False)


def test_a_lease_that_was_renewed_meanwhile_is_seen(bench: Bench) -> None:
    """`expired` and `recover` are two calls, and the second checks the lease again."""
    bench.running("w", "a")
    bench.lapse("w")
    assert bench.refuses(recovering.expired(bench.queue, bench.now_ms())) == ["w"]
    assert bench.run(leasing.extend(bench.queue, "w", LATER_MS)) is Lease.OK
    assert bench.refuses(bench.recovery("w", waive=False)) == Recovery(lost=False)


def test_an_expired_lease_is_enough(bench: Bench) -> None:
    bench.running("w", "a")
    bench.lapse("w")
    assert bench.recover("w", waive=False).requeued == (bench.id("a"),)


def test_the_second_recovery_finds_nobody(bench: Bench) -> None:
    bench.running("w", "a")
    bench.recover("w")
    assert bench.refuses(bench.recovery("w")) == Recovery(lost=False)


def test_a_worker_that_nobody_knows_is_not_recovered(bench: Bench) -> None:
    bench.enqueue("a")
    assert bench.refuses(bench.recovery("nobody")) == Recovery(lost=False)


def test_a_lost_worker_without_tasks_is_only_forgotten(bench: Bench) -> None:
    bench.register("w")
    assert bench.recover("w") == Recovery(lost=True)
    assert bench.dump() == {"meta": {"protocol": "2"}}


def test_a_recovered_worker_may_not_go_on(bench: Bench) -> None:
    bench.running("w", "a")
    bench.recover("w")
    assert bench.refuses(leasing.extend(bench.queue, "w", LATER_MS)) is Lease.LOST
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)).status.name == "LOST"


def test_expired_leases_are_listed_oldest_first_and_limited(bench: Bench) -> None:
    bench.register("u", "v", "w")
    bench.lapse("v")
    bench.raw.zadd(bench.keys.workers, {"u": 2})
    now_ms = bench.now_ms()
    assert bench.refuses(recovering.expired(bench.queue, now_ms)) == ["v", "u"]
    assert bench.refuses(recovering.expired(bench.queue, now_ms, limit=1)) == ["v"]


# --- the limit of deliveries (see test_suspects) ---


def test_a_task_that_kills_its_workers_becomes_a_dead_letter(bench: Bench) -> None:
    bench.enqueue("poison", unique="key", unique_ttl=LATER_MS)
    poison = (bench.id("poison"),)
    for worker, isolated in (("w1", ()), ("w2", poison)):
        bench.register(worker)
        bench.claim(worker)
        recovery = bench.recover(worker, limit=3)
        assert recovery == Recovery(lost=True, requeued=poison, isolated=isolated)
    bench.register("w3")
    bench.claim("w3", idle=True)

    assert bench.recover("w3", limit=3) == Recovery(lost=True, dead=poison)

    assert bench.dump() == {
        "dead": {"poison": TIME},
        "ended": ["poison"],
        "stats": {"enqueued": 1, "claimed": 3, "wait_ms": MS, "recovered": 2, "failed": 1},
        "meta": {"protocol": "2"},
        "task:poison (expires)": {
            "state": "failed",
            "payload": "poison",
            "function": "job",
            "error": "WorkerLost",
            "enqueued_at": TIME,
            "started_at": TIME,
            "pending_since": TIME,
            "finished_at": TIME,
            "owner": "w3",
            "attempt": 3,
            "losses": 3,
            "suspect": "1",
            "history": ["lost", "lost", "lost"],
            "unique": "key",
            "unique_ttl": LATER_MS,
        },
    }
    result = bench.run(one_task.await_result(bench.id("poison")))
    assert isinstance(result, Result)
    assert result.failure is not None
    assert result.failure.message == (
        "the worker was lost 3 times or more while it ran this task, at last with nothing else to "
        "run (max_deliveries=3); last on w3"
    )


def test_a_limit_of_one_buries_at_the_first_loss_for_which_nothing_else_can_be_blamed(
    bench: Bench,
) -> None:
    bench.running("w", "a")
    assert bench.recover("w", limit=1).isolated == (bench.id("a"),)
    bench.register("w2")
    assert [attempt.alone for attempt in bench.claim("w2", idle=True)] == [True]
    assert bench.recover("w2", limit=1).dead == (bench.id("a"),)


def test_each_task_is_judged_by_its_own_losses(bench: Bench) -> None:
    bench.running("v", "old")
    bench.recover("v")
    bench.enqueue("new")
    bench.register("w")
    bench.claim("w")
    recovery = bench.recover("w", limit=3)
    assert recovery.requeued == (bench.id("new"), bench.id("old"))
    assert recovery.isolated == (bench.id("old"),)


def test_releases_and_failures_are_no_losses(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    bench.claim("w")
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 2, 0, b"\x93\xa1x\xa1y\xa0"))
    bench.claim("w")
    recovery = bench.recover("w", limit=3)
    assert (recovery.requeued, recovery.isolated) == ((attempt.task_id,), ())


def test_a_replayed_dead_letter_starts_with_fresh_losses(bench: Bench) -> None:
    bench.running("w", "a")
    bench.recover("w", limit=1)
    bench.register("w1")
    bench.claim("w1", idle=True)
    assert bench.recover("w1", limit=1).dead
    bench.run(acting.replay(bench.queue, [bench.id("a")]))
    bench.register("w2")
    (attempt,) = bench.claim("w2")
    assert (attempt.number, attempt.losses, attempt.alone) == (3, 0, False)
    assert bench.recover("w2", limit=3).isolated == ()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(bench: Bench, limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"max_deliveries={limit}"):
        bench.recovery("w", limit=limit)


# --- cancelled meanwhile ---


def test_a_task_whose_cancellation_was_asked_for_does_not_run_again(bench: Bench) -> None:
    bench.running("w", "a", "b")
    bench.run(one_task.cancel(bench.id("a")))

    recovery = bench.recover("w")

    assert recovery == Recovery(lost=True, requeued=(bench.id("b"),), cancelled=(bench.id("a"),))
    result = bench.run(one_task.await_result(bench.id("a")))
    assert isinstance(result, Result)
    assert result.state is State.CANCELLED
    assert bench.dump()["task:a (expires)"]["history"] == ["lost"]
