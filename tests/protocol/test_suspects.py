"""Suspects: tasks that may have killed their workers are set aside and run alone."""

from __future__ import annotations

import pytest

from identtqueue.limits import JobLimits, RateLimit
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Ack, Cancelled, Recovery
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    inspecting,
    listing,
    one_task,
    reporting,
    scheduling,
)
from protocol.bench import FAILURE, Bench


def lose(bench: Bench, worker: str, *, limit: int = 5, idle: bool = False) -> Recovery:
    """Have a new worker claim what it can, and die."""
    bench.register(worker)
    bench.claim(worker, 100, idle=idle)
    return bench.recover(worker, limit=limit)


def suspects(bench: Bench) -> list[str]:
    ids = bench.raw.lrange(bench.keys.suspects, 0, -1)
    return bench.names(item.decode() for item in ids)


def make_suspects(bench: Bench, *names: str, **options: object) -> None:
    """Make suspects: tasks that were running when two workers were lost."""
    bench.enqueue(*names, **options)
    assert lose(bench, "first").isolated == ()
    assert sorted(bench.names(lose(bench, "second").isolated)) == sorted(names)


@pytest.mark.parametrize("max_deliveries", [1, 2, 3, 5])
@pytest.mark.parametrize("innocents", [0, 1, 9])
@pytest.mark.parametrize("poisons", [1, 3])
def test_only_the_culprits_are_buried(
    bench: Bench, max_deliveries: int, innocents: int, poisons: int
) -> None:
    """All tasks beside a poison are lost with it. Innocent ones succeed when no poison runs."""
    culprits = {f"poison{i}" for i in range(poisons)}
    bench.enqueue(*culprits, *(f"innocent{i}" for i in range(innocents)))
    crashes = 0
    for turn in range(100):
        worker = f"w{turn}"
        bench.register(worker)
        attempts = bench.claim(worker, 10, idle=True)
        if culprits & set(bench.names(attempt.task_id for attempt in attempts)):
            crashes += 1
            bench.recover(worker, limit=max_deliveries)
        elif attempts:
            done = [(attempt.task_id, attempt.number, b"\xc0") for attempt in attempts]
            assert set(bench.run(reporting.finish(bench.queue, worker, done))) == {Ack.OK}
        else:
            break
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.dead, depth.queued) == (poisons, 0)
    assert depth.counters.get("succeeded", 0) == innocents
    assert set(bench.names(bench.run(listing.dead_letters(bench.queue, 0, 99)))) == culprits
    if poisons == 1:
        assert crashes <= max_deliveries + 1
    assert crashes <= poisons * max_deliveries + min(2, max_deliveries)


def test_a_first_loss_isolates_nothing(bench: Bench) -> None:
    """Nodes are lost all the time, so a first loss costs nothing."""
    bench.enqueue("a", "b")
    assert lose(bench, "w").isolated == ()
    assert (bench.pending(), suspects(bench)) == (["a", "b"], [])


def test_suspects_keep_their_order(bench: Bench) -> None:
    make_suspects(bench, "a", "b", "c")
    assert suspects(bench) == ["a", "b", "c"]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_first_loss_that_would_bury_isolates(bench: Bench, limit: int) -> None:
    bench.enqueue("a", "b")
    recovery = lose(bench, "w", limit=limit)
    assert recovery.dead == ()
    assert set(recovery.requeued) == set(recovery.isolated) == {bench.id("a"), bench.id("b")}


def test_nothing_is_buried_that_had_company(bench: Bench) -> None:
    bench.enqueue("a", "b")
    for n in range(2):
        lose(bench, f"w{n}", limit=5)
    # Two suspects at once, as if the rule had been broken.
    bench.register("w")
    for _ in range(2):
        bench.claim("w", 1, idle=True)
    recovery = bench.recover("w", limit=1)
    assert recovery.dead == ()
    assert len(recovery.isolated) == 2


def test_an_idle_worker_gets_one_suspect_and_nothing_else(bench: Bench) -> None:
    make_suspects(bench, "a", "b")
    bench.enqueue("other")
    bench.register("w")
    claimed = bench.run(claiming.claim(bench.queue, "w", 10, idle=True))
    (attempt,) = claimed.attempts
    assert attempt.alone
    assert claimed.suspects == 1
    assert claimed.pending == 2, "the other one, and the suspect that another idle worker may take"
    assert bench.token()


def test_a_busy_worker_gets_the_others(bench: Bench) -> None:
    make_suspects(bench, "a")
    bench.enqueue("other")
    bench.register("w")
    claimed = bench.run(claiming.claim(bench.queue, "w", 10))
    assert bench.names(attempt.task_id for attempt in claimed.attempts) == ["other"]
    assert (claimed.suspects, claimed.pending, claimed.hold_ms) == (1, 0, None)


def test_one_worker_at_a_time_becomes_idle_for_a_suspect_that_waits(bench: Bench) -> None:
    make_suspects(bench, "a")
    bench.enqueue("other")
    bench.wait_long([bench.id("a")])
    bench.register("v", "w")
    first = bench.run(claiming.claim(bench.queue, "v", 10))
    assert first.attempts == ()
    assert first.hold_ms is not None
    assert 0 < first.hold_ms <= 3_600_000
    second = bench.run(claiming.claim(bench.queue, "w", 10))
    assert bench.names(attempt.task_id for attempt in second.attempts) == ["other"]
    again = bench.run(claiming.claim(bench.queue, "v", 0))
    assert again.hold_ms is not None, "until it is idle, or its time is over"
    (attempt,) = bench.claim("v", idle=True)
    assert attempt.alone
    bench.run(reporting.finish(bench.queue, "v", [(attempt.task_id, attempt.number, b"\xc0")]))
    assert bench.run(claiming.claim(bench.queue, "v", 0)).hold_ms is None


@pytest.mark.parametrize("gone", ["lost", "draining"])
def test_another_one_becomes_idle_in_the_place_of_one_that_can_not(bench: Bench, gone: str) -> None:
    make_suspects(bench, "a")
    bench.wait_long([bench.id("a")])
    bench.register("v", "w")
    assert bench.run(claiming.claim(bench.queue, "v", 10)).hold_ms
    assert bench.run(claiming.claim(bench.queue, "w", 10)).hold_ms is None
    if gone == "lost":
        bench.recover("v")
    else:
        bench.run(acting.drain(bench.queue, ["v"], stop=True))
    assert bench.run(claiming.claim(bench.queue, "w", 10)).hold_ms


def test_how_long_one_holds_back_grows_with_the_wait(bench: Bench) -> None:
    """A worker's longest attempt may take any time, and so may becoming idle."""
    make_suspects(bench, "a")
    bench.register("w")
    holds = []
    for waited_ms in (4_000, 60_000):
        since = bench.now_ms() - waited_ms
        bench.raw.hset(bench.unpack(bench.id("a")), "pending_since", since)
        holds.append(bench.run(claiming.claim(bench.queue, "w", 1)).hold_ms)
        bench.raw.delete(bench.keys.isolating)
    assert holds[0] == 5_000
    assert holds[1] is not None
    assert 60_000 <= holds[1] < 62_000


def test_a_suspect_that_fails_is_none_any_more(bench: Bench) -> None:
    make_suspects(bench, "a")
    bench.register("w")
    (attempt,) = bench.claim("w", idle=True)
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, attempt.number, 0, FAILURE))
    (again,) = bench.claim("w")
    assert (again.alone, again.losses) == (False, 0)


def test_a_suspect_that_is_released_stays_one(bench: Bench) -> None:
    make_suspects(bench, "a", "b")
    bench.register("w")
    (attempt,) = bench.claim("w", idle=True)
    bench.run(reporting.release(bench.queue, "w", [(attempt.task_id, attempt.number)]))
    (again,) = bench.claim("w", idle=True)
    assert (again.task_id, again.alone) == (attempt.task_id, True), "and comes first"


def test_suspects_are_cancelled_and_counted_as_any(bench: Bench) -> None:
    make_suspects(bench, "a", "b")
    bench.wait_long([bench.id("a"), bench.id("b")])
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.queued, depth.held) == (2, 0)
    assert depth.oldest_wait_ms is not None
    assert depth.oldest_wait_ms >= 3_600_000
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    assert suspects(bench) == ["b"]
    bench.register("w")
    (attempt,) = bench.claim("w", idle=True)
    assert attempt.task_id == bench.id("b")


def test_a_token_is_pushed_for_suspects(bench: Bench) -> None:
    """Recovery and upkeep both push a token: a busy worker may have taken the first one."""
    make_suspects(bench, "a")
    bench.take_token()
    bench.run(scheduling.promote(bench.queue))
    bench.take_token()
    assert bench.run(claiming.wake(bench.queue)) == 1
    bench.take_token()
    bench.run(acting.pause(bench.queue, stop=True))
    bench.run(acting.pause(bench.queue, stop=False))
    assert bench.token()


# --- limits ---


def test_a_suspect_keeps_its_slot(bench: Bench) -> None:
    """Otherwise the tasks behind it would take the slot, one after the other."""
    limits = {"job": JobLimits(max_running=1)}
    bench.register("v", **limits)
    bench.enqueue("a", "b")
    bench.claim("v")
    bench.recover("v", limit=1)
    assert (suspects(bench), bench.held("job"), bench.counted("job")) == (["a"], ["b"], {"a"})
    bench.register("w")
    assert bench.claim("w") == []
    (attempt,) = bench.claim("w", idle=True)
    assert (attempt.task_id, bench.counted("job")) == (bench.id("a"), {"a"})
    done = [(attempt.task_id, attempt.number, codec.encode_value(None))]
    bench.run(reporting.finish(bench.queue, "w", done))
    (attempt,) = bench.claim("w")
    assert attempt.task_id == bench.id("b")


def test_a_cancelled_suspect_gives_its_slot_back(bench: Bench) -> None:
    bench.register("v", job=JobLimits(max_running=1))
    bench.enqueue("a", "b")
    bench.claim("v")
    bench.recover("v", limit=1)
    assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    bench.register("w")
    (attempt,) = bench.claim("w")
    assert attempt.task_id == bench.id("b")


def test_upkeep_leaves_a_suspects_slot_alone(bench: Bench) -> None:
    bench.register("v", job=JobLimits(max_running=1))
    bench.enqueue("a", "b")
    bench.claim("v")
    bench.recover("v", limit=1)
    bench.run(scheduling.promote(bench.queue))
    assert bench.counted("job") == {"a"}


def test_a_rate_limit_holds_for_suspects_too(bench: Bench) -> None:
    """A suspect that may not start delays no others and does not need an idle worker."""
    paced = JobLimits(rate_limit=RateLimit(1, per_seconds=1000, burst=1))
    bench.register("v", paced=paced)
    tasks = [bench.task("a", "paced"), bench.task("b")]
    bench.redis.run(enqueueing.enqueue(bench.queue, tasks))
    bench.claim("v")
    bench.recover("v", limit=1)
    bench.wait_long([bench.id("a")])
    bench.register("w")
    bench.run(reporting.release(bench.queue, "w", []))
    (first,) = bench.claim("w", idle=True)
    assert first.task_id == bench.id("b")
    bench.run(reporting.finish(bench.queue, "w", [(first.task_id, first.number, b"\xc0")]))
    claimed = bench.run(claiming.claim(bench.queue, "w", 1, idle=True))
    assert (claimed.attempts, claimed.suspects, claimed.hold_ms) == ((), 1, None)
    assert claimed.next_due_ms is not None
    assert claimed.next_due_ms <= 1_000_000
    bench.pass_time("paced")
    (second,) = bench.claim("w", idle=True)
    assert (second.task_id, second.alone) == (bench.id("a"), True)
