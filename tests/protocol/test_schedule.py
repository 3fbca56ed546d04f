"""schedule: the firings of a cron entry, planned once, replaced by a new definition, and missed."""

from __future__ import annotations

from typing import Any

from identtqueue.protocol import replies
from identtqueue.protocol.answers import Ack, Cancelled, CronInfo, CronPaused, Enqueued, Planned
from identtqueue.protocol.calls import acting, inspecting, one_task, reporting, scheduling
from identtqueue.task import Result, State
from protocol.bench import FAILURE, Bench

LATER_MS = 3_600_000


def plan(
    bench: Bench, definition: str, *names: str, entry: str = "tick", **options: Any
) -> Planned:
    fires = {bench.id(name): bench.now_ms() + LATER_MS for name in names}
    task = bench.task(definition, **options)
    return bench.run(scheduling.schedule(bench.queue, entry, definition, task, fires))


def scheduled(bench: Bench) -> set[str]:
    ids = bench.raw.zrange(bench.keys.scheduled, 0, -1)
    return set(bench.names(item.decode() for item in ids))


def state(bench: Bench, name: str) -> str | None:
    return bench.field(name, "state")


def due(bench: Bench, *names: str, late_ms: int = LATER_MS) -> None:
    """Let firings fall due one after the other, the last one this long ago."""
    for number, name in enumerate(names):
        score = bench.now_ms() - late_ms - 1000 * (len(names) - number)
        assert bench.raw.zadd(bench.keys.scheduled, {bench.id(name): score}, xx=True, ch=True)


def test_a_firing_is_planned_once(bench: Bench) -> None:
    assert plan(bench, "v1", "a", "b") is Planned.OK
    assert plan(bench, "v1", "b", "c") is Planned.OK
    assert scheduled(bench) == {"a", "b", "c"}
    assert bench.run(inspecting.depth(bench.queue)).counters["enqueued"] == 3


def test_a_new_definition_replaces_what_is_planned(bench: Bench) -> None:
    """It replaces times and arguments, and only those of its own entry."""
    plan(bench, "v1", "a", "b")
    plan(bench, "v1", "other", entry="other")
    plan(bench, "v2", "b", "c")
    assert scheduled(bench) == {"b", "c", "other"}
    bench.register("w")
    due(bench, "b")
    (attempt,) = bench.claim("w")
    assert b"v2" in attempt.payload


def test_an_old_definition_does_not_come_back_while_the_new_one_is_kept(bench: Bench) -> None:
    """Old and new workers run side by side during a rollout, and old ones may restart."""
    plan(bench, "v1", "a")
    plan(bench, "v2", "b")
    old = scheduling.schedule(bench.queue, "tick", "v1", bench.task("v1"), {bench.id("a"): 2**50})
    assert bench.refuses(old) is Planned.REPLACED
    assert scheduled(bench) == {"b"}


def test_an_old_definition_comes_back_when_the_new_one_has_gone(bench: Bench) -> None:
    """A rollback."""
    plan(bench, "v1", "a")
    plan(bench, "v2", "b")
    forget(bench)
    assert plan(bench, "v1", "a") is Planned.OK
    assert scheduled(bench) == {"a"}
    assert plan(bench, "v2", "b") is Planned.OK, "and is new again"


def forget(bench: Bench) -> None:
    """Pretend that no worker has renewed the schedule for `SCHEDULE_KEPT_MS`."""
    script = (
        "local e = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'tick')) e.seen = 1 "
        "redis.call('HSET', KEYS[1], 'tick', cmsgpack.pack(e))"
    )
    bench.raw.eval(script, 1, bench.keys.cron)


def test_a_cancelled_firing_stays_cancelled(bench: Bench) -> None:
    """It stays cancelled after its hash has expired, and under another definition."""
    plan(bench, "v1", "a")
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    plan(bench, "v1", "a")
    assert state(bench, "a") == "cancelled"
    bench.raw.delete(bench.unpack(bench.id("a")))
    plan(bench, "v1", "a")
    plan(bench, "v2", "a")
    assert scheduled(bench) == set()


def test_who_waits_for_a_replaced_firing_is_told(bench: Bench) -> None:
    plan(bench, "v1", "a")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.queue)
        bench.run(one_task.await_result(bench.id("a"), bench.queue))
        plan(bench, "v2", "b")
        message = None
        while message is None:
            message = listener.get_message(timeout=5)
    task_id, result = replies.parse_reply(message["data"])
    assert task_id == bench.id("a")
    assert result is not None
    assert result.state is State.CANCELLED


def test_firings_that_were_missed_run_once(bench: Bench) -> None:
    plan(bench, "v1", "a", "b", "c")
    plan(bench, "v1", "other", entry="other")
    due(bench, "other", "a", "b", "c")
    bench.register("w")
    ran = bench.names(attempt.task_id for attempt in bench.claim("w"))
    assert ran == ["other", "c"]
    result = bench.run(one_task.await_result(bench.id("a")))
    assert isinstance(result, Result)
    assert result.failure is not None
    assert result.failure.type == "Missed"


def test_firings_that_are_hardly_late_all_run(bench: Bench) -> None:
    """All workers may be busy for the time between two rounds of upkeep."""
    plan(bench, "v1", "a", "b")
    due(bench, "a", "b", late_ms=0)
    assert bench.run(scheduling.promote(bench.queue)).moved == 2
    assert bench.pending() == ["a", "b"]


def test_a_retry_is_no_firing(bench: Bench) -> None:
    plan(bench, "v1", "a", "b")
    due(bench, "a")
    bench.register("w")
    (attempt,) = bench.claim("w")
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 1, 0, FAILURE))
    due(bench, "a", "b")
    assert bench.names(attempt.task_id for attempt in bench.claim("w")) == ["a", "b"]


def test_a_unique_key_is_taken_when_it_fires(bench: Bench) -> None:
    """Not when it is planned: then firings ahead would keep it from each other."""
    plan(bench, "v1", "a", "b", "c", unique="key", unique_ttl=LATER_MS)
    bench.register("w")
    due(bench, "a")
    (attempt,) = bench.claim("w")
    due(bench, "b")
    assert bench.claim("w") == []
    assert state(bench, "b") == "cancelled"
    assert bench.run(
        reporting.finish(bench.queue, "w", [(attempt.task_id, attempt.number, b"\xc0")])
    ) == [Ack.OK]
    due(bench, "c")
    assert bench.names(attempt.task_id for attempt in bench.claim("w")) == ["c"]


def test_expiry_counts_from_the_firing(bench: Bench) -> None:
    plan(bench, "v1", "a", expires=1000, ttl=5000)
    fires = int(bench.raw.zscore(bench.keys.scheduled, bench.id("a")) or 0)
    assert bench.field("a", "expires_at") == str(fires + 1000)
    assert bench.field("a", "ttl") == "5000"


def test_a_missed_firing_runs_only_until_it_expires(bench: Bench) -> None:
    fires = bench.now_ms() + 250
    for name, expires in (("useful", 60_000), ("too-late", 1)):
        task = bench.task(name, expires=expires)
        bench.run(scheduling.schedule(bench.queue, name, "v1", task, {bench.id(name): fires}))
    while bench.now_ms() <= fires + 1:
        pass
    bench.register("w")
    ran = bench.names(attempt.task_id for attempt in bench.claim("w"))
    assert ran == ["useful"]
    assert state(bench, "too-late") == "cancelled"


def test_a_time_that_has_passed_is_not_planned(bench: Bench) -> None:
    past = scheduling.schedule(bench.queue, "tick", "v1", bench.task("v1"), {bench.id("a"): 1})
    assert bench.run(past) is Planned.OK
    assert scheduled(bench) == set()


# --- pause, resume, run now, list ---


def pause(bench: Bench, note: bytes = b"") -> CronPaused:
    return bench.run(scheduling.pause_cron(bench.queue, "tick", stop=True, note=note))


def resume(bench: Bench) -> CronPaused:
    return bench.run(scheduling.pause_cron(bench.queue, "tick", stop=False))


def entry(bench: Bench) -> CronInfo:
    (found,) = bench.run(scheduling.schedules(bench.queue))
    return found


def test_a_pause_withdraws_what_is_planned_and_lets_nothing_be_planned(bench: Bench) -> None:
    plan(bench, "v1", "a", "b")
    plan(bench, "v1", "other", entry="other")
    assert pause(bench, acting.new_note("ada", "pause_cron", "tick")) is CronPaused.OK
    assert scheduled(bench) == {"other"}
    assert bench.field("a", "state") is None
    assert plan(bench, "v1", "b", "c") is Planned.SUSPENDED
    assert scheduled(bench) == {"other"}
    again = scheduling.pause_cron(bench.queue, "tick", stop=True)
    assert bench.refuses(again) is CronPaused.AS_BEFORE
    (audited,) = bench.run(acting.audit(bench.queue, 10))
    assert (audited.who, audited.act, audited.what) == ("ada", "pause_cron", "tick")


def test_a_resume_plans_at_once_what_the_workers_would_have_planned(bench: Bench) -> None:
    """The next firing may be due before a worker asks again."""
    plan(bench, "v1", "a", ttl=5000, expires=1000)
    pause(bench)
    plan(bench, "v1", "a", "b", ttl=5000, expires=1000)
    assert resume(bench) is CronPaused.OK
    assert scheduled(bench) == {"a", "b"}
    assert (bench.field("b", "ttl"), bench.field("b", "cron")) == ("5000", "tick")
    fires = int(bench.raw.zscore(bench.keys.scheduled, bench.id("b")) or 0)
    assert bench.field("b", "expires_at") == str(fires + 1000)
    assert bench.token()
    assert plan(bench, "v1", "a", "b") is Planned.OK
    back = scheduling.pause_cron(bench.queue, "tick", stop=False)
    assert bench.refuses(back) is CronPaused.AS_BEFORE


def test_a_pause_outlives_a_new_definition(bench: Bench) -> None:
    """A deploy while it is paused: the new release plans nothing either, and it is resumed."""
    plan(bench, "v1", "a")
    pause(bench)
    assert plan(bench, "v2", "b") is Planned.SUSPENDED
    assert scheduled(bench) == set()
    assert entry(bench).paused
    resume(bench)
    assert scheduled(bench) == {"b"}
    bench.register("w")
    due(bench, "b")
    (attempt,) = bench.claim("w")
    assert b"v2" in attempt.payload


def test_a_firing_that_was_cancelled_is_not_planned_by_a_resume(bench: Bench) -> None:
    plan(bench, "v1", "a", "b")
    bench.run(one_task.cancel(bench.id("a")))
    pause(bench)
    resume(bench)
    assert scheduled(bench) == {"b"}


def test_who_waits_for_a_firing_of_a_paused_schedule_is_told(bench: Bench) -> None:
    plan(bench, "v1", "a")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.queue)
        bench.run(one_task.await_result(bench.id("a"), bench.queue))
        pause(bench)
        message = None
        while message is None:
            message = listener.get_message(timeout=5)
    _, result = replies.parse_reply(message["data"])
    assert result is not None
    assert result.failure is not None
    assert result.failure.type == "Paused"


def test_what_is_listed_of_a_schedule(bench: Bench) -> None:
    assert bench.run(scheduling.schedules(bench.queue)) == []
    fires = bench.now_ms() + LATER_MS
    call = scheduling.schedule(
        bench.queue,
        "tick",
        "v1",
        bench.task("v1", "report"),
        {bench.id("a"): fires, bench.id("b"): fires + 1},
        expression="*/5 * * * *",
        timezone="Europe/Berlin",
    )
    bench.run(call)
    found = entry(bench)
    assert (found.name, found.job, found.expression) == ("tick", "report", "*/5 * * * *")
    assert (found.zone, found.next_ms, found.last_ms) == ("Europe/Berlin", fires, None)
    assert (found.paused, abs(found.declared_ms - bench.now_ms()) < 60_000) == (False, True)
    bench.run(one_task.cancel(bench.id("a")))
    assert entry(bench).next_ms == fires + 1, "the next one that fires"
    due(bench, "b", late_ms=0)
    late = int(bench.raw.zscore(bench.keys.scheduled, bench.id("b")) or 0)
    bench.run(scheduling.promote(bench.queue))
    assert (entry(bench).next_ms, entry(bench).last_ms) == (None, late)


def test_the_last_of_the_missed_firings_is_the_last_one(bench: Bench) -> None:
    plan(bench, "v1", "a", "b")
    due(bench, "a", "b")
    last = int(bench.raw.zscore(bench.keys.scheduled, bench.id("b")) or 0)
    bench.register("w")
    bench.claim("w")
    assert entry(bench).last_ms == last


def test_a_schedule_that_no_worker_declares_is_forgotten(bench: Bench) -> None:
    plan(bench, "v1", "a")
    forget(bench)
    assert bench.run(scheduling.schedules(bench.queue)) == []
    plan(bench, "v1", "other", entry="other")
    assert set(bench.raw.hkeys(bench.keys.cron)) == {b"other", b"call:other"}


def test_a_schedule_runs_now(bench: Bench) -> None:
    plan(bench, "v1", "a", ttl=5000, expires=60_000)
    pause(bench)
    call = scheduling.run_cron(bench.queue, "tick", note=acting.new_note("ada", "run_cron", "tick"))
    receipt = bench.run(call)
    assert receipt is not None
    assert receipt.created
    assert bench.refuses(call) == receipt, "sent again, because the reply was lost"
    (name,) = bench.names([receipt.task_id])
    assert name.startswith("cron.tick.now-")
    assert bench.pending() == [name]
    assert (bench.field(name, "ttl"), bench.field(name, "state")) == ("5000", "pending")
    assert entry(bench).last_ms == int(bench.field(name, "enqueued_at") or 0)
    bench.register("w")
    (attempt,) = bench.claim("w")
    assert b"v1" in attempt.payload
    assert bench.run(inspecting.depth(bench.queue)).counters["enqueued"] == 2


def test_a_schedule_runs_now_unless_its_unique_key_is_held(bench: Bench) -> None:
    plan(bench, "v1", "a", unique="key", unique_ttl=LATER_MS)
    first = bench.run(scheduling.run_cron(bench.queue, "tick"))
    assert first is not None
    second = bench.refuses(scheduling.run_cron(bench.queue, "tick"))
    assert second is not None
    assert (second.task_id, second.status) == (first.task_id, Enqueued.UNIQUE)


def test_an_unknown_schedule(bench: Bench) -> None:
    assert bench.refuses(scheduling.run_cron(bench.queue, "tick")) is None
    for stop in (True, False):
        call = scheduling.pause_cron(bench.queue, "tick", stop=stop)
        assert bench.refuses(call) is CronPaused.MISSING
