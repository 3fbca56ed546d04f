"""enqueue: (none) -> pending / scheduled."""

from __future__ import annotations

import pytest
import redis

from identtqueue.errors import ProtocolMismatch, RedisFull
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Enqueued, Receipt
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import enqueueing, leasing, reporting, scheduling
from identtqueue.task import Task
from protocol.bench import FAILURE, TIME, Bench
from protocol.servers import fill
from testing import packing

LATER_MS = 3_600_000


def test_everything_that_a_plain_enqueue_writes(bench: Bench) -> None:
    bench.enqueue("a", "b")

    assert bench.dump() == {
        "pending": ["a", "b"],
        "wake": ["1"],
        "stats": {"enqueued": 2},
        "meta": {"protocol": "2"},
        "task:a (packed)": {
            "state": "pending",
            "payload": "a",
            "function": "job",
            "enqueued_at": TIME,
        },
        "task:b (packed)": {
            "state": "pending",
            "payload": "b",
            "function": "job",
            "enqueued_at": TIME,
        },
    }


def test_everything_that_a_delayed_enqueue_writes(bench: Bench) -> None:
    bench.enqueue("a", delay=LATER_MS, expires=9_999, ttl=5_000, unique="key", unique_ttl=LATER_MS)

    assert bench.dump() == {
        "scheduled": {"a": TIME},
        "expiring": {"a": TIME},
        "wake": ["1"],
        "stats": {"enqueued": 1},
        "meta": {"protocol": "2"},
        "unique:key (expires)": "a",
        "task:a": {
            "state": "scheduled",
            "payload": "a",
            "function": "job",
            "enqueued_at": TIME,
            "ttl": 5_000,
            "expires_at": TIME,
            "unique": "key",
            "unique_ttl": LATER_MS,
        },
    }


def test_tasks_of_several_jobs_and_options_in_one_call(bench: Bench) -> None:
    """Each gets its own payload, job and options, and the order is the one that was given."""
    long = "ü" * 250  # too long for a packed task, in bytes
    tasks = [
        bench.task("a", "one"),
        bench.task("b", "two"),
        bench.task("c", "two"),
        bench.task("later", "two", delay=LATER_MS),
        bench.task("tagged", "two", tags="x"),
        NewTask(bench.id("empty"), b"", "one"),
        bench.task("d", "one"),
        bench.task("ü\U0001f989", "ü"),
        bench.task("long", long),
        NewTask(bench.id("odd"), codec.encode_task(Task("other", ("odd",))), "one"),
        bench.task("b", "one"),
        NewTask(bench.id("large"), codec.encode_task(Task("one", ("x" * 70_000,))), "one"),
        bench.task("e", "one"),
    ]
    receipts = bench.run(enqueueing.enqueue(bench.queue, tasks))

    twice = tasks.pop(10)
    assert receipts.pop(10) == Receipt(twice.task_id, Enqueued.EXISTS)
    assert receipts == [Receipt(task.task_id, Enqueued.OK) for task in tasks]
    waiting = [task.task_id for task in tasks if "delay" not in task.options]
    assert [bench.id(name) for name in bench.pending()] == waiting
    for task in tasks:
        assert packing.field(bench.raw, task.task_id, "payload") == task.payload
        assert packing.field(bench.raw, task.task_id, "function") == task.function_name.encode()
    assert packing.field(bench.raw, bench.id("tagged"), "tags") == b"x"
    assert packing.field(bench.raw, bench.id("e"), "tags") is None
    packed = {name.decode() for name in bench.raw.hkeys(bench.keys.packed_tasks)}
    assert packed == {"a", "b", "c", "d", "ü\U0001f989", "e"}
    minutes = [bench.raw.hgetall(key) for key in bench.raw.keys(f"{bench.keys.minute_prefix}*")]
    counted = {
        job: sum(int(minute.get(f"e:{job}".encode(), 0)) for minute in minutes)
        for job in ("one", "two", "ü", long)
    }
    assert counted == {"one": 6, "two": 4, "ü": 1, long: 1}


def test_a_delay_counts_from_redis_time(bench: Bench) -> None:
    before = bench.now_ms()
    bench.enqueue("a", delay=LATER_MS)
    due = bench.raw.zscore(bench.keys.scheduled, bench.id("a"))
    assert before + LATER_MS <= due <= bench.now_ms() + LATER_MS


def test_a_time_in_the_future_is_kept_to_the_millisecond(bench: Bench) -> None:
    at = bench.now_ms() + LATER_MS
    bench.enqueue("a", at=at)
    assert bench.raw.zscore(bench.keys.scheduled, bench.id("a")) == at


def test_a_time_in_the_past_is_pending_at_once(bench: Bench) -> None:
    bench.enqueue("a", at=1)
    assert bench.pending() == ["a"]


@pytest.mark.parametrize("options", [{}, {"delay": LATER_MS}])
def test_one_id_is_one_task(bench: Bench, options: dict[str, int]) -> None:
    bench.enqueue("a", **options)
    receipts = bench.refuses(enqueueing.enqueue(bench.queue, [bench.task("a")]))
    assert receipts == [Receipt(bench.id("a"), Enqueued.EXISTS)]


def test_an_id_that_is_running_or_has_ended_exists_too(bench: Bench) -> None:
    attempts = bench.running("w", "running", "done", "dead")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("done"), attempts[1].number, b"\xc0")]))
    bench.run(reporting.bury(bench.queue, "w", bench.id("dead"), attempts[2].number, FAILURE))

    tasks = [bench.task(name) for name in ("running", "done", "dead")]
    receipts = bench.refuses(enqueueing.enqueue(bench.queue, tasks))
    assert {receipt.status for receipt in receipts} == {Enqueued.EXISTS}


ENDS = {
    "succeeded": lambda b, a: reporting.finish(b.queue, "w", [(a.task_id, a.number, b"\xc0")]),
    "failed": lambda b, a: reporting.bury(b.queue, "w", a.task_id, a.number, FAILURE),
    "cancelled": lambda b, a: reporting.abort(b.queue, "w", a.task_id, a.number),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("options", [{}, {"delay": LATER_MS}])
def test_a_task_that_has_ended_can_be_replaced(
    bench: Bench, end: str, options: dict[str, int]
) -> None:
    """Only its attempt number stays, so that no report of the old task fits the new one."""
    (old,) = bench.running("w", "a", ttl=5_000, expires=LATER_MS, unique="k", unique_ttl=LATER_MS)
    bench.run(reporting.progress("w", old.task_id, old.number, 1, b"\xc0"))
    bench.run(ENDS[end](bench, old))

    again = enqueueing.enqueue(bench.queue, [bench.task("a", replace=True, **options)])
    assert bench.run(again) == [Receipt(bench.id("a"), Enqueued.OK)]
    left = bench.dump()["task:a"]
    assert int(left.pop("fence")) >= old.fencing_token
    assert left == {
        "state": "scheduled" if options else "pending",
        "payload": "a",
        "function": "job",
        "enqueued_at": TIME,
        "attempt": old.number,
    }
    assert bench.raw.zcard(bench.keys.dead) == 0
    bench.refuses(ENDS[end](bench, old))
    if options:
        bench.fall_due("a")
        bench.run(scheduling.promote(bench.queue))
    (new,) = bench.claim("w")
    assert (new.number, new.failures, new.losses) == (old.number + 1, 0, 0)
    assert new.fencing_token > old.fencing_token


@pytest.mark.parametrize("state", ["scheduled", "pending", "running"])
def test_a_task_that_has_not_ended_is_not_replaced(bench: Bench, state: str) -> None:
    if state == "running":
        bench.running("w", "a")
    else:
        bench.enqueue("a", **({"delay": LATER_MS} if state == "scheduled" else {}))
    again = enqueueing.enqueue(bench.queue, [bench.task("a", replace=True)])
    assert bench.refuses(again) == [Receipt(bench.id("a"), Enqueued.EXISTS)]


def test_a_full_redis_replaces_nothing(bench: Bench) -> None:
    (old,) = bench.running("w", "a")
    bench.run(reporting.finish(bench.queue, "w", [(old.task_id, old.number, b"\xc0")]))
    before = bench.snapshot()
    fill(bench.raw)
    try:
        with pytest.raises(RedisFull):
            bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task("a", replace=True)]))
    finally:
        bench.raw.config_set("maxmemory", 0)
    assert bench.snapshot() == before


def test_a_batch_may_be_mixed(bench: Bench) -> None:
    bench.enqueue("old")
    bench.enqueue("holder", unique="key", unique_ttl=LATER_MS)

    receipts = bench.run(
        enqueueing.enqueue(
            bench.queue,
            [
                bench.task("old"),
                bench.task("new"),
                bench.task("new"),
                bench.task("rival", unique="key", unique_ttl=LATER_MS),
                bench.task("delayed", delay=LATER_MS),
            ],
        )
    )

    assert [(*bench.names([r.task_id]), r.status) for r in receipts] == [
        ("old", Enqueued.EXISTS),
        ("new", Enqueued.OK),
        ("new", Enqueued.EXISTS),
        ("holder", Enqueued.UNIQUE),
        ("delayed", Enqueued.OK),
    ]
    assert bench.pending() == ["old", "holder", "new"]
    assert bench.dump()["stats"] == {"enqueued": 4}


def test_an_empty_batch_does_nothing(bench: Bench) -> None:
    assert bench.refuses(enqueueing.enqueue(bench.queue, [])) == []


def test_a_unique_key_is_one_unfinished_task(bench: Bench) -> None:
    bench.enqueue("a", unique="key", unique_ttl=LATER_MS)
    rival = enqueueing.enqueue(bench.queue, [bench.task("b", unique="key", unique_ttl=LATER_MS)])

    assert bench.refuses(rival) == [Receipt(bench.id("a"), Enqueued.UNIQUE)]
    assert 0 < bench.raw.pttl(bench.keys.unique_prefix + "key") <= LATER_MS

    bench.register("w")
    (attempt,) = bench.claim("w")
    assert bench.refuses(rival) == [Receipt(bench.id("a"), Enqueued.UNIQUE)]

    bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, attempt.number, b"\xc0")]))
    assert bench.run(rival) == [Receipt(bench.id("b"), Enqueued.OK)]


def test_a_unique_key_that_ran_out_is_not_taken_from_its_next_holder(bench: Bench) -> None:
    (first,) = bench.running("w", "first", unique="key", unique_ttl=LATER_MS)
    bench.raw.delete(bench.keys.unique_prefix + "key")  # its TTL ran out
    bench.enqueue("second", unique="key", unique_ttl=LATER_MS)

    bench.run(reporting.finish(bench.queue, "w", [(first.task_id, first.number, b"\xc0")]))
    assert bench.dump()["unique:key (expires)"] == "second"


def test_the_doorbell_rings_when_nothing_was_pending_or_an_earlier_task_is_scheduled(
    bench: Bench,
) -> None:
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.keys.doorbell)
        bench.enqueue("a", "b")
        assert _rings(bench, listener) == 1
        bench.enqueue("c")
        assert _rings(bench, listener) == 0
        for name, delay, rings in (("d", 2 * LATER_MS, 1), ("f", 3 * LATER_MS, 0), ("g", 1000, 1)):
            bench.enqueue(name, delay=delay)
            assert _rings(bench, listener) == rings, name
        bench.register("w")
        bench.claim("w", 3)
        assert _rings(bench, listener) == 0
        bench.enqueue("e")
        assert _rings(bench, listener) == 1


def _rings(bench: Bench, listener: redis.client.PubSub) -> int:
    """Count the doorbell's messages. One that the test publishes itself comes after all others."""
    bench.raw.publish(bench.keys.doorbell, "end")
    number = 0
    while True:
        message = listener.get_message(timeout=30)
        if message is not None and message["data"] == b"end":
            return number
        number += message is not None


@pytest.mark.parametrize("version", ["0", "1", "10"])
def test_another_protocol_version_is_refused(bench: Bench, version: str) -> None:
    bench.raw.hset(bench.keys.meta, "protocol", version)
    before = bench.snapshot()
    for call in (
        enqueueing.enqueue(bench.queue, [bench.task("a")]),
        leasing.register(bench.queue, "w", 1000, {}),
    ):
        with pytest.raises(ProtocolMismatch, match=f"protocol version {version}, .* speaks 2"):
            bench.redis.run(call)
    assert bench.snapshot() == before
