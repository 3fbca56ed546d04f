"""Requests of clients and administrators: cancel, await, replay, discard, depth, dead letters."""

from __future__ import annotations

import pytest
import redis

from identtqueue.protocol import codec, replies
from identtqueue.protocol.answers import (
    Announced,
    Cancelled,
    Enqueued,
    Replayed,
    Rescheduled,
    Scheduled,
)
from identtqueue.protocol.calls import (
    acting,
    enqueueing,
    inspecting,
    listing,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.task import Result, State
from protocol.bench import FAILURE, MS, TIME, Bench

LATER_MS = 3_600_000


def bury(bench: Bench, *names: str) -> None:
    for attempt in bench.running("w", *names):
        bench.run(reporting.bury(bench.queue, "w", attempt.task_id, attempt.number, FAILURE))


# --- cancel ---


@pytest.mark.parametrize("options", [{}, {"delay": LATER_MS}])
def test_everything_that_a_cancel_writes(bench: Bench, options: dict[str, int]) -> None:
    bench.enqueue("a", unique="key", unique_ttl=LATER_MS, **options)

    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK

    assert bench.dump() == {
        "wake": ["1"],
        "stats": {"enqueued": 1, "cancelled": 1},
        "meta": {"protocol": "2"},
        "ended": ["a"],
        "task:a (expires)": {
            "state": "cancelled",
            "payload": "a",
            "error": "Cancelled",
            "function": "job",
            "enqueued_at": TIME,
            "finished_at": TIME,
            "unique": "key",
            "unique_ttl": LATER_MS,
        },
    }


def test_a_cancel_takes_its_own_task_only(bench: Bench) -> None:
    bench.enqueue("a", "b", "c")
    bench.run(one_task.cancel(bench.id("b")))
    assert bench.pending() == ["a", "c"]


def test_the_owner_of_a_running_task_is_asked(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    before = bench.dump()
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("idtq:control:w")
        assert bench.run(one_task.cancel(attempt.task_id)) is Cancelled.ASKED
        assert _next(listener) == b"cancel %s 1" % attempt.task_id.encode()
    before["task:a"] = before.pop("task:a (packed)") | {"cancel": "1"}
    assert bench.dump() == before
    assert bench.run(one_task.cancel(attempt.task_id)) is Cancelled.ASKED


def _next(listener: redis.client.PubSub) -> bytes:
    while (message := listener.get_message(timeout=30)) is None:
        pass
    return bytes(message["data"])


def test_what_has_ended_or_never_was_can_not_be_cancelled(bench: Bench) -> None:
    bury(bench, "dead")
    (attempt,) = bench.running("v", "done")
    bench.run(reporting.finish(bench.queue, "v", [(attempt.task_id, 1, b"\xc0")]))
    bench.enqueue("cancelled")
    bench.run(one_task.cancel(bench.id("cancelled")))

    for name in ("dead", "done", "cancelled"):
        assert bench.refuses(one_task.cancel(bench.id(name))) is Cancelled.ENDED
    assert bench.refuses(one_task.cancel(bench.id("never"))) is Cancelled.MISSING


# --- await ---


def test_only_looking_writes_nothing(bench: Bench) -> None:
    bench.enqueue("a")
    bench.enqueue("b", delay=LATER_MS)
    assert bench.refuses(one_task.await_result(bench.id("never"))) is None
    assert bench.refuses(one_task.await_result(bench.id("a"))) is State.PENDING
    assert bench.refuses(one_task.await_result(bench.id("b"))) is State.SCHEDULED
    bench.register("w")
    bench.claim("w")
    assert bench.refuses(one_task.await_result(bench.id("a"))) is State.RUNNING


def test_a_channel_is_registered_once(bench: Bench) -> None:
    bench.enqueue("a")
    bench.run(one_task.await_result(bench.id("a"), "one"))
    bench.refuses(one_task.await_result(bench.id("a"), "one"))
    bench.run(one_task.await_result(bench.id("a"), "two"))
    bench.refuses(one_task.await_result(bench.id("a"), "one"))
    assert bench.field("a", "waiters") == "one two"


def test_nobody_is_registered_for_what_has_ended(bench: Bench) -> None:
    bury(bench, "a")
    assert isinstance(bench.refuses(one_task.await_result(bench.id("a"), "one")), Result)
    assert bench.refuses(one_task.await_result(bench.id("never"), "one")) is None


@pytest.mark.parametrize("how", ["finish", "bury", "abort", "cancel", "expire", "recover"])
def test_every_end_is_announced_to_all_who_wait(bench: Bench, how: str) -> None:
    bench.register("w")
    bench.enqueue("a", expires=LATER_MS)
    if how not in ("cancel", "expire"):
        bench.claim("w")
    task_id = bench.id("a")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(f"{bench.queue}-1", f"{bench.queue}-2")
        for number in (1, 2):
            bench.run(one_task.await_result(task_id, f"{bench.queue}-{number}"))
        if how == "finish":
            bench.run(
                reporting.finish(bench.queue, "w", [(task_id, 1, codec.encode_value({"x": "\n"}))])
            )
        elif how == "bury":
            bench.run(reporting.bury(bench.queue, "w", task_id, 1, FAILURE))
        elif how == "abort":
            bench.run(reporting.abort(bench.queue, "w", task_id, 1))
        elif how == "cancel":
            bench.run(one_task.cancel(task_id))
        elif how == "expire":
            bench.expire("a")
            bench.claim("w")
        else:
            bench.recover("w", limit=1)
            bench.register("v")
            bench.claim("v", idle=True)
            bench.recover("v", limit=1)
        answers = [replies.parse_reply(_next(listener)) for _ in range(2)]
    stored = bench.run(one_task.await_result(task_id))
    assert isinstance(stored, Result)
    assert answers == [(task_id, stored)] * 2


@pytest.mark.parametrize("size", [0, 65_530, 65_531, 100_000])
def test_a_big_result_is_only_announced(bench: Bench, size: int) -> None:
    data = codec.encode_value(b"x" * size)
    (attempt,) = bench.running("w", "a")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.queue)
        bench.run(one_task.await_result(attempt.task_id, bench.queue))
        bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 1, data)]))
        task_id, result = replies.parse_reply(_next(listener))
    assert task_id == attempt.task_id
    assert (result is None) == (len(data) > 65_536)
    stored = bench.run(one_task.await_result(attempt.task_id))
    if result is None:
        assert stored == Announced(len(data)), "also to who asks"
        stored = bench.run(one_task.await_result(attempt.task_id, size_bytes=len(data)))
    assert isinstance(stored, Result)
    assert stored.value == b"x" * size


# --- scheduled tasks ---


def test_everything_that_hasten_writes(bench: Bench) -> None:
    bench.enqueue("a", "b", delay=60_000)
    bench.take_token()
    before = bench.dump()
    assert bench.run(acting.reschedule(bench.queue, {bench.id("b"): 0})) == [Rescheduled.OK]
    after = bench.dump()
    assert after.pop("wake") == ["1"]
    assert {**after, "scheduled": before["scheduled"]} == before
    assert bench.run(scheduling.promote(bench.queue)).moved == 1
    assert bench.pending() == ["b"]


def test_only_scheduled_tasks_are_hastened(bench: Bench) -> None:
    bench.enqueue("pending")
    assert bench.refuses(acting.reschedule(bench.queue, {bench.id("pending"): 0})) == [
        Rescheduled.NOT_SCHEDULED
    ]
    assert bench.refuses(acting.reschedule(bench.queue, {bench.id("never"): 0})) == [
        Rescheduled.MISSING
    ]


def test_scheduled_tasks_are_listed_by_their_time(bench: Bench) -> None:
    now_ms = bench.now_ms()
    bench.enqueue("late", at=now_ms + 90_000)
    bench.enqueue("early", at=now_ms + 60_000)
    listed = [
        Scheduled(bench.id("early"), now_ms + 60_000),
        Scheduled(bench.id("late"), now_ms + 90_000),
    ]
    assert bench.run(listing.scheduled_tasks(bench.queue, 0, 9)) == listed
    assert bench.run(listing.scheduled_tasks(bench.queue, 1, 9)) == listed[1:]


# --- dead letters ---


def test_everything_that_a_replay_writes(bench: Bench) -> None:
    bury(bench, "a")

    assert bench.run(acting.replay(bench.queue, [bench.id("a")])) == [Replayed.OK]

    assert bench.dump() == {
        "pending": ["a"],
        "wake": ["1"],
        "workers": {"w": TIME},
        "info": {"w": {"host": "w"}},
        "stats": {
            "enqueued": 1,
            "claimed": 1,
            "failed": 1,
            "replayed": 1,
            "wait_ms": MS,
            "run_ms": MS,
        },
        "meta": {"protocol": "2"},
        "ended": ["a"],
        "task:a": {
            "state": "pending",
            "payload": "a",
            "history": ["failed"],
            "function": "job",
            "enqueued_at": TIME,
            "started_at": TIME,
            "pending_since": TIME,
            "owner": "w",
            "attempt": 1,
        },
    }
    (attempt,) = bench.claim("w")
    assert (attempt.number, attempt.failures) == (2, 0)


def test_a_replayed_task_takes_its_unique_key_back(bench: Bench) -> None:
    unique = {"unique": "key", "unique_ttl": LATER_MS}
    (attempt,) = bench.running("w", "a", **unique)
    bench.run(reporting.bury(bench.queue, "w", attempt.task_id, attempt.number, FAILURE))

    bench.enqueue("rival", **unique)
    assert bench.refuses(acting.replay(bench.queue, [attempt.task_id])) == [Replayed.UNIQUE]
    bench.run(one_task.cancel(bench.id("rival")))
    assert bench.run(acting.replay(bench.queue, [attempt.task_id])) == [Replayed.OK]

    key = bench.keys.unique_prefix + "key"
    assert bench.raw.get(key) == attempt.task_id.encode()
    assert 0 < bench.raw.pttl(key) <= LATER_MS
    (receipt,) = bench.refuses(enqueueing.enqueue(bench.queue, [bench.task("late", **unique)]))
    assert (receipt.task_id, receipt.status) == (attempt.task_id, Enqueued.UNIQUE)


def test_a_replayed_task_of_an_older_client_has_its_unique_key_for_a_day(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a", unique="key", unique_ttl=LATER_MS)
    bench.raw.hdel(bench.unpack(attempt.task_id), "unique_ttl")
    bench.run(reporting.bury(bench.queue, "w", attempt.task_id, attempt.number, FAILURE))
    assert bench.run(acting.replay(bench.queue, [attempt.task_id])) == [Replayed.OK]
    assert LATER_MS < bench.raw.pttl(bench.keys.unique_prefix + "key") <= 24 * LATER_MS


def test_a_replayed_task_neither_expires_nor_remembers_a_cancellation(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a", expires=LATER_MS)
    bench.run(one_task.cancel(attempt.task_id))
    bench.expire("a")
    bench.run(reporting.bury(bench.queue, "w", attempt.task_id, 1, FAILURE))
    bench.run(acting.replay(bench.queue, [attempt.task_id]))
    assert [again.number for again in bench.claim("w")] == [2]


def test_everything_that_a_discard_writes(bench: Bench) -> None:
    bury(bench, "a", "b")
    before = bench.dump()
    assert bench.run(acting.discard(bench.queue, [bench.id("a")])) == [Replayed.OK]
    del before["task:a (expires)"], before["dead"]["a"]
    assert bench.dump() == before


@pytest.mark.parametrize("command", [acting.replay, acting.discard])
def test_only_dead_letters_are_replayed_or_discarded(bench: Bench, command: object) -> None:
    (attempt,) = bench.running("w", "done")
    bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 1, b"\xc0")]))
    bench.running("v", "running")
    bench.enqueue("pending")
    bench.enqueue("scheduled", delay=LATER_MS)
    for name in ("done", "running", "pending", "scheduled"):
        assert bench.refuses(command(bench.queue, [bench.id(name)])) == [Replayed.NOT_DEAD]
    assert bench.refuses(command(bench.queue, [bench.id("never")])) == [Replayed.MISSING]


def test_dead_letters_are_listed_newest_first(bench: Bench) -> None:
    names = [f"t{i}" for i in range(5)]
    bury(bench, *names)
    for position, name in enumerate(names):
        bench.raw.zadd(bench.keys.dead, {bench.id(name): bench.now_ms() - 5 + position})
    listed = bench.refuses(listing.dead_letters(bench.queue, 0, 100))
    assert bench.names(listed) == list(reversed(names))
    page = bench.refuses(listing.dead_letters(bench.queue, 1, 2))
    assert bench.names(page) == ["t3", "t2"]


# --- looking ---


def test_the_depth_of_an_empty_queue(bench: Bench) -> None:
    depth = bench.refuses(inspecting.depth(bench.queue))
    assert (depth.queued, depth.in_flight, depth.scheduled, depth.dead) == (0, 0, 0, 0)
    assert (depth.oldest_wait_ms, depth.next_due_in_ms, depth.paused) == (None, None, False)
    assert (depth.due_soon, depth.workers, depth.counters) == (0, 0, {})


def test_the_depth_of_a_queue(bench: Bench) -> None:
    bury(bench, "dead")
    bench.running("v", "x", "y")
    bench.enqueue("a", "b", "c")
    bench.enqueue("later", delay=LATER_MS)
    bench.run(acting.pause(bench.queue, stop=True))
    bench.raw.hset(bench.unpack(bench.id("a")), "enqueued_at", bench.now_ms() - LATER_MS)

    depth = bench.refuses(inspecting.depth(bench.queue))

    assert (depth.queued, depth.in_flight, depth.scheduled, depth.dead) == (3, 2, 1, 1)
    assert (depth.workers, depth.paused) == (2, True)
    assert depth.oldest_wait_ms is not None
    assert LATER_MS <= depth.oldest_wait_ms < 2 * LATER_MS
    assert depth.next_due_in_ms is not None
    assert 0 < depth.next_due_in_ms <= LATER_MS
    assert depth.counters["enqueued"] == 7
    assert depth.counters["claimed"] == 3
    assert set(depth.counters) == {"enqueued", "claimed", "failed", "wait_ms", "run_ms"}


def test_what_is_overdue_is_due_in_no_time(bench: Bench) -> None:
    bench.enqueue("a", delay=LATER_MS)
    bench.fall_due("a")
    assert bench.refuses(inspecting.depth(bench.queue)).next_due_in_ms == 0


def test_scheduled_tasks_that_fall_due_within_a_time_are_counted(bench: Bench) -> None:
    for position in range(4):
        bench.enqueue(f"t{position}", delay=LATER_MS * (position + 1))
    bench.fall_due("t0")  # due, and not promoted yet
    counts = [
        bench.refuses(inspecting.depth(bench.queue, within_ms=LATER_MS * times)).due_soon
        for times in (0, 1, 2, 3, 9)
    ]
    assert counts == [1, 1, 2, 3, 4]


def test_an_unknown_task_has_no_info(bench: Bench) -> None:
    assert bench.refuses(one_task.task_info(bench.id("never"))) is None


def test_the_info_of_a_fresh_task(bench: Bench) -> None:
    bench.enqueue("a")
    info = bench.refuses(one_task.task_info(bench.id("a")))
    assert info is not None
    assert (info.task_id, info.queue, info.state) == (bench.id("a"), bench.queue, State.PENDING)
    assert (info.function_name, info.attempt, info.failures, info.losses) == ("job", 0, 0, 0)
    assert (info.started_at_ms, info.finished_at_ms) == (None, None)
    assert (info.owner, info.failure) == (None, None)
