"""claim: pending -> running; promote: scheduled -> pending."""

from __future__ import annotations

from typing import Any

import pytest

from identtqueue.limits import JobLimits
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack, Cancelled, Claim, Claimed
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import acting, claiming, leasing, one_task, reporting, scheduling
from identtqueue.task import Failure, Result, State
from protocol.bench import FAILURE, MS, TIME, Bench

LATER_MS = 3_600_000


def test_everything_that_a_claim_writes(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a", "b", "c")

    claimed = bench.run(claiming.claim(bench.queue, "w", 2))

    assert (claimed.status, claimed.next_due_ms, claimed.pending) == (Claim.OK, None, 1)
    first, second = claimed.attempts
    assert (first.task_id, first.queue, first.number) == (bench.id("a"), bench.queue, 1)
    assert (first.failures, first.losses) == (0, 0)
    assert codec.decode_task(first.payload).args == ("a",)
    assert first.started_at_ms == first.enqueued_at_ms + first.waited_ms
    assert second.task_id == bench.id("b")
    running = {"state": "running", "function": "job", "enqueued_at": TIME, "started_at": TIME}
    assert bench.dump() == {
        "pending": ["c"],
        "inflight:w": ["a", "b"],
        "wake": ["1"],
        "workers": {"w": TIME},
        "info": {"w": {"host": "w"}},
        "stats": {"enqueued": 3, "claimed": 2, "wait_ms": MS},
        "meta": {"protocol": "2"},
        "task:a (packed)": running | {"payload": "a", "owner": "w", "attempt": 1},
        "task:b (packed)": running | {"payload": "b", "owner": "w", "attempt": 1},
        "task:c (packed)": {
            "state": "pending",
            "payload": "c",
            "function": "job",
            "enqueued_at": TIME,
        },
    }


def test_first_in_first_out_over_several_workers(bench: Bench) -> None:
    bench.register("v", "w")
    bench.enqueue("a", "b")
    bench.enqueue("c", "d", "e")
    taken = [*bench.claim("v", 2), *bench.claim("w", 1), *bench.claim("v", 9)]
    assert bench.names(attempt.task_id for attempt in taken) == list("abcde")


@pytest.mark.parametrize("held", [False, True], ids=["pending", "held"])
def test_a_claim_of_big_payloads_stops_at_a_megabyte(bench: Bench, held: bool) -> None:
    """The other tasks stay where they were, and the claim says so."""
    names = list("abcdefgh")
    bench.register("w")
    bench.enqueue(*names)
    for name in names:
        bench.raw.hset(bench.unpack(bench.id(name)), "payload", b"x" * 400_000)
    if held:
        limits = {"job": JobLimits(max_running=1)}
        bench.run(leasing.register(bench.queue, "w", 60_000, {}, limits))
        (first,) = bench.claim("w", 8)
        unlimited = {"job": JobLimits(max_running=100)}
        bench.run(leasing.register(bench.queue, "w", 60_000, {}, unlimited))
        bench.run(reporting.finish(bench.queue, "w", [(first.task_id, 1, b"")]))
        names.remove("a")
    taken: list[list[str]] = []
    while not taken or taken[-1]:
        claimed = bench.run(claiming.claim(bench.queue, "w", 100))
        taken.append(bench.names(attempt.task_id for attempt in claimed.attempts))
        assert (claimed.pending > 0) is (sum(map(len, taken)) < len(names))
    assert [name for part in taken for name in part] == names
    assert [len(part) for part in taken] == ([3, 3, 1, 0] if held else [3, 3, 2, 0])


def test_a_payload_of_more_than_a_megabyte_is_claimed_alone(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a", "b")
    bench.raw.hset(bench.unpack(bench.id("a")), "payload", b"x" * 2_000_000)
    assert bench.names(a.task_id for a in bench.claim("w", 9)) == ["a"]
    assert bench.pending() == ["b"]


def test_a_worker_without_a_lease_gets_nothing(bench: Bench) -> None:
    bench.enqueue("a")
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)) == Claimed(Claim.LOST)


def test_a_lease_that_ran_out_but_was_not_recovered_still_counts(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a")
    bench.lapse("w")
    assert len(bench.claim("w")) == 1


def test_a_draining_worker_gets_nothing_until_it_is_called_back(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a")
    bench.run(acting.drain(bench.queue, ["w"], stop=True))
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)) == Claimed(Claim.DRAINING)
    bench.run(acting.drain(bench.queue, ["w"], stop=False))
    assert len(bench.claim("w")) == 1


def test_a_paused_queue_gives_nothing_until_it_is_resumed(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a")
    bench.run(acting.pause(bench.queue, stop=True))
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)) == Claimed(Claim.PAUSED)
    bench.run(acting.pause(bench.queue, stop=False))
    assert len(bench.claim("w")) == 1


def test_a_claim_of_an_empty_queue_writes_nothing(bench: Bench) -> None:
    bench.register("w")
    assert bench.refuses(claiming.claim(bench.queue, "w", 1)) == Claimed(Claim.OK)


def test_every_claim_of_a_task_has_a_higher_number(bench: Bench) -> None:
    numbers = []
    for worker in ("u", "v", "w"):
        bench.register(worker)
        if not numbers:
            bench.enqueue("a")
        (attempt,) = bench.claim(worker, idle=True)
        numbers.append((attempt.number, attempt.losses))
        bench.recover(worker)
    assert numbers == [(1, 0), (2, 1), (3, 2)]


def test_the_wait_after_a_release_counts_from_the_release(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.raw.hset(bench.unpack(attempt.task_id), "enqueued_at", 1)
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, attempt.number)]))
    (again,) = bench.claim("w")
    assert again.enqueued_at_ms == 1
    assert again.waited_ms < LATER_MS


def test_an_expired_task_is_cancelled_and_the_next_one_is_taken(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("old", expires=LATER_MS, unique="key", unique_ttl=LATER_MS)
    bench.enqueue("new", expires=LATER_MS)
    bench.expire("old")

    (attempt,) = bench.claim("w", 1)

    assert attempt.task_id == bench.id("new")
    assert bench.dump()["task:old (expires)"] == {
        "state": "cancelled",
        "payload": "old",
        "error": "Expired",
        "function": "job",
        "enqueued_at": TIME,
        "expires_at": TIME,
        "finished_at": TIME,
        "unique": "key",
        "unique_ttl": LATER_MS,
    }
    stats = bench.dump()["stats"]
    assert (stats["claimed"], stats["cancelled"]) == (1, 1)
    assert "unique:key (expires)" not in bench.dump()


def test_many_expired_tasks_do_not_starve_the_claim(bench: Bench) -> None:
    bench.register("w")
    old = [f"old{i}" for i in range(60)]
    bench.enqueue(*old, expires=LATER_MS)
    bench.enqueue("new")
    for name in old:
        bench.expire(name)
    assert [attempt.task_id for attempt in bench.claim("w", 1)] == [bench.id("new")]


@pytest.mark.parametrize("how", ["retry", "release", "recover"])
def test_a_task_that_has_started_in_time_does_not_expire(bench: Bench, how: str) -> None:
    (attempt,) = bench.running("w", "a", expires=LATER_MS)
    where = (bench.queue, "w", attempt.task_id, attempt.number)
    if how == "retry":
        bench.run(reporting.retry(*where, LATER_MS, FAILURE))
        bench.fall_due("a")
    elif how == "release":
        bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, attempt.number)]))
    else:
        bench.recover("w")
        bench.register("w")
    bench.expire("a")
    assert [again.number for again in bench.claim("w")] == [2]


@pytest.mark.parametrize("how", ["retry", "release", "decline", "recover"])
def test_a_task_that_was_cancelled_while_it_ran_ends_with_its_attempt(
    bench: Bench, how: str
) -> None:
    """Its owner had failed, stopped, declined or died before it received the cancellation."""
    (attempt,) = bench.running("w", "a", unique="key", unique_ttl=LATER_MS)
    where = (bench.queue, "w", attempt.task_id, attempt.number)
    assert bench.run(one_task.cancel(attempt.task_id)) is Cancelled.ASKED
    bench.run(one_task.await_result(attempt.task_id, "channel"))
    calls: dict[str, Call[Any]] = {
        "retry": reporting.retry(*where, LATER_MS, FAILURE),
        "release": reporting.release(bench.queue, "w", [(attempt.task_id, attempt.number)]),
        "decline": reporting.decline(*where, "none", Failure("UnknownJob", "job")),
        "recover": bench.recovery("w"),
    }
    with bench.raw.pubsub(ignore_subscribe_messages=True) as waiting:
        waiting.subscribe("channel")
        assert waiting.get_message(timeout=5) is None  # the subscription itself
        bench.run(calls[how])
        message = waiting.get_message(timeout=5)
    assert message is not None
    assert message["data"].startswith(f"{attempt.task_id}\ncancelled\n".encode())

    if how != "recover":  # `lost` would be logged as a lost lease
        assert bench.refuses(calls[how]) in (Ack.DONE, [Ack.DONE])
    result = bench.run(one_task.await_result(attempt.task_id))
    assert isinstance(result, Result)
    assert result.state is State.CANCELLED
    assert result.failure is not None
    assert result.failure.type == "Cancelled"
    assert bench.dump()["stats"]["cancelled"] == 1
    assert not bench.raw.exists(bench.keys.unique_prefix + "key")
    assert (bench.pending(), bench.raw.zcard(bench.keys.scheduled)) == ([], 0)


def test_a_cancelled_task_that_an_older_version_has_put_back_does_not_run_again(
    bench: Bench,
) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, attempt.number)]))
    bench.raw.hset(bench.unpack(attempt.task_id), "cancel", 1)
    assert bench.claim("w") == []
    assert bench.field("a", "state") == "cancelled"


def test_an_id_whose_hash_was_removed_by_hand_is_passed_over(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("gone", "a")
    bench.raw.delete(bench.unpack(bench.id("gone")))
    assert [attempt.task_id for attempt in bench.claim("w", 1)] == [bench.id("a")]


# --- promote ---


def test_a_claim_takes_what_has_fallen_due_and_tells_when_the_next_will(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("now")
    bench.enqueue("due", delay=LATER_MS)
    bench.enqueue("later", delay=LATER_MS)
    bench.fall_due("due")

    claimed = bench.run(claiming.claim(bench.queue, "w", 5))

    assert bench.names(a.task_id for a in claimed.attempts) == ["now", "due"]
    assert claimed.next_due_ms is not None
    assert LATER_MS - 120_000 < claimed.next_due_ms <= LATER_MS


def test_everything_that_a_promotion_writes(bench: Bench) -> None:
    bench.enqueue("a", delay=LATER_MS)
    bench.take_token()
    bench.fall_due("a")

    promoted = bench.run(scheduling.promote(bench.queue))

    assert (promoted.moved, promoted.next_due_ms) == (1, None)
    assert abs(promoted.now_ms - bench.now_ms()) < LATER_MS
    assert bench.dump() == {
        "pending": ["a"],
        "wake": ["1"],
        "stats": {"enqueued": 1},
        "meta": {"protocol": "2"},
        "task:a": {
            "state": "pending",
            "payload": "a",
            "function": "job",
            "enqueued_at": TIME,
            "pending_since": TIME,
        },
    }


def test_nothing_due_is_nothing_written(bench: Bench) -> None:
    assert bench.refuses(scheduling.promote(bench.queue)).next_due_ms is None
    bench.enqueue("a", delay=LATER_MS)
    promoted = bench.refuses(scheduling.promote(bench.queue))
    assert promoted.moved == 0
    assert promoted.next_due_ms is not None
    assert 0 < promoted.next_due_ms <= LATER_MS


def test_a_promotion_is_limited_and_goes_by_due_time(bench: Bench) -> None:
    names = [f"t{i}" for i in range(5)]
    bench.enqueue(*names, delay=LATER_MS)
    for position, name in enumerate(reversed(names)):
        bench.raw.zadd(bench.keys.scheduled, {bench.id(name): 1 + position})

    promoted = bench.run(scheduling.promote(bench.queue, limit=3))
    assert (promoted.moved, promoted.next_due_ms) == (3, 0)
    assert bench.pending() == ["t4", "t3", "t2"]
    assert bench.run(scheduling.promote(bench.queue, limit=3)).moved == 2
    assert bench.pending() == list(reversed(names))


def test_promoted_tasks_queue_up_behind_pending_ones(bench: Bench) -> None:
    bench.enqueue("later", delay=LATER_MS)
    bench.enqueue("a", "b")
    bench.fall_due("later")
    bench.run(scheduling.promote(bench.queue))
    assert bench.pending() == ["a", "b", "later"]


def test_a_claim_of_nothing_looks(bench: Bench) -> None:
    """Workers do so with queues that get no slot: it promotes, takes nothing, and wakes others."""
    bench.register("w")
    bench.enqueue("a", "b")
    bench.enqueue("due", delay=3_600_000)
    bench.fall_due("due")
    bench.take_token()
    claimed = bench.run(claiming.claim(bench.queue, "w", 0))
    assert (claimed.attempts, claimed.pending) == ((), 3)
    assert bench.pending() == ["a", "b", "due"]
    assert bench.token(), "others may take what this one has no slot for"
