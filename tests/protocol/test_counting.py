"""The numbers of minutes and hours: who adds to them, when, and what they cost."""

from __future__ import annotations

import pytest

from identtqueue.protocol import counting
from identtqueue.protocol.answers import Ack
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import enqueueing, inspecting, leasing, reporting, scheduling
from identtqueue.protocol.counting import BUCKETS, OTHER, Counts, Histogram, Number
from protocol.bench import Bench

MINUTE_MS, HOUR_MS = counting.MINUTE_MS, counting.HOUR_MS


def worked(bucket: int = 0, **numbers: int) -> bytes:
    """Encode what a worker has counted: attempts that have all ended after 1 s."""
    listed = [0] * (len(Number) + 2 * BUCKETS)
    for name, number in numbers.items():
        if name != "errors":
            listed[Number[name.upper()]] = number
    runs = sum(numbers.get(name, 0) for name in ("succeeded", "failed"))
    listed[Number.RAN_US] = runs * 1_000_000
    listed[len(Number) + bucket] = listed[len(Number) + BUCKETS + 9] = runs
    return counting.pack(listed, {})


def minute(bench: Bench, ago: int = 0) -> dict[str, Counts]:
    return bench.run(inspecting.numbers_of_minute(bench.queue, bench.now_ms() // MINUTE_MS - ago))


def today(bench: Bench) -> dict[str, Counts]:
    """Add up this hour and the last one, as a test may run when one ends."""
    now = bench.now_ms() // HOUR_MS
    found: dict[str, Counts] = {}
    for hour in (now - 1, now):
        for job, counts in bench.run(inspecting.numbers_of_hour(bench.queue, hour)).items():
            found[job] = found.get(job, Counts()) + counts
    return found


def lately(bench: Bench) -> dict[str, Counts]:
    """Add up this minute and the last one, as a test may run when one ends."""
    found = minute(bench, 1)
    for job, counts in minute(bench).items():
        found[job] = found.get(job, Counts()) + counts
    return found


def test_an_enqueue_counts_by_job(bench: Bench) -> None:
    bench.enqueue("a", "b")
    bench.enqueue("c", delay=HOUR_MS)
    bench.run(enqueueing.enqueue(bench.queue, [bench.task("d", "other"), bench.task("e")]))
    assert lately(bench) == {"job": Counts(enqueued=4), "other": Counts(enqueued=1)}


def test_a_task_that_is_not_accepted_is_not_counted(bench: Bench) -> None:
    bench.enqueue("a")
    bench.run(enqueueing.enqueue(bench.queue, [bench.task("a"), bench.task("b")]))
    assert lately(bench)["job"].enqueued == 2


def test_the_firings_of_a_schedule_count_once(bench: Bench) -> None:
    firings = {bench.id("c1"): bench.now_ms() + HOUR_MS, bench.id("c2"): bench.now_ms() + 9_000}
    for _ in range(2):
        call = scheduling.schedule(bench.queue, "tick", "v1", bench.task("c"), firings)
        bench.run(call)
    assert lately(bench)["job"].enqueued == 2


def test_recovered_tasks_count_in_minute_and_hour(bench: Bench) -> None:
    bench.running("w", "a", "b")
    bench.recover("w")
    assert lately(bench)["job"].recovered == 2
    assert today(bench)["job"].recovered == 2


def test_a_task_that_killed_its_workers_counts_as_failed(bench: Bench) -> None:
    bench.running("w", "a")
    bench.recover("w")
    for worker in ("x", "y"):
        bench.register(worker)
        assert bench.claim(worker, idle=True)
        bench.recover(worker, limit=2)
    assert today(bench)["job"].failed == 1


def test_a_report_adds_to_minute_and_hour(bench: Bench) -> None:
    bench.register("w")
    bench.run(reporting.count(bench.queue, "w", 1, {"job": worked(started=3, succeeded=2)}))
    bench.run(reporting.count(bench.queue, "w", 2, {"job": worked(started=1, failed=1)}))
    for found in (lately(bench)["job"], today(bench)["job"]):
        assert (found.started, found.succeeded, found.failed, found.ended) == (4, 2, 1, 3)
        assert found.ran.mean == 1
        assert found.ran.sum_seconds == 3


def test_errors_are_added_by_type_and_bounded(bench: Bench) -> None:
    bench.register("w")
    numbers = [0] * (len(Number) + 2 * BUCKETS)
    for report in (1, 2):
        kinds = {f"Error{i}": 1 for i in range(15 * (report - 1), 15 * report)}
        packed = counting.pack(numbers, {"ValueError": 2, **kinds})
        bench.run(reporting.count(bench.queue, "w", report, {"job": packed}))
    errors = lately(bench)["job"].errors
    assert errors["ValueError"] == 4
    assert sum(errors.values()) == 34
    assert len(errors) == 21
    assert errors[OTHER] == 11


def test_a_report_counts_once(bench: Bench) -> None:
    bench.register("w")
    call = reporting.count(bench.queue, "w", 1, {"job": worked(started=1)})
    assert bench.run(call) is Ack.OK
    assert bench.refuses(call) is Ack.DONE
    assert lately(bench)["job"].started == 1


@pytest.mark.parametrize("ended", ["leaves", "is lost", "never was"])
def test_only_a_registered_worker_reports(bench: Bench, ended: str) -> None:
    """Its numbers are reported by its next incarnation. And nothing is left of it."""
    if ended != "never was":
        bench.register("w")
        bench.run(reporting.count(bench.queue, "w", 1, {"job": worked(started=1)}))
        bench.run(leasing.leave(bench.queue, "w")) if ended == "leaves" else bench.recover("w")
    assert not bench.raw.exists(bench.keys.counted)
    call = reporting.count(bench.queue, "w", 2, {"job": worked(started=1)})
    assert bench.refuses(call) is Ack.LOST


def test_enqueued_tasks_of_past_minutes_reach_their_hour_once(bench: Bench) -> None:
    bench.register("w")
    now = bench.now_ms() // MINUTE_MS
    bench.run(reporting.count(bench.queue, "w", 1, {}))  # far back: 60 minutes a call
    bench.raw.hset(bench.keys.meta, "rolled", now - 3)
    for ago in (2, 1):
        key = f"{bench.keys.minute_prefix}{now - ago}"
        bench.raw.hset(key, mapping={"e:job": 5, "jobs": 1})
        bench.raw.pexpire(key, HOUR_MS)
    bench.enqueue("a")
    for report in (2, 3):
        bench.run(reporting.count(bench.queue, "w", report, {}))
    assert today(bench)["job"].enqueued in (10, 11), "and 11 if this minute has ended"
    assert bench.run(inspecting.rolled(bench.queue)) >= now - 1


def test_a_day_without_workers_is_added_in_bounded_steps(bench: Bench) -> None:
    bench.register("w")
    now = bench.now_ms() // MINUTE_MS
    for report in range(1, 40):
        bench.run(reporting.count(bench.queue, "w", report, {}))
        if bench.run(inspecting.rolled(bench.queue)) >= now - 1:
            break
    assert 24 <= report <= 26


@pytest.mark.slow
def test_jobs_are_told_apart_up_to_a_bound(bench: Bench) -> None:
    """Clients may enqueue jobs of any name."""
    tasks = [NewTask(bench.id(f"t{i}"), b"", f"job{i}") for i in range(2_300)]
    for first in range(0, len(tasks), 100):
        bench.redis.run(enqueueing.enqueue(bench.queue, tasks[first : first + 100]))
    found = lately(bench)
    assert sum(counts.enqueued for counts in found.values()) == 2_300
    assert len(found) <= 4_002
    assert len(minute(bench)) <= 2_001
    assert bench.raw.zcard(bench.keys.enqueued) == 1_000
    bench.register("w")
    bench.run(reporting.count(bench.queue, "w", 1, {"new": worked(started=1)}))
    if OTHER in minute(bench):  # else a minute has ended in between
        assert minute(bench)[OTHER].started == 1


def test_minutes_and_hours_expire(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a")
    bench.run(reporting.count(bench.queue, "w", 1, {"job": worked(started=1)}))
    for prefix, kept_ms in ((bench.keys.minute_prefix, 86_400_000), (bench.keys.hour_prefix, 0)):
        keys = bench.raw.keys(prefix.replace("{", "[{]") + "*")
        assert keys
        assert all(bench.raw.pttl(key) > kept_ms for key in keys)


# --- histograms ---


def test_a_quantile_lies_in_the_right_bucket() -> None:
    counts = [0] * BUCKETS
    counts[9] = 90  # 0.5 to 1 s
    counts[12] = 10  # 5 to 10 s
    histogram = Histogram(tuple(counts), 100.0)
    assert histogram.quantile(0.5) == pytest.approx(0.5 + 0.5 * 50 / 90)
    assert histogram.quantile(0.9) == 1
    assert histogram.quantile(0.95) == pytest.approx(7.5)
    assert histogram.quantile(1) == 10
    assert histogram.mean == 1


def test_quantiles_at_the_ends() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean is None
    last = Histogram((*[0] * (BUCKETS - 1), 3), 99_999.0)
    assert last.quantile(0.5) == 3600, "the last bound: more is not known"
    assert Histogram((4, *[0] * (BUCKETS - 1)), 0.0).quantile(0) == 0
    with pytest.raises(ValueError, match=r"share=1\.5"):
        Histogram().quantile(1.5)


def test_counts_add_up() -> None:
    one = Counts(started=1, errors={"A": 1}, ran=Histogram((1, *[0] * (BUCKETS - 1)), 0.5))
    two = Counts(started=2, errors={"A": 1, "B": 3})
    assert (one + two).started == 3
    assert (one + two).errors == {"A": 2, "B": 3}
    assert (one + two).ran == one.ran
