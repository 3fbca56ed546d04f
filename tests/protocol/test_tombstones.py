"""Cancelled tasks stay in their list under a tombstone, and every reader skips them."""

from __future__ import annotations

from collections import Counter

import pytest

from identtqueue.limits import JobLimits
from identtqueue.protocol.answers import Cancelled
from identtqueue.protocol.calls import (
    claiming,
    enqueueing,
    inspecting,
    one_task,
    reporting,
    scheduling,
)
from protocol.bench import Bench

LATER_MS = 3_600_000


def cancel(bench: Bench, *names: str) -> None:
    for name in names:
        assert bench.run(one_task.cancel(bench.id(name))) is Cancelled.OK


def claim(bench: Bench, limit: int = 10, worker: str = "w") -> list[str]:
    return bench.names(attempt.task_id for attempt in bench.claim(worker, limit))


def forget(bench: Bench, *names: str) -> None:
    """Let the time to live of their results end."""
    for name in names:
        assert bench.raw.delete(bench.unpack(bench.id(name))) == 1


def depth(bench: Bench) -> int:
    return bench.run(inspecting.depth(bench.queue)).queued


def test_a_cancelled_task_is_in_its_list_and_in_no_answer(bench: Bench) -> None:
    bench.register("w")
    bench.enqueue(*"abcde")
    cancel(bench, "b", "d")
    assert bench.raw.llen(bench.keys.pending) == 5
    assert bench.dump()["tombstones"] == {"": 2, "b": 1, "d": 1}
    assert depth(bench) == bench.run(claiming.wake(bench.queue)) == 3
    claimed = bench.run(claiming.claim(bench.queue, "w", 2))
    assert bench.names(a.task_id for a in claimed.attempts) == ["a", "c"]
    assert claimed.pending == depth(bench) == 1
    assert claim(bench) == ["e"]
    assert "tombstones" not in bench.dump()


def test_a_queue_whose_tasks_are_all_cancelled_is_empty(bench: Bench) -> None:
    """It is empty for the operator, for idle workers and for the next enqueue."""
    bench.register("w")
    bench.enqueue(*"abc")
    cancel(bench, "b", "c")  # from the middle: not swept from the head
    bench.run(claiming.claim(bench.queue, "w", 1))
    assert not bench.token()
    bench.enqueue(*(f"x{i}" for i in range(40)))
    cancel(bench, *(f"x{i}" for i in range(39, -1, -1)))
    assert depth(bench) == 0
    assert bench.run(claiming.wake(bench.queue)) == 0
    with bench.raw.pubsub(ignore_subscribe_messages=True) as doorbell:
        doorbell.subscribe(bench.keys.doorbell)
        assert doorbell.get_message(timeout=5) is None  # the subscription itself
        bench.enqueue("new")
        message = doorbell.get_message(timeout=5)
        assert message is not None
        assert message["type"] == "message"
    assert claim(bench) == ["new"]


def test_a_claim_of_ordinary_tasks_searches_for_no_tombstone(bench: Bench) -> None:
    """Such a task has none. In a HASH that is a listpack, Redis would walk through all of them."""

    def spent() -> Counter[str]:
        stats = bench.raw.info("commandstats")
        return Counter({name: row["calls"] for name, row in stats.items()})

    def spent_for(*names: str) -> Counter[str]:
        before = spent()
        attempts = bench.redis.run(claiming.claim(bench.queue, "w", len(names))).attempts
        after = spent()
        assert bench.names(attempt.task_id for attempt in attempts) == [*names]
        return after - before

    bench.register("w")
    bench.enqueue(*"abcdefgh")
    claim(bench, 1)  # loads the script
    without = spent_for("b", "c")
    cancel(bench, "g")
    assert spent_for("d", "e") - without == {"cmdstat_exists": 1, "cmdstat_hget": 1}
    assert claim(bench) == ["f", "h"]


def test_tasks_with_options_among_the_cancelled_start(bench: Bench) -> None:
    """They are not packed, so the claim looks for tombstones of theirs; with limits or without."""
    for limits in ({}, {"other": JobLimits(max_running=1)}):
        bench.register("w", **limits)
        bench.enqueue("a", "b")
        bench.enqueue("c", "d", "e", "f", ttl=LATER_MS)
        bench.enqueue("g", "h")
        cancel(bench, "b", "d", "f", "g")
        assert claim(bench, 2) == ["a", "c"]
        cancel(bench, "e")
        assert claim(bench) == ["h"]
        assert bench.raw.exists(bench.keys.pending, bench.keys.tombstones) == 0
        for name in "ach":
            bench.run(reporting.finish(bench.queue, "w", [(bench.id(name), 1, b"\xc0")]))
        forget(bench, *"abcdefgh")


def test_cancelling_everything_leaves_nothing(bench: Bench) -> None:
    names = [f"t{i}" for i in range(30)]
    for order in (names, names[::-1], names[::2] + names[1::2]):
        bench.enqueue(*names)
        cancel(bench, *order)
        bench.run(scheduling.promote(bench.queue))
        assert bench.raw.exists(bench.keys.pending, bench.keys.tombstones) == 0
        forget(bench, *names)


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_an_id_that_is_enqueued_again_has_its_new_place(bench: Bench, limit: int) -> None:
    bench.register("w")
    bench.enqueue(*"abc")
    for last in "de":
        cancel(bench, "b")
        forget(bench, "b")
        bench.enqueue("b", last)
    assert bench.dump()["pending"] == [*"abcbdbe"]
    assert depth(bench) == 5
    assert claim(bench, 1) == ["a"]
    taken = claim(bench, limit)
    assert taken == [*"cdbe"][:limit]
    assert depth(bench) == 4 - len(taken)
    assert claim(bench) == [*"cdbe"][limit:]
    assert bench.raw.exists(bench.keys.pending, bench.keys.tombstones) == 0


def test_a_held_task_that_is_enqueued_again_has_its_new_place(bench: Bench) -> None:
    one = JobLimits(max_running=1)
    bench.register("w", one=one)
    for name in "abc":
        bench.run(enqueueing.enqueue(bench.queue, [bench.task(name, "one")]))
    assert claim(bench) == ["a"]
    cancel(bench, "b")
    forget(bench, "b")
    bench.run(enqueueing.enqueue(bench.queue, [bench.task("b", "one")]))
    assert (bench.held("one"), bench.pending()) == (["c"], ["b"])
    (row,) = bench.run(inspecting.limits(bench.queue))
    assert (row.held, depth(bench)) == (1, 2)
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    assert claim(bench) == ["c"]
    assert bench.held("one") == ["b"]
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("c"), 1, b"\xc0")]))
    assert claim(bench) == ["b"]


@pytest.mark.parametrize("again", [False, True])
def test_a_worker_that_knows_no_tombstones_loses_nothing(bench: Bench, again: bool) -> None:
    """Such a worker pops cancelled ids and leaves tombstones. Then the id is enqueued again."""
    bench.register("w")
    bench.enqueue(*"acd")
    cancel(bench, "c")
    assert claim(bench, 1) == ["a"]
    assert bench.raw.lpop(bench.keys.pending).decode() == bench.id("c")
    bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task("e")]))
    names = ["d", "e"]
    if again:
        forget(bench, "c")
        assert bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task("c")]))[0].created
        names.append("c")
    seen = bench.redis.run(inspecting.depth(bench.queue))
    assert 0 < seen.queued <= len(names), "never taken for empty"
    started: list[str] = []
    while (claimed := bench.redis.run(claiming.claim(bench.queue, "w", 1))).attempts:
        started += bench.names(a.task_id for a in claimed.attempts)
        assert bool(claimed.pending) == (len(started) < len(names))
    assert started == names
    assert bench.raw.exists(bench.keys.pending, bench.keys.tombstones) == 0


@pytest.mark.slow
def test_a_claim_passes_over_a_bounded_number(bench: Bench) -> None:
    """Redis does nothing else during a script. The worker claims again at once."""
    bench.register("w")
    names = [f"t{i}" for i in range(5_000)]
    for i in range(0, 5_000, 1_000):
        tasks = [bench.task(name) for name in ["first", *names[i : i + 1_000]]]
        bench.redis.run(enqueueing.enqueue(bench.queue, tasks))
    bench.redis.run_all([one_task.cancel(bench.id(name)) for name in names[:-1]])
    assert claim(bench, 1) == ["first"]
    rounds = 0
    while not (claimed := bench.redis.run(claiming.claim(bench.queue, "w", 1))).attempts:
        assert claimed.pending == 1, "so it claims again"
        rounds += 1
    assert bench.names(a.task_id for a in claimed.attempts) == [names[-1]]
    assert 10 <= rounds <= 15
