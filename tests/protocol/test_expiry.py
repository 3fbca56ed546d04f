"""expires_seconds: a task that has not started in time is cancelled when a script sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identtqueue.limits import JobLimits
from identtqueue.protocol import replies
from identtqueue.protocol.answers import Cancelled, Expiring
from identtqueue.protocol.call import Call
from identtqueue.protocol.calls import (
    acting,
    claiming,
    enqueueing,
    inspecting,
    one_task,
    reporting,
    scheduling,
)
from identtqueue.task import Result, State
from protocol.bench import FAILURE, Bench

LATER_MS = 3_600_000

LOOKS: dict[str, Callable[[Bench], Call[Any]]] = {
    "promote": lambda bench: scheduling.promote(bench.queue),
    "await": lambda bench: one_task.await_result(bench.id("a")),
    "claim": lambda bench: claiming.claim(bench.queue, "w", 9),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("place", ["pending", "scheduled", "held"])
def test_what_has_expired_ends_at_the_first_look(
    bench: Bench, look: Callable[[Bench], Call[Any]], place: str
) -> None:
    bench.register("w", one=JobLimits(max_running=1))
    if place == "held":
        bench.run(enqueueing.enqueue(bench.queue, [bench.task("runs", "one")]))
    options = {"expires": LATER_MS, "unique": "key", "unique_ttl": LATER_MS}
    if place == "scheduled":
        options["delay"] = 2 * LATER_MS
    bench.run(enqueueing.enqueue(bench.queue, [bench.task("a", "one", **options)]))
    if place == "held":
        bench.claim("w")
        assert bench.held("one") == ["a"]
    waiting = bench.run(one_task.await_result(bench.id("a"), bench.queue))
    assert isinstance(waiting, Expiring)
    assert 0 < waiting.expires_in_ms <= LATER_MS
    bench.expire("a")
    if place == "held":
        bench.run(reporting.finish(bench.queue, "w", [(bench.id("runs"), 1, b"\xc0")]))
    if (look, place) == (LOOKS["claim"], "scheduled"):
        bench.fall_due("a")
    with bench.raw.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(bench.queue)
        assert listener.get_message(timeout=5) is None  # the subscription itself
        bench.run(look(bench))
        told = listener.get_message(timeout=5)
    assert told is not None
    task_id, result = replies.parse_reply(told["data"])
    assert isinstance(result, Result)
    assert (task_id, result.state) == (bench.id("a"), State.CANCELLED)
    assert result.failure is not None
    assert result.failure.type == "Expired"
    assert bench.raw.exists(bench.keys.expiring, bench.keys.unique_prefix + "key") == 0
    assert bench.dump()["stats"]["cancelled"] == 1
    bench.refuses(look(bench))


def test_what_has_expired_is_in_no_depth(bench: Bench) -> None:
    bench.enqueue("a", "b", expires=LATER_MS)
    bench.enqueue("c", expires=LATER_MS, delay=2 * LATER_MS)
    bench.enqueue("d")
    for name in "ac":
        bench.expire(name)
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.queued, depth.scheduled) == (2, 1)
    bench.run(scheduling.promote(bench.queue))
    depth = bench.run(inspecting.depth(bench.queue))
    assert (depth.queued, depth.scheduled) == (2, 0)


def test_many_that_expire_at_once_are_counted_by_a_sample(bench: Bench) -> None:
    names = [f"t{i}" for i in range(1_000)]
    tasks = [bench.task(name, expires=LATER_MS) for name in names]
    bench.redis.run(enqueueing.enqueue(bench.queue, tasks))
    bench.redis.run(enqueueing.enqueue(bench.queue, [bench.task("last")]))
    for name in names:
        bench.expire(name)
    assert bench.run(inspecting.depth(bench.queue)).queued == 1
    while bench.redis.run(scheduling.promote(bench.queue)).more:
        assert bench.redis.run(inspecting.depth(bench.queue)).queued == 1
    assert bench.pending() == ["last"]


@pytest.mark.parametrize("how", ["claim", "cancel", "retry", "bury, replay"])
def test_what_has_started_or_ended_does_not_expire(bench: Bench, how: str) -> None:
    bench.register("w")
    bench.enqueue("a", expires=LATER_MS)
    if how == "cancel":
        assert bench.run(one_task.cancel(bench.id("a"))) is Cancelled.OK
    else:
        bench.claim("w")
    assert bench.raw.exists(bench.keys.expiring) == 0
    if how == "retry":
        bench.run(reporting.retry(bench.queue, "w", bench.id("a"), 1, LATER_MS, FAILURE))
    elif how == "bury, replay":
        bench.run(reporting.bury(bench.queue, "w", bench.id("a"), 1, FAILURE))
        bench.run(acting.replay(bench.queue, [bench.id("a")]))
    state = bench.field("a", "state")
    if bench.field("a", "expires_at"):
        bench.expire("a")
    bench.refuses(scheduling.promote(bench.queue))
    bench.run(one_task.await_result(bench.id("a")))
    assert bench.field("a", "state") == state


def test_an_ended_id_that_is_enqueued_again_expires_anew(bench: Bench) -> None:
    """It keeps its number of attempts, but counts as not started."""
    bench.running("w", "a")
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    bench.enqueue("a", replace=True, expires=LATER_MS)
    bench.expire("a")
    assert bench.claim("w") == []
    assert bench.field("a", "state") == "cancelled"


def test_a_version_that_keeps_no_index_leaves_nothing_behind(bench: Bench) -> None:
    """An older version starts and ends tasks, but leaves their ids in `expiring`."""
    bench.running("w", "a", "b", expires=LATER_MS)
    bench.run(reporting.finish(bench.queue, "w", [(bench.id("a"), 1, b"\xc0")]))
    bench.raw.zadd(bench.keys.expiring, {bench.id(name): 1 for name in "abc"})
    bench.redis.run(scheduling.promote(bench.queue))
    assert bench.raw.exists(bench.keys.expiring) == 0
    assert (bench.field("a", "state"), bench.field("b", "state")) == ("succeeded", "running")
