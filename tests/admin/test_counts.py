"""Numbers of tasks that match, for confirmations."""

from __future__ import annotations

import copy

from identtqueue.admin import Admin, Count, Filter, Place
from identtqueue.protocol.calls import one_task
from protocol.bench import Bench


async def test_a_count_knows_whether_it_is_exact(admin: Admin, bench: Bench) -> None:
    bench.enqueue(*(f"a{i}" for i in range(20)), *(f"b{i}" for i in range(10)))
    everything = await admin.count(bench.queue, Place.PENDING)
    assert (everything, everything.exact) == (30, True)
    some = await admin.count(bench.queue, Place.PENDING, Filter(id_prefix="b"))
    assert (some, some.exact, str(some)) == (10, True, "10")
    part = await admin.count(bench.queue, Place.PENDING, Filter(id_prefix="b"), scan_limit=5)
    assert (part, part.exact, str(part)) == (5, False, "at least 5")


async def test_running_and_held_tasks_are_counted_over_their_containers(
    admin: Admin, bench: Bench
) -> None:
    bench.running("w", "a1", "b1")
    bench.running("v", "a2")
    assert await admin.count(bench.queue, Place.RUNNING) == 3
    assert await admin.count(bench.queue, Place.RUNNING, Filter(id_prefix="a")) == 2
    assert await admin.count(bench.queue, Place.HELD) == 0
    assert await admin.count(bench.queue, Place.DEAD) == 0


async def test_cancelled_tasks_are_not_counted(admin: Admin, bench: Bench) -> None:
    bench.enqueue("a", "b", "c")
    bench.run(one_task.cancel(bench.id("b")))
    assert await admin.count(bench.queue, Place.PENDING) == 2


def test_a_count_is_a_number_that_can_be_copied() -> None:
    number = Count(1_234, exact=False)
    assert number + 1 == 1_235
    again = copy.deepcopy(number)
    assert (again, again.exact) == (1_234, False)
    assert str(again) == "at least 1,234"
