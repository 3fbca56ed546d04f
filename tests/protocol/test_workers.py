"""Workers and whole queues: register, extend, leave, drain, pause, wake; and the wake token."""

from __future__ import annotations

from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol.answers import Lease
from identtqueue.protocol.calls import (
    acting,
    claiming,
    inspecting,
    leasing,
    recovering,
    registry,
    reporting,
    scheduling,
)
from identtqueue.task import Failure
from protocol.bench import FAILURE, LEASE_MS, TIME, Bench

LATER_MS = 3_600_000


# --- leases ---


def test_everything_that_a_registration_writes(bench: Bench) -> None:
    before = bench.now_ms()
    now_ms = bench.run(leasing.register(bench.queue, "w", LEASE_MS, {"host": "h", "boot": None}))
    assert before <= now_ms <= bench.now_ms()
    assert bench.raw.zscore(bench.keys.workers, "w") == now_ms + LEASE_MS
    assert bench.dump() == {
        "workers": {"w": TIME},
        "info": {"w": {"host": "h", "boot": None}},
        "meta": {"protocol": "2"},
    }


def test_registering_twice_is_registering_once(bench: Bench) -> None:
    bench.register("w", "w")
    assert bench.dump()["workers"] == {"w": TIME}


def test_an_extension_moves_the_lease_and_nothing_else(bench: Bench) -> None:
    bench.running("w", "a")
    bench.lapse("w")
    before = bench.dump()
    assert bench.run(leasing.extend(bench.queue, "w", LEASE_MS)) is Lease.OK
    assert bench.raw.zscore(bench.keys.workers, "w") > bench.now_ms()
    assert bench.dump() == before


def test_an_extension_tells_who_drains(bench: Bench) -> None:
    bench.register("w")
    bench.run(acting.drain(bench.queue, ["w"], stop=True))
    assert bench.run(leasing.extend(bench.queue, "w", LEASE_MS)) is Lease.DRAINING
    bench.run(acting.drain(bench.queue, ["w"], stop=False))
    assert bench.run(leasing.extend(bench.queue, "w", LEASE_MS)) is Lease.OK


def test_a_lease_that_nobody_holds_is_lost(bench: Bench) -> None:
    assert bench.refuses(leasing.extend(bench.queue, "w", LEASE_MS)) is Lease.LOST


def test_a_worker_leaves_no_trace(bench: Bench) -> None:
    bench.register("w")
    bench.run(acting.drain(bench.queue, ["w"], stop=True))
    assert bench.run(leasing.leave(bench.queue, "w")) is True
    assert bench.dump() == {"meta": {"protocol": "2"}}
    assert bench.refuses(leasing.leave(bench.queue, "w")) is True


def test_a_worker_that_owns_tasks_may_not_leave(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    assert bench.refuses(leasing.leave(bench.queue, "w")) is False
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    assert bench.run(leasing.leave(bench.queue, "w")) is True


def test_workers_are_listed_by_lease(bench: Bench) -> None:
    bench.running("v", "a", "b")
    bench.register("w")
    bench.run(acting.drain(bench.queue, ["w"], stop=True))
    bench.lapse("w")

    rows = bench.refuses(inspecting.workers(bench.queue))

    assert [(row.worker_id, row.in_flight, row.draining) for row in rows] == [
        ("w", 0, True),
        ("v", 2, False),
    ]
    assert rows[0].lease_expires_in_ms < 0 < rows[1].lease_expires_in_ms <= LEASE_MS
    assert [row.info for row in rows] == [{"host": "w"}, {"host": "v"}]


def test_nobody_works_on_an_unknown_queue(bench: Bench) -> None:
    assert bench.refuses(inspecting.workers(bench.queue)) == []


def test_what_a_worker_owns_can_be_asked_for(bench: Bench) -> None:
    bench.running("w", "a", "b")
    assert bench.names(bench.refuses(claiming.in_flight(bench.queue, "w"))) == ["a", "b"]
    assert bench.refuses(claiming.in_flight(bench.queue, "nobody")) == []


def test_redis_tells_whose_process_is_connected(bench: Bench) -> None:
    here, gone = f"{bench.queue}-here", f"{bench.queue}-gone"
    with bench.raw.pubsub() as listener:
        listener.subscribe(f"idtq:control:{here}")
        listener.get_message(timeout=30)
        assert bench.run(recovering.connected([gone, here])) == [False, True]


# --- drain and pause ---


def test_draining_tells_what_changed_and_only_listed_workers_drain(bench: Bench) -> None:
    bench.register("v", "w")
    some, more = ["v", "nobody"], ["v", "w", "nobody"]
    assert bench.run(acting.drain(bench.queue, some, stop=True)) == ["v"]
    assert bench.dump()["draining"] == {"v"}
    assert bench.refuses(acting.drain(bench.queue, some, stop=True)) == []
    assert bench.run(acting.drain(bench.queue, more, stop=False)) == ["v"]
    assert bench.refuses(acting.drain(bench.queue, more, stop=False)) == []


def test_a_draining_worker_is_told(bench: Bench) -> None:
    bench.register("w")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("idtq:control:w")
        bench.run(acting.drain(bench.queue, ["w"], stop=True))
        bench.run(acting.drain(bench.queue, ["w"], stop=False))
        heard: list[bytes] = []
        while len(heard) < 2:
            message = listener.get_message(timeout=30)
            heard += [message["data"]] if message else []
    assert heard == [b"drain", b"undrain"]


def test_pausing_and_resuming_tell_whether_they_changed_anything(bench: Bench) -> None:
    before = bench.now_ms()
    assert bench.refuses(acting.pause(bench.queue, stop=False)) is False
    assert bench.run(acting.pause(bench.queue, stop=True)) is True
    assert bench.dump().keys() == {"paused"}
    assert before <= int(bench.raw.get(bench.keys.paused)) <= bench.now_ms()
    assert bench.refuses(acting.pause(bench.queue, stop=True)) is False
    assert bench.run(acting.pause(bench.queue, stop=False)) is True
    assert bench.dump() == {}


# --- the wake token ---


def test_a_token_is_there_while_tasks_are_left(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue("a", "b", "c")
    bench.take_token()
    bench.claim("w", 2)
    assert bench.token()  # passed on
    bench.take_token()
    bench.claim("w", 2)
    assert not bench.token()


def test_a_claim_that_takes_the_last_task_takes_the_token_too(bench: Bench) -> None:
    """Otherwise another worker would wake for nothing."""
    bench.register("w")
    bench.enqueue("a")
    assert bench.token()
    bench.claim("w")
    assert not bench.token()


def test_whoever_makes_a_task_pending_leaves_a_token(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    assert not bench.token()
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, 1)]))
    assert bench.token()
    bench.claim("w")
    bench.recover("w", limit=9)
    assert bench.token()
    bench.register("w")
    bench.claim("w")
    bench.run(reporting.bury(bench.queue, "w", attempt.task_id, 3, FAILURE))
    assert not bench.token()
    bench.run(acting.replay(bench.queue, [attempt.task_id]))
    assert bench.token()


def test_a_scheduled_task_that_is_the_next_rings_so_that_the_block_is_cut(bench: Bench) -> None:
    bench.enqueue("a", delay=LATER_MS)
    bench.take_token()
    bench.enqueue("later", delay=2 * LATER_MS)
    assert not bench.token()
    bench.enqueue("sooner", delay=LATER_MS // 2)
    bench.take_token()


def test_a_retry_that_is_the_next_rings(bench: Bench) -> None:
    first, second = bench.running("w", "a", "b")
    bench.run(reporting.retry(bench.queue, "w", first.task_id, 1, LATER_MS, FAILURE))
    bench.take_token()
    bench.run(reporting.retry(bench.queue, "w", second.task_id, 1, 2 * LATER_MS, FAILURE))
    assert not bench.token()


def test_wake_rings_only_for_pending_tasks_and_only_once(bench: Bench) -> None:
    assert bench.refuses(claiming.wake(bench.queue)) == 0
    bench.enqueue("a", "b")
    assert bench.refuses(claiming.wake(bench.queue)) == 2
    bench.take_token()
    assert bench.run(claiming.wake(bench.queue)) == 2
    assert bench.token()


# --- the alarm ---


def alarm_of(bench: Bench, worker: str) -> int | None:
    """Have a worker claim nothing, and return when it must look again."""
    return bench.run(claiming.claim(bench.queue, worker, 0)).next_due_ms


def test_only_one_worker_is_to_look_when_the_next_task_becomes_due(bench: Bench) -> None:
    bench.register("w1", "w2")
    bench.enqueue("a", delay=LATER_MS)
    first = bench.run(claiming.claim(bench.queue, "w1", 1))
    assert first.next_due_ms is not None
    assert first.alarm_ms == bench.raw.zscore(bench.keys.scheduled, bench.id("a"))
    assert alarm_of(bench, "w2") is None
    assert alarm_of(bench, "w1") is None  # it knows


def test_a_worker_that_learns_of_an_earlier_task_looks_as_well(bench: Bench) -> None:
    bench.register("w1", "w2")
    bench.enqueue("a", delay=LATER_MS)
    assert alarm_of(bench, "w1")
    bench.enqueue("later", delay=2 * LATER_MS)
    assert alarm_of(bench, "w2") is None
    bench.enqueue("sooner", delay=LATER_MS // 2)
    assert (alarm_of(bench, "w2") or 0) <= LATER_MS // 2
    assert alarm_of(bench, "w1") is None


def test_a_look_comes_not_before_a_held_task_may_start(bench: Bench) -> None:
    """The time of a rate limit is a fraction of a ms. A worker that is early would look twice."""
    limit = RateLimit(3, 3600)
    bench.register("w", job=JobLimits(rate_limit=limit))
    bench.enqueue("a", "b")
    claimed = bench.run(claiming.claim(bench.queue, "w", 2))
    due = bench.raw.zscore(bench.keys.blocked, "job")
    assert due <= claimed.alarm_ms < due + 1


def test_who_takes_its_promise_back_wakes_another_worker(bench: Bench) -> None:
    bench.register("w1", "w2")
    bench.enqueue("a", delay=LATER_MS)
    bench.take_token()
    claimed = bench.run(claiming.claim(bench.queue, "w1", 1))
    assert not bench.token()
    bench.run(claiming.wake(bench.queue, claimed.alarm_ms - 1))  # of another time: not its own
    assert not bench.token()
    bench.run(claiming.wake(bench.queue, claimed.alarm_ms))
    bench.take_token()
    assert alarm_of(bench, "w2")


def test_upkeep_finds_that_nobody_looks(bench: Bench) -> None:
    bench.register("w1", "w2")
    bench.enqueue("a", "b", delay=LATER_MS)
    bench.take_token()
    assert alarm_of(bench, "w1")
    bench.run(scheduling.promote(bench.queue))
    assert not bench.token()
    bench.raw.set(bench.keys.alarm, bench.now_ms() - 1)  # that time has passed: w1 is dead
    bench.run(scheduling.promote(bench.queue))
    bench.take_token()
    assert alarm_of(bench, "w2")
    bench.fall_due("a")  # w2 dies, too
    bench.run(scheduling.promote(bench.queue))
    bench.take_token()


def test_upkeep_replaces_a_token_whose_taker_has_died(bench: Bench) -> None:
    bench.enqueue("a")
    bench.take_token()
    bench.run(scheduling.promote(bench.queue))
    assert bench.token()


def test_other_workers_see_that_upkeep_was_there(bench: Bench) -> None:
    assert bench.run(scheduling.promoted_at(bench.queue)) == 0
    now_ms = bench.run(scheduling.promote(bench.queue)).now_ms
    assert bench.run(scheduling.promoted_at(bench.queue)) == now_ms
    assert 0 < bench.raw.pttl(bench.keys.promoted) <= scheduling.PROMOTED_MS


def test_each_worker_promotes_for_its_own_shelves(bench: Bench) -> None:
    (attempt,) = bench.running("w", "a")
    bench.run(scheduling.promote(bench.queue))
    why = Failure("UnknownJob", "no such job")
    bench.run(reporting.decline(bench.queue, "w", attempt.task_id, 1, "v1", why))
    bench.run(scheduling.promote(bench.queue))
    assert bench.run(scheduling.promoted_at(bench.queue)) == 0


def test_resuming_rings_if_tasks_wait(bench: Bench) -> None:
    bench.run(acting.pause(bench.queue, stop=True))
    bench.enqueue("a")
    bench.take_token()  # by a worker that was refused
    bench.run(acting.pause(bench.queue, stop=False))
    assert bench.token()


def test_blocking_gives_the_queue_that_rang(bench: Bench) -> None:
    other = f"{bench.queue}-other"
    bench.enqueue("a")
    assert bench.run(claiming.block_for_work([other, bench.queue], 30)) == bench.queue
    assert bench.run(claiming.block_for_work([other, bench.queue], 0.001)) is None


# --- what a worker says about itself ---


def test_a_worker_renews_what_it_says_while_it_is_registered(bench: Bench) -> None:
    bench.register("w", "w")
    before = bench.dump()
    assert bench.run(leasing.describe(bench.queue, "w", {"host": "h", "rss_bytes": 5}))
    assert bench.dump() == before | {"info": {"w": {"host": "h", "rss_bytes": 5}}}
    (row,) = bench.run(inspecting.workers(bench.queue))
    assert row.info["rss_bytes"] == 5
    bench.run(leasing.leave(bench.queue, "w"))
    left = bench.dump()
    assert not bench.run(leasing.describe(bench.queue, "w", {"host": "h"}))
    assert bench.dump() == left


def test_the_last_releases_are_noted_with_their_first_worker(bench: Bench) -> None:
    for number in range(25):
        bench.run(leasing.register(bench.queue, "w", LEASE_MS, {"release": f"v{number:02}"}))
    found = bench.run(registry.releases(bench.queue))
    assert list(found) == [f"v{number:02}" for number in range(5, 25)]
    first = found["v24"]
    bench.run(leasing.register(bench.queue, "w", LEASE_MS, {"release": "v24"}))
    assert bench.run(registry.releases(bench.queue))["v24"] == first
    assert 0 < bench.raw.pttl(bench.keys.releases) <= 30 * 86_400_000
