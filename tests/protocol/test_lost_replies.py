"""A call whose reply was lost is sent again: it gets the same answer, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identtqueue.protocol.answers import (
    Ack,
    Cancelled,
    Enqueued,
    JobPaused,
    Replayed,
    Rescheduled,
    Revoked,
)
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import acting, enqueueing, one_task, reporting, scheduling
from identtqueue.protocol.submission import Submission, new_task
from identtqueue.task import Failure, TaskOptions
from protocol.bench import FAILURE, Bench

WHY = Failure("Cancelled", "by an administrator")

PREPARED: dict[str, tuple[Callable[[Bench], Call[Any]], Any]] = {
    "cancel": (lambda bench: one_task.cancel(bench.id("pending")), Cancelled.OK),
    "cancel of a running task": (
        lambda bench: one_task.cancel(bench.id("running")),
        Cancelled.ASKED,
    ),
    "replay": (lambda bench: acting.replay(bench.queue, [bench.id("dead")]), [Replayed.OK]),
    "hasten": (
        lambda bench: acting.reschedule(bench.queue, {bench.id("later"): 0}),
        [Rescheduled.OK],
    ),
    "discard": (lambda bench: acting.discard(bench.queue, [bench.id("dead")]), [Replayed.OK]),
    "drain": (lambda bench: acting.drain(bench.queue, ["w"], stop=True), ["w"]),
    "pause": (lambda bench: acting.pause(bench.queue, stop=True), True),
    "revoke": (
        lambda bench: acting.revoke(
            bench.queue, [bench.id("pending"), bench.id("never")], WHY, asks=True
        ),
        [Revoked.OK, Revoked.MISSING],
    ),
    "pause_job": (lambda bench: acting.pause_job(bench.queue, "job", stop=True), JobPaused.OK),
}


@pytest.mark.parametrize("name", PREPARED)
def test_a_call_that_is_sent_again_gets_its_first_answer(bench: Bench, name: str) -> None:
    make, expected = PREPARED[name]
    bench.running("w", "dead", "running")
    bench.run(reporting.bury(bench.queue, "w", bench.id("dead"), 1, FAILURE))
    bench.enqueue("pending")
    bench.enqueue("later", delay=60_000)
    call = make(bench)
    assert bench.run(call) == expected
    if name == "cancel of a running task":
        bench.run(reporting.abort(bench.queue, "w", bench.id("running"), 1))
    if name == "hasten":
        bench.run(scheduling.promote(bench.queue))
    assert bench.refuses(call) == expected
    assert bench.run(make(bench)) != expected, "another call has an answer of its own"


def test_a_call_that_resumes_a_queue_says_so_twice(bench: Bench) -> None:
    bench.run(acting.pause(bench.queue, stop=True))
    call = acting.pause(bench.queue, stop=False)
    assert bench.run(call) is True
    assert bench.refuses(call) is True


def test_a_task_with_a_random_id_is_new_however_often_it_is_sent(bench: Bench) -> None:
    task = NewTask(bench.id("random"), b"", "job", random_id=True)
    call = enqueueing.enqueue(bench.queue, [task])
    assert bench.redis.run(call)[0].created
    assert bench.redis.run(call)[0].created
    own = NewTask(bench.id("random"), b"", "job")
    (receipt,) = bench.redis.run(enqueueing.enqueue(bench.queue, [own]))
    assert receipt.status is Enqueued.EXISTS


ENQUEUES: dict[str, dict[str, Any]] = {
    "an id of the caller's own": {"random_id": False},
    "a unique key": {"random_id": False, "unique": "key", "unique_ttl": 1_000},
    "a unique key, a random id": {"random_id": True, "unique": "key", "unique_ttl": 1_000},
    "replaces an ended task": {"random_id": False, "replace": True},
    "a short result": {"random_id": True, "ttl": 1_000},
    "a short result, an own id": {"random_id": False, "ttl": 1_000},
}


@pytest.mark.parametrize(
    ("name", "ended"),
    [(name, False) for name in ENQUEUES]
    + [(name, True) for name, how in ENQUEUES.items() if "ttl" in how or not how["random_id"]],
)
def test_an_enqueue_that_is_sent_again_created_its_task_and_runs_it_once(
    bench: Bench, name: str, ended: bool
) -> None:
    options = dict(ENQUEUES[name])
    task = NewTask(bench.id("a"), b"", "job", random_id=options.pop("random_id"), options=options)
    call = enqueueing.enqueue(bench.queue, [task])
    (receipt,) = bench.run(call)
    assert receipt.created
    if ended:
        bench.register("w")
        (attempt,) = bench.claim("w")
        bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 1, b"\xc0")]))
        bench.raw.delete(bench.unpack(attempt.task_id))  # its time to live is over
    assert bench.refuses(call) == [receipt]


def test_a_batch_that_is_sent_again_has_the_same_answers(bench: Bench) -> None:
    bench.enqueue("old")
    tasks = [bench.task("new"), bench.task("old"), bench.task("new")]
    call = enqueueing.enqueue(bench.queue, tasks)
    receipts = bench.run(call)
    assert [receipt.created for receipt in receipts] == [True, False, False]
    assert bench.refuses(call) == receipts
    (again,) = bench.run(enqueueing.enqueue(bench.queue, tasks[:1]))
    assert not again.created, "another call has an answer of its own"


def test_tasks_with_random_ids_leave_no_answers(bench: Bench) -> None:
    """The plain path has no extra cost."""
    task = NewTask(bench.id("random"), b"", "job", random_id=True)
    bench.run(enqueueing.enqueue(bench.queue, [task]))
    assert not bench.raw.keys(bench.keys.answer_prefix + "*")


def test_answers_are_forgotten_by_themselves(bench: Bench) -> None:
    bench.enqueue("a")
    bench.run(one_task.cancel(bench.id("a")))
    found = bench.raw.keys(bench.keys.answer_prefix + "*")
    assert len(found) == 2
    for key in found:
        assert 0 < bench.raw.pttl(key) <= enqueueing.ANSWER_MS


def test_a_task_with_a_random_id_does_not_replace_itself(bench: Bench) -> None:
    submission = Submission(bench.queue, "job", options=TaskOptions(on_existing="replace"))
    call = enqueueing.enqueue(bench.queue, [new_task(submission, 1000)])
    first = bench.run(call)
    bench.register("w")
    (attempt,) = bench.claim("w")
    bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 1, b"\xc0")]))
    assert bench.refuses(call) == first


def test_a_retry_that_is_sent_again_is_done_though_the_task_runs_elsewhere(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    call = reporting.retry(bench.queue, "w", attempt.task_id, 1, 60_000, FAILURE)
    assert bench.run(call) is Ack.OK
    bench.fall_due("a")
    bench.register("v")
    assert [again.number for again in bench.claim("v")] == [2]
    assert bench.refuses(call) is Ack.DONE
    lost = reporting.retry(bench.queue, "v", attempt.task_id, 3, 60_000, FAILURE)
    assert bench.refuses(lost) is Ack.LOST
