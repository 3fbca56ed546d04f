"""A task whole: arguments, result, attempts, options, tags, parent and children."""

from __future__ import annotations

from typing import Any

import pytest

from identtqueue import State, TaskNotFound
from identtqueue.admin import Admin, AttemptRecord, Place
from identtqueue.errors import InvalidTaskId
from identtqueue.protocol import codec
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    leasing,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.protocol.ends import Keeping
from identtqueue.task import Failure, Task
from protocol.bench import FAILURE, Bench

LATER_MS = 3_600_000


def outcomes(attempts: list[AttemptRecord]) -> list[tuple[int, str]]:
    return [(attempt.number, attempt.outcome) for attempt in attempts]


async def test_a_task_that_waits_has_a_call_and_no_attempts(admin: Admin, bench: Bench) -> None:
    payload = codec.encode_task(Task("send", ("x",), {"to": "a@b"}, 30.0, 5))
    options = {"unique": "k", "unique_ttl": LATER_MS, "ttl": 60_000, "expires": LATER_MS}
    task = bench.task("a", "send", tags="tenant:42\nblue", **options)
    task = type(task)(task.task_id, payload, "send", task.options)
    bench.run(enqueueing.enqueue(bench.queue, [task]))
    record = await admin.record(bench.id("a"))
    assert record.info == await admin.task(bench.id("a"))
    assert record.place is Place.PENDING
    assert record.call == Task("send", ("x",), {"to": "a@b"}, 30.0, 5)
    assert (record.call_note, record.result, record.result_note) == ("", None, "")
    assert record.tags == ("tenant:42", "blue")
    assert record.attempts == []
    assert (record.parent, record.children, record.children_count) == (None, [], 0)
    assert record.options.unique_key == "k"
    assert record.options.result_ttl_seconds == 60
    assert (record.options.timeout_seconds, record.options.max_retries) == (30.0, 5)
    assert record.options.expires_at_ms is not None
    assert record.options.forgotten_in_ms is None


async def test_a_task_that_succeeds_at_once_has_one_attempt(admin: Admin, bench: Bench) -> None:
    info = {"host": "node-7", "pod_name": "reader-abc"}
    bench.run(leasing.register(bench.queue, "w", 60_000, info))
    bench.enqueue("a")
    (attempt,) = bench.claim("w")
    running = await admin.record(attempt.task_id)
    assert outcomes(running.attempts) == [(1, "running")]
    assert running.attempts[0].ran_ms is None
    assert running.place is Place.RUNNING
    result = codec.encode_value({"pages": 3})
    bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 1, result)]))
    record = await admin.record(attempt.task_id)
    (only,) = record.attempts
    assert (only.number, only.worker, only.pod, only.outcome) == (1, "w", "reader-abc", "succeeded")
    assert only.started_at_ms == record.info.started_at_ms
    assert only.waited_ms >= 0
    assert only.ran_ms is not None
    assert only.error is None
    assert record.result == {"pages": 3}
    assert record.place is Place.ENDED
    assert record.call == Task("job", ("a",))
    assert 0 < (record.options.forgotten_in_ms or 0) <= LATER_MS
    assert bench.field("a", "history") is None, "nothing is written for it"


async def test_the_history_tells_how_each_attempt_ended(admin: Admin, bench: Bench) -> None:
    bench.run(leasing.register(bench.queue, "w", 60_000, {"host": "n", "pod_name": "first-pod"}))
    bench.enqueue("a")
    task_id = bench.id("a")
    bench.claim("w")
    why = codec.encode_failure(Failure("httpx.ReadTimeout", "no answer\nmore", "the trace"))
    bench.run(reporting.retry(bench.queue, "w", task_id, 1, 1, why))
    bench.fall_due("a")
    bench.claim("w")
    bench.run(reporting.release(bench.queue, "w", [(task_id, 2)]))
    bench.claim("w")
    bench.recover("w")
    bench.register("v")
    bench.claim("v")
    bench.run(reporting.decline(bench.queue, "v", task_id, 4, "sig", Failure("UnknownJob", "no")))
    bench.register("x")
    shelf = "sig:job"
    bench.run(claiming.claim(bench.queue, "x", 1, shelves=[shelf]))
    last = codec.encode_failure(Failure("ValueError", "bad", "last trace"))
    bench.run(reporting.bury(bench.queue, "x", task_id, 5, last))
    record = await admin.record(task_id)
    assert outcomes(record.attempts) == [
        (1, "failed"),
        (2, "released"),
        (3, "lost"),
        (4, "declined"),
        (5, "failed"),
    ]
    assert [attempt.pod for attempt in record.attempts] == ["first-pod"] * 3 + ["v", "x"]
    assert record.attempts[0].error == Failure("httpx.ReadTimeout", "no answer")
    assert record.attempts[3].error == Failure("UnknownJob", "no")
    assert record.attempts[4].error == Failure("ValueError", "bad", "last trace")
    assert all(attempt.ran_ms is not None for attempt in record.attempts)
    bench.run(acting.replay(bench.queue, [task_id]))
    bench.claim("x")
    bench.run(reporting.finish(bench.queue, "x", [(task_id, 6, b"\xc0")]))
    again = await admin.record(task_id)
    assert outcomes(again.attempts)[-2:] == [(5, "failed"), (6, "succeeded")]


async def test_of_a_long_history_the_first_and_the_last_are_kept(
    admin: Admin, bench: Bench
) -> None:
    bench.register("w")
    bench.enqueue("a")
    for number in range(1, 31):
        bench.claim("w")
        bench.redis.run(reporting.retry(bench.queue, "w", bench.id("a"), number, 1, FAILURE))
        bench.fall_due("a")
    record = await admin.record(bench.id("a"))
    assert [attempt.number for attempt in record.attempts] == [1, *range(11, 31)]
    assert record.info.attempt == 30


async def test_a_cancelled_attempt_is_told(admin: Admin, bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(one_task.cancel(attempt.task_id))
    bench.run(reporting.abort(bench.queue, "w", attempt.task_id, 1))
    record = await admin.record(attempt.task_id)
    assert outcomes(record.attempts) == [(1, "cancelled")]
    assert record.attempts[0].error == Failure("Cancelled", "cancelled on request")


async def test_a_task_that_was_cancelled_before_it_started_has_no_attempt(
    admin: Admin, bench: Bench
) -> None:
    bench.enqueue("a")
    bench.run(one_task.cancel(bench.id("a")))
    record = await admin.record(bench.id("a"))
    assert record.attempts == []
    assert record.place is Place.ENDED
    assert record.call == Task("job", ("a",))


async def test_where_a_waiting_task_is(admin: Admin, bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.decline(bench.queue, "w", attempt.task_id, 1, "sig", Failure("X", "no")))
    bench.enqueue("b", delay=LATER_MS)
    assert (await admin.record(bench.id("a"))).place is Place.HELD
    scheduled = await admin.record(bench.id("b"))
    assert scheduled.place is Place.SCHEDULED
    assert scheduled.options.due_at_ms is not None


async def test_an_unknown_task_is_not_found(admin: Admin, bench: Bench) -> None:
    with pytest.raises(TaskNotFound):
        await admin.record(bench.id("none"))
    with pytest.raises(InvalidTaskId):
        await admin.record("none")


# --- kept arguments ---


@pytest.mark.parametrize(("size", "kept"), [(16_000, True), (17_000, False)])
async def test_small_arguments_are_kept_as_long_as_the_result(
    admin: Admin, bench: Bench, size: int, kept: bool
) -> None:
    payload = codec.encode_task(Task("job", ("x" * size,)))
    for name in ("a", "b", "c"):
        task = type(bench.task(name))(bench.id(name), payload, "job")
        bench.run(enqueueing.enqueue(bench.queue, [task]))
    bench.register("w")
    bench.claim("w", 2)
    large = [] if kept else [bench.id("a")]
    done = [(bench.id("a"), 1, b"\xc0")]
    bench.run(reporting.finish(bench.queue, "w", done, dropped=large))
    bench.run(one_task.cancel(bench.id("b")))
    bench.run(reporting.abort(bench.queue, "w", bench.id("b"), 1))
    bench.run(one_task.cancel(bench.id("c")))
    for name in ("a", "b", "c"):
        record = await admin.record(bench.id(name))
        assert (record.call is not None) == kept, name
        assert record.call_note == ("" if kept else "no longer kept")
        assert bench.raw.pttl(bench.keys.task(bench.id(name))) > 0


async def test_no_arguments_are_kept_if_the_workers_say_so(admin: Admin, bench: Bench) -> None:
    keeping = Keeping(arguments=False)
    bench.run(leasing.register(bench.queue, "w", 60_000, {}, keeping=keeping))
    bench.enqueue("a", "b", "c", "d")
    bench.claim("w", 3)
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")], keeping=keeping))
    bench.run(reporting.bury(bench.queue, "w", bench.id("b"), 1, FAILURE))
    bench.run(one_task.cancel(bench.id("c")))
    bench.run(reporting.abort(bench.queue, "w", bench.id("c"), 1))
    bench.run(one_task.cancel(bench.id("d")))
    kept = {name: (await admin.record(bench.id(name))).call is not None for name in "abcd"}
    assert kept == {"a": False, "b": True, "c": False, "d": False}, "a replay needs b's"
    bench.run(leasing.register(bench.queue, "v", 60_000, {}))
    assert bench.raw.hget(bench.keys.meta, "keeping") is None, "the newest registration is valid"


async def test_what_is_too_large_to_show_is_left_out(admin: Admin, bench: Bench) -> None:
    payload = codec.encode_task(Task("job", ("x" * 1_100_000,)), 2_000_000)
    bench.run(
        enqueueing.enqueue(bench.queue, [type(bench.task("a"))(bench.id("a"), payload, "job")])
    )
    record = await admin.record(bench.id("a"))
    assert record.call is None
    assert record.call_note.startswith("too large to show: 1,1")
    bench.register("w")
    bench.claim("w")
    result = codec.encode_value("y" * 1_200_000, 2_000_000)
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, result)]))
    record = await admin.record(bench.id("a"))
    assert record.result is None
    assert record.result_note.startswith("too large to show: 1,2")


# --- recent ends ---


async def ended(admin: Admin, bench: Bench, **how: Any) -> list[str]:
    rows = (await admin.tasks(bench.queue, Place.ENDED, limit=1_000, **how)).rows
    return bench.names(row.task_id for row in rows)


async def test_all_ends_are_listed_the_newest_first(admin: Admin, bench: Bench) -> None:
    bench.running("w", "done", "dead", "aborted")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("done"), 1, b"\xc0")]))
    bench.run(reporting.bury(bench.queue, "w", bench.id("dead"), 1, FAILURE))
    bench.run(one_task.cancel(bench.id("aborted")))
    bench.run(reporting.abort(bench.queue, "w", bench.id("aborted"), 1))
    bench.enqueue("cancelled", "expired", expires=LATER_MS)
    bench.run(one_task.cancel(bench.id("cancelled")))
    bench.expire("expired")
    bench.run(scheduling.promote(bench.queue))
    order = ["expired", "cancelled", "aborted", "dead", "done"]
    assert await ended(admin, bench) == order
    assert await ended(admin, bench, newest_first=False) == order[::-1]
    page = await admin.tasks(bench.queue, Place.ENDED)
    assert [row.state for row in page.rows] == [
        State.CANCELLED,
        State.CANCELLED,
        State.CANCELLED,
        State.FAILED,
        State.SUCCEEDED,
    ]
    assert all(row.since_ms == row.finished_at_ms for row in page.rows)


async def test_a_task_is_listed_for_its_last_end_only(admin: Admin, bench: Bench) -> None:
    bench.running("w", "a", "b")
    bench.run(reporting.bury(bench.queue, "w", bench.id("a"), 1, FAILURE))
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("b"), 1, b"\xc0")]))
    bench.run(acting.replay(bench.queue, [bench.id("a")]))
    assert await ended(admin, bench) == ["b"]
    bench.claim("w")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 2, b"\xc0")]))
    assert await ended(admin, bench) == ["a", "b"]
    bench.raw.delete(bench.keys.task(bench.id("b")))
    assert await ended(admin, bench) == ["a"]


async def test_the_list_of_ends_is_bounded_in_number(admin: Admin, bench: Bench) -> None:
    keeping = Keeping(recent_ends=10)
    bench.run(leasing.register(bench.queue, "w", 60_000, {}, keeping=keeping))
    for first in range(0, 400, 100):
        ids = [f"t{i}" for i in range(first, first + 100)]
        tasks = [bench.task(name) for name in ids]
        bench.redis.run(enqueueing.enqueue(bench.queue, tasks))
        claimed = bench.redis.run(claiming.claim(bench.queue, "w", 100)).attempts
        done = [(attempt.task_id, 1, b"\xc0") for attempt in claimed]
        bench.redis.run(reporting.finish(bench.queue, "w", done, keeping=keeping))
    assert bench.raw.llen(bench.keys.ended) <= 10 * 1.1 + 100
    assert (await ended(admin, bench))[:3] == ["t399", "t398", "t397"]
    bench.enqueue("c")
    bench.run(one_task.cancel(bench.id("c")))
    assert bench.raw.llen(bench.keys.ended) <= 10 * 1.1 + 101


async def test_old_ends_are_forgotten(admin: Admin, bench: Bench) -> None:
    bench.running("w", "a")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    old = [f"{i} q:t{i}" for i in range(1, 1_500)]
    for entry in old:
        bench.raw.lpush(bench.keys.ended, entry)
    bench.redis.run(scheduling.promote(bench.queue))
    assert bench.raw.llen(bench.keys.ended) == 500
    bench.redis.run(scheduling.promote(bench.queue))
    assert bench.raw.llen(bench.keys.ended) == 1
    assert await ended(admin, bench) == ["a"]


async def test_no_ends_are_listed_if_the_workers_say_so(admin: Admin, bench: Bench) -> None:
    bench.running("v", "old")
    bench.run(reporting.finish(bench.queue, "v", [(bench.id("old"), 1, b"\xc0")]))
    keeping = Keeping(recent_ends=0)
    bench.run(leasing.register(bench.queue, "w", 60_000, {}, keeping=keeping))
    bench.enqueue("a", "b")
    bench.claim("w", 1)
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")], keeping=keeping))
    bench.run(one_task.cancel(bench.id("b")))
    bench.run(scheduling.promote(bench.queue))
    assert bench.raw.exists(bench.keys.ended) == 0
    assert await ended(admin, bench) == []


# --- children ---


async def test_the_first_hundred_children_are_kept_and_all_are_counted(
    admin: Admin, bench: Bench
) -> None:
    bench.running("w", "parent")
    parent = bench.id("parent")
    for first in range(0, 150, 50):
        ids = [bench.id(f"c{i}") for i in range(first, first + 50)]
        assert bench.run(enqueueing.children(parent, ids))
    record = await admin.record(parent)
    assert record.children == [bench.id(f"c{i}") for i in range(100)]
    assert record.children_count == 150
    assert bench.run(enqueueing.children(parent, [bench.id("c0")]))
    assert (await admin.record(parent)).children_count == 150, "it was enqueued by a retry, say"
    assert not bench.run(enqueueing.children(bench.id("none"), [bench.id("c0")]))
    assert bench.raw.exists(bench.keys.task(bench.id("none"))) == 0


# --- numbers ---


async def test_dead_letters_are_grouped_by_job_and_error(admin: Admin, bench: Bench) -> None:
    tasks = [bench.task(f"s{i}", "send") for i in range(4)]
    tasks += [bench.task(f"r{i}", "read") for i in range(2)]
    bench.run(enqueueing.enqueue(bench.queue, tasks))
    bench.register("w")
    for attempt in bench.claim("w"):
        name = bench.names([attempt.task_id])[0]
        kind = "ValueError" if name in ("s0", "s1", "s2") else "httpx.ReadTimeout"
        data = codec.encode_failure(Failure(kind, f"of {name}", "trace"))
        bench.run(reporting.bury(bench.queue, "w", attempt.task_id, 1, data))
    found = await admin.dead_groups(bench.queue)
    assert (found.scanned, found.total) == (6, 6)
    assert [(g.job, g.error_type, g.number) for g in found.groups] == [
        ("send", "ValueError", 3),
        ("read", "httpx.ReadTimeout", 2),
        ("send", "httpx.ReadTimeout", 1),
    ]
    first = found.groups[0]
    assert first.sample.startswith("ValueError: of s")
    assert first.oldest_ms <= first.newest_ms
    assert first.newest_id in {bench.id(f"s{i}") for i in range(3)}
    part = await admin.dead_groups(bench.queue, scan_limit=2)
    assert (part.scanned, part.total, sum(g.number for g in part.groups)) == (2, 6, 2)


async def test_groups_of_several_calls_are_joined(admin: Admin, bench: Bench) -> None:
    for i in range(1_100):
        bench.raw.zadd(bench.keys.dead, {bench.id(f"t{i}"): i + 1})
        bench.raw.hset(
            bench.keys.task(bench.id(f"t{i}")),
            mapping={"state": "failed", "function": "job", "error": FAILURE},
        )
    found = await admin.dead_groups(bench.queue)
    (group,) = found.groups
    assert (group.number, group.newest_id) == (1_100, bench.id("t1099"))
    assert (group.oldest_ms, group.newest_ms) == (1, 1_100)
