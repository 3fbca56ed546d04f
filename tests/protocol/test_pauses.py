"""pause_job: the tasks of a paused job are held, whatever limits it has, until it is resumed."""

from __future__ import annotations

import pytest

from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol.answers import Ack, Cancelled, JobPaused
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
from identtqueue.task import Failure
from protocol.bench import LEASE_MS, TIME, Bench

INF = float("inf")
LATER_MS = 3_600_000
ONE = JobLimits(max_running=1)


def pause(bench: Bench, job: str = "job", note: bytes = b"") -> JobPaused:
    return bench.run(acting.pause_job(bench.queue, job, stop=True, note=note))


def resume(bench: Bench, job: str = "job") -> JobPaused:
    return bench.run(acting.pause_job(bench.queue, job, stop=False))


def claimed(bench: Bench, worker: str = "w", limit: int = 10) -> list[str]:
    return bench.names(attempt.task_id for attempt in bench.claim(worker, limit))


def enqueue(bench: Bench, job: str, *names: str) -> None:
    bench.run(enqueueing.enqueue(bench.queue, [bench.task(name, job) for name in names]))


def startable(bench: Bench) -> int:
    """Return what the operator asks for workers for, as it does: after a promotion."""
    bench.run(scheduling.promote(bench.queue))
    depth = bench.run(inspecting.depth(bench.queue))
    return depth.queued - depth.held


def test_everything_that_a_pause_writes(bench: Bench) -> None:
    note = acting.new_note("ada", "pause_job", "job")
    assert pause(bench, note=note) is JobPaused.OK
    assert set(bench.snapshot()[bench.keys.paused_jobs].value) == {"job"}
    (entry,) = bench.run(acting.audit(bench.queue, 10))
    assert (entry.who, entry.act, entry.what) == ("ada", "pause_job", "job")
    assert (entry.matched, entry.changed) == (1, 1)
    assert abs(entry.at_ms - bench.now_ms()) < 60_000
    again = acting.pause_job(bench.queue, "job", stop=True, note=note)
    assert bench.refuses(again) is JobPaused.AS_BEFORE
    assert resume(bench) is JobPaused.OK
    assert bench.keys.paused_jobs not in bench.snapshot()
    back = acting.pause_job(bench.queue, "job", stop=False)
    assert bench.refuses(back) is JobPaused.AS_BEFORE


def test_the_tasks_of_a_paused_job_are_held_and_others_pass_them(bench: Bench) -> None:
    bench.register("w")
    enqueue(bench, "paused", "a", "b")
    enqueue(bench, "free", "x", "y")
    pause(bench, "paused")
    assert startable(bench) == 2, "no worker has looked at them yet"
    assert claimed(bench) == ["x", "y"]
    assert bench.held("paused") == ["a", "b"]
    assert bench.dump()["blocked"] == {"paused": INF}
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held, depth.oldest_wait_ms) == (2, 2, None)
    assert depth.next_held_in_ms is None
    (row,) = bench.run(inspecting.limits(bench.queue))
    assert (row.job, row.paused, row.held, row.next_start_in_ms) == ("paused", True, 2, None)
    assert not row.limits

    resume(bench, "paused")
    assert bench.token()
    enqueue(bench, "free", "z")
    assert startable(bench) == 3
    assert claimed(bench) == ["a", "b", "z"], "those that were held come first"
    assert bench.run(inspecting.limits(bench.queue)) == []


def test_a_paused_job_without_tasks_is_listed(bench: Bench) -> None:
    pause(bench, "later")
    (row,) = bench.run(inspecting.limits(bench.queue))
    assert (row.job, row.paused, row.held, row.running) == ("later", True, 0, 0)


def test_running_tasks_go_on_and_come_back_to_the_held_ones(bench: Bench) -> None:
    a, b = bench.running("w", "a", "b")
    bench.enqueue("c")
    pause(bench)
    assert claimed(bench) == []
    assert bench.run(reporting.finish(bench.queue, "w", [(a.task_id, 1, b"\xc0")])) == [Ack.OK]
    assert bench.run(reporting.release(bench.queue, "w", [(b.task_id, 1)])) == [Ack.OK]
    assert bench.held("job") == ["b", "c"]
    assert claimed(bench) == []
    assert startable(bench) == 0
    resume(bench)
    assert claimed(bench) == ["b", "c"]


def test_a_slot_that_is_given_back_starts_no_task_of_a_paused_job(bench: Bench) -> None:
    bench.register("w", one=ONE)
    enqueue(bench, "one", "a", "b")
    assert claimed(bench) == ["a"]
    pause(bench, "one")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    assert startable(bench) == 0
    assert bench.run(inspecting.depth(bench.queue)).next_held_in_ms is None, "until it is resumed"
    assert bench.dump()["blocked"] == {"one": INF}
    assert claimed(bench) == []
    resume(bench, "one")
    assert claimed(bench) == ["b"]


def test_a_pause_and_a_rate_limit(bench: Bench) -> None:
    bench.register("w", paced=JobLimits(rate_limit=RateLimit(1, 3600)))
    enqueue(bench, "paced", "a", "b")
    assert claimed(bench) == ["a"]
    assert bench.dump()["blocked"] == {"paced": TIME}
    pause(bench, "paced")
    assert bench.dump()["blocked"] == {"paced": INF}
    bench.pass_time("paced")
    assert claimed(bench) == []
    resume(bench, "paced")
    assert claimed(bench) == ["b"]


def test_new_limits_start_no_task_of_a_paused_job(bench: Bench) -> None:
    bench.register("w", job=ONE)
    bench.enqueue("a", "b")
    pause(bench)
    assert claimed(bench) == []
    bench.register("v", job=JobLimits(max_running=2))
    assert startable(bench) == 0
    assert claimed(bench, "v") == []


def test_suspects_and_shelves_of_a_paused_job_ask_for_no_worker(bench: Bench) -> None:
    bench.running("lost", "a")
    bench.recover("lost", limit=2)
    assert bench.names(bench.snapshot()[bench.keys.suspects].value) == ["a"]
    (attempt,) = bench.running("w", "b")
    why = Failure("UnknownJob", "no such job")
    said = reporting.decline(bench.queue, "w", attempt.task_id, 1, "old", why)
    assert bench.run(said) is Ack.OK
    bench.run(scheduling.promote(bench.queue, serves=["old:job"]))
    assert startable(bench) == 2
    pause(bench)
    assert startable(bench) == 0
    call = claiming.claim(bench.queue, "w", 9, idle=True, shelves=["old:job"])
    assert bench.run(call).attempts == ()
    resume(bench)
    (suspect,) = bench.run(call).attempts
    assert bench.names([suspect.task_id]) == ["a"]


def test_a_held_task_of_a_paused_job_can_be_cancelled_and_expires(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a", "b")
    bench.enqueue("late", expires=LATER_MS)
    pause(bench)
    assert claimed(bench) == []
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    bench.expire("late")
    bench.run(scheduling.promote(bench.queue))
    assert bench.field("late", "state") == "cancelled"
    resume(bench)
    assert claimed(bench) == ["b"]


def test_a_resume_calls_for_workers(bench: Bench) -> None:
    bench.enqueue("a")
    pause(bench)
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.keys.doorbell)
        bench.take_token()
        resume(bench)
        while listener.get_message(timeout=30) is None:
            pass
    assert bench.token()


@pytest.mark.slow
def test_a_bounded_number_of_jobs_is_paused(bench: Bench) -> None:
    jobs = [f"job-{i}" for i in range(acting.MOST_PAUSED_JOBS)]
    bench.redis.run_all([acting.pause_job(bench.queue, job, stop=True) for job in jobs])
    one_more = acting.pause_job(bench.queue, "one-more", stop=True)
    assert bench.refuses(one_more) is JobPaused.TOO_MANY
    bench.redis.run(leasing.register(bench.queue, "w", LEASE_MS, {}))
    assert resume(bench, "job-7") is JobPaused.OK
    assert pause(bench, "one-more") is JobPaused.OK
