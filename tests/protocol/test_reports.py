"""Reports of attempts: finish, retry, bury, abort and release, and the fence around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import inspecting, one_task, reporting, scheduling
from identtqueue.task import Attempt, Failure, Result, State
from protocol.bench import FAILURE, MS, TIME, Bench

LATER_MS = 3_600_000
DAY_MS = 86_400_000

Report = Callable[[Bench, str, str, int], Call[Any]]

REPORTS: dict[str, Report] = {
    "finish": lambda bench, worker, task_id, attempt: reporting.finish(
        bench.queue, worker, [(task_id, attempt, codec.encode_value("result"))]
    ),
    "retry": lambda bench, worker, task_id, attempt: reporting.retry(
        bench.queue, worker, task_id, attempt, LATER_MS, FAILURE
    ),
    "bury": lambda bench, worker, task_id, attempt: reporting.bury(
        bench.queue, worker, task_id, attempt, FAILURE
    ),
    "abort": lambda bench, worker, task_id, attempt: reporting.abort(
        bench.queue, worker, task_id, attempt
    ),
    "release": lambda bench, worker, task_id, attempt: reporting.release(
        bench.queue, worker, [(task_id, attempt)]
    ),
}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


def ack_of(answer: Ack | list[Ack]) -> Ack:
    return answer[0] if isinstance(answer, list) else answer


# --- the whole dump, per script ---

STARTED = {
    "payload": "a",
    "function": "job",
    "enqueued_at": TIME,
    "started_at": TIME,
    "owner": "w",
    "attempt": 1,
}
ENDED = STARTED | {"finished_at": TIME}
WORKER = {"workers": {"w": TIME}, "info": {"w": {"host": "w"}}, "meta": {"protocol": "2"}}
CLAIMED = {"enqueued": 1, "claimed": 1, "wait_ms": MS}


def report_on_a(bench: Bench, report: Report) -> dict[str, Any]:
    (attempt,) = bench.running("w", "a")
    assert ack_of(bench.run(report(bench, "w", attempt.task_id, 1))) is Ack.OK
    return bench.dump()


def test_everything_that_finish_writes(bench: Bench) -> None:
    assert report_on_a(bench, REPORTS["finish"]) == WORKER | {
        "stats": CLAIMED | {"succeeded": 1, "run_ms": MS},
        "ended": ["a"],
        "task:a (expires)": ENDED | {"state": "succeeded", "result": "result"},
    }


def test_everything_that_retry_writes(bench: Bench) -> None:
    assert report_on_a(bench, REPORTS["retry"]) == WORKER | {
        "scheduled": {"a": TIME},
        "wake": ["1"],
        "stats": CLAIMED | {"retried": 1, "run_ms": MS},
        "task:a": STARTED
        | {"state": "scheduled", "failures": 1, "error": "ValueError"}
        | {"retried": "1", "history": ["failed"]},
    }


def test_everything_that_bury_writes(bench: Bench) -> None:
    assert report_on_a(bench, REPORTS["bury"]) == WORKER | {
        "dead": {"a": TIME},
        "stats": CLAIMED | {"failed": 1, "run_ms": MS},
        "task:a (expires)": STARTED
        | {"state": "failed", "failures": 1, "error": "ValueError", "finished_at": TIME}
        | {"history": ["failed"]},
        "ended": ["a"],
    }


@pytest.mark.parametrize("name", ["finish", "retry", "bury"])
def test_counters_never_fall_when_the_clock_of_redis_steps_back(bench: Bench, name: str) -> None:
    later = bench.now_ms() + DAY_MS
    bench.register("w")
    bench.enqueue("a")
    key = bench.unpack(bench.id("a"))
    bench.raw.hset(key, mapping={"enqueued_at": later, "pending_since": later})
    (attempt,) = bench.claim("w")
    assert attempt.waited_ms == 0
    bench.raw.hset(key, "started_at", later)
    assert ack_of(bench.run(REPORTS[name](bench, "w", attempt.task_id, 1))) is Ack.OK
    counters = bench.run(inspecting.depth(bench.queue)).counters
    assert (counters["wait_ms"], counters["run_ms"]) == (0, 0)


def test_everything_that_abort_writes(bench: Bench) -> None:
    assert report_on_a(bench, REPORTS["abort"]) == WORKER | {
        "stats": CLAIMED | {"cancelled": 1},
        "ended": ["a"],
        "task:a (expires)": ENDED | {"state": "cancelled", "error": "Cancelled"},
    }


def test_everything_that_release_writes(bench: Bench) -> None:
    assert report_on_a(bench, REPORTS["release"]) == WORKER | {
        "pending": ["a"],
        "wake": ["1"],
        "stats": CLAIMED | {"released": 1},
        "task:a": STARTED | {"state": "pending", "pending_since": TIME, "history": ["released"]},
    }


# --- once each, and fenced ---


@every_report
def test_a_repeat_is_recognised_and_writes_nothing(bench: Bench, report: Report) -> None:
    (attempt,) = bench.running("w", "a")
    call = report(bench, "w", attempt.task_id, attempt.number)
    assert ack_of(bench.run(call)) is Ack.OK
    assert ack_of(bench.refuses(call)) is Ack.DONE


@every_report
def test_a_foreign_worker_is_refused(bench: Bench, report: Report) -> None:
    (attempt,) = bench.running("w", "a")
    bench.register("thief")
    call = report(bench, "thief", attempt.task_id, attempt.number)
    assert ack_of(bench.refuses(call)) is Ack.LOST


@every_report
@pytest.mark.parametrize("offset", [-1, 1])
def test_another_attempt_number_is_refused(bench: Bench, report: Report, offset: int) -> None:
    (attempt,) = bench.running("w", "a")
    call = report(bench, "w", attempt.task_id, attempt.number + offset)
    assert ack_of(bench.refuses(call)) is Ack.LOST


@every_report
def test_an_unknown_task_is_missing(bench: Bench, report: Report) -> None:
    bench.register("w")
    assert ack_of(bench.refuses(report(bench, "w", bench.id("a"), 1))) is Ack.MISSING


@every_report
@pytest.mark.parametrize("stage", ["pending again", "running elsewhere", "ended elsewhere"])
def test_a_report_after_the_recovery_is_refused_however_late(
    bench: Bench, report: Report, stage: str
) -> None:
    """The attempt's worker was recovered as lost, then wakes and reports."""
    (ghost,) = bench.running("ghost", "a")
    bench.recover("ghost")
    if stage != "pending again":
        bench.register("w")
        (attempt,) = bench.claim("w")
        assert attempt.number == ghost.number + 1
        if stage == "ended elsewhere":
            done = [(attempt.task_id, attempt.number, codec.encode_value("theirs"))]
            bench.run(reporting.finish(bench.queue, "w", done))

    answer = ack_of(bench.refuses(report(bench, "ghost", ghost.task_id, ghost.number)))

    assert answer is Ack.LOST


@every_report
@pytest.mark.parametrize("first", ["finish", "retry", "bury", "abort"])
def test_only_the_first_report_counts(bench: Bench, first: str, report: Report) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(REPORTS[first](bench, "w", attempt.task_id, attempt.number))
    if report is not REPORTS[first]:
        call = report(bench, "w", attempt.task_id, attempt.number)
        assert ack_of(bench.refuses(call)) is Ack.LOST


@every_report
def test_the_same_worker_with_an_older_attempt_is_refused(bench: Bench, report: Report) -> None:
    """The worker has released the task and claimed it again."""
    (old,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(old.task_id, old.number)]))
    bench.claim("w")
    call = report(bench, "w", old.task_id, old.number)
    assert ack_of(bench.refuses(call)) is Ack.LOST


# --- batches ---


def test_a_batch_of_results_is_answered_one_by_one(bench: Bench) -> None:
    attempts = bench.running("w", "a", "b", "c")
    bench.run(reporting.release(bench.queue, "w", [(attempts[1].task_id, 1)]))
    batch = [(a.task_id, a.number, codec.encode_value(a.task_id)) for a in attempts]
    batch.append((bench.id("never"), 1, b"\xc0"))
    batch.append(batch[0])

    acks = bench.run(reporting.finish(bench.queue, "w", batch))

    assert acks == [Ack.OK, Ack.LOST, Ack.OK, Ack.MISSING, Ack.DONE]
    assert bench.dump()["stats"]["succeeded"] == 2
    assert bench.pending() == ["b"]


def test_an_earlier_attempt_is_lost_beside_the_recorded_one(bench: Bench) -> None:
    (first,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(first.task_id, first.number)]))
    (again,) = bench.claim("w")
    batch = [(a.task_id, a.number, b"\xc0") for a in (again, again, first)]

    acks = bench.run(reporting.finish(bench.queue, "w", batch))

    assert acks == [Ack.OK, Ack.DONE, Ack.LOST]


def test_released_tasks_keep_their_order_at_the_head(bench: Bench) -> None:
    attempts = bench.running("w", "a", "b", "c")
    bench.enqueue("d")
    pairs = [(a.task_id, a.number) for a in attempts]
    pairs.insert(1, (bench.id("never"), 1))

    acks = bench.run(reporting.release(bench.queue, "w", pairs))

    assert acks == [Ack.OK, Ack.MISSING, Ack.OK, Ack.OK]
    assert bench.pending() == ["a", "b", "c", "d"]


def test_a_release_charges_nothing(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    (again,) = bench.claim("w")
    assert (again.number, again.failures, again.losses) == (2, 0, 0)


# --- ends ---


def end(bench: Bench, attempt: Attempt, how: str) -> None:
    bench.run(REPORTS[how](bench, "w", attempt.task_id, attempt.number))


@pytest.mark.parametrize(
    ("how", "state"),
    [("finish", State.SUCCEEDED), ("bury", State.FAILED), ("abort", State.CANCELLED)],
)
def test_the_end_can_be_read(bench: Bench, how: str, state: State) -> None:
    (attempt,) = bench.running("w", "a")
    end(bench, attempt, how)
    result = bench.refuses(one_task.await_result(attempt.task_id))
    failures = {
        State.FAILED: Failure("ValueError", "no", "trace"),
        State.CANCELLED: Failure("Cancelled", "cancelled on request"),
    }
    value = "result" if state is State.SUCCEEDED else None
    assert result == Result(attempt.task_id, state, value, failures.get(state))
    info = bench.refuses(one_task.task_info(attempt.task_id))
    assert info is not None
    assert (info.state, info.attempt, info.owner) == (state, 1, "w")
    assert info.started_at_ms is not None
    assert info.finished_at_ms is not None
    assert info.enqueued_at_ms <= info.started_at_ms <= info.finished_at_ms


@pytest.mark.parametrize("how", ["finish", "abort"])
@pytest.mark.parametrize(("options", "ttl_ms"), [({}, 3_600_000), ({"ttl": 7_000_000}, 7_000_000)])
def test_a_result_is_kept_for_its_ttl(
    bench: Bench, how: str, options: dict[str, int], ttl_ms: int
) -> None:
    (attempt,) = bench.running("w", "a", **options)
    end(bench, attempt, how)
    assert ttl_ms - 300_000 < bench.raw.pttl(bench.unpack(attempt.task_id)) <= ttl_ms


def test_a_dead_letter_is_kept_for_a_week(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a", ttl=1_000)
    end(bench, attempt, "bury")
    assert 6 * DAY_MS < bench.raw.pttl(bench.unpack(attempt.task_id)) <= 7 * DAY_MS


def test_dead_letters_that_have_expired_are_forgotten(bench: Bench) -> None:
    """Upkeep and the operator promote every few seconds, so expired ones do not count."""
    old, new = bench.running("w", "old", "new")
    end(bench, old, "bury")
    end(bench, new, "bury")
    bench.raw.delete(bench.unpack(old.task_id))  # the week is over
    bench.raw.zadd(bench.keys.dead, {old.task_id: bench.now_ms() - 7 * DAY_MS})
    bench.run(scheduling.promote(bench.queue))
    assert bench.dump()["dead"] == {"new": TIME}


@pytest.mark.parametrize("how", ["finish", "bury", "abort"])
def test_the_end_frees_the_unique_key(bench: Bench, how: str) -> None:
    (attempt,) = bench.running("w", "a", unique="key", unique_ttl=LATER_MS)
    assert bench.dump()["unique:key (expires)"] == "a"
    end(bench, attempt, how)
    assert "unique:key (expires)" not in bench.dump()


@pytest.mark.parametrize("how", ["retry", "release"])
def test_a_task_that_goes_on_keeps_its_unique_key(bench: Bench, how: str) -> None:
    (attempt,) = bench.running("w", "a", unique="key", unique_ttl=LATER_MS)
    end(bench, attempt, how)
    assert bench.dump()["unique:key (expires)"] == "a"


def test_a_retry_runs_again_when_it_is_due_and_counts_the_failure(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    before = bench.now_ms()
    end(bench, attempt, "retry")
    due = bench.raw.zscore(bench.keys.scheduled, attempt.task_id)
    assert before + LATER_MS <= due <= bench.now_ms() + LATER_MS
    assert bench.claim("w") == []
    bench.fall_due("a")
    (again,) = bench.claim("w")
    assert (again.number, again.failures, again.losses) == (2, 1, 0)
    assert again.payload == attempt.payload


def test_a_retry_that_is_reported_again_is_recognised_however_late(bench: Bench) -> None:
    """Since the first report, its task may have been promoted and started again."""
    (attempt,) = bench.running("w", "a")
    call = REPORTS["retry"](bench, "w", attempt.task_id, 1)
    assert bench.run(call) is Ack.OK
    bench.fall_due("a")
    bench.run(scheduling.promote(bench.queue))
    assert bench.refuses(call) is Ack.DONE
    bench.claim("w")
    assert bench.refuses(call) is Ack.DONE
    bench.run(reporting.finish(bench.queue, "w", [(attempt.task_id, 2, b"\xc0")]))
    assert bench.refuses(call) is Ack.DONE


def test_a_retry_that_was_not_reported_before_is_not(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    assert bench.refuses(REPORTS["retry"](bench, "w", attempt.task_id, 1)) is Ack.LOST


def test_a_retry_without_delay_runs_again_at_once(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 1, 0, FAILURE))
    assert [again.number for again in bench.claim("w")] == [2]


def test_many_releases_keep_the_order(bench: Bench) -> None:
    names = [f"t{i:03}" for i in range(2 * reporting.MOST_RELEASED + 5)]
    attempts = [(attempt.task_id, 1) for attempt in bench.running("w", *names)]
    parts = list(reporting.in_releases(attempts))
    assert [len(part) for part in parts] == [64, 64, 5]
    for part in parts:
        assert bench.run(reporting.release(bench.queue, "w", part)) == [Ack.OK] * len(part)
    assert bench.pending() == names
