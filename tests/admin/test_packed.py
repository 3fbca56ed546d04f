"""A task reads the same whether it is packed or has a HASH of its own.

An ordinary task is packed. Each test reads tasks in all ways, unpacks them, and reads them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identtqueue.admin import Admin, Filter, Place
from identtqueue.limits import JobLimits
from identtqueue.protocol import codec, keys
from identtqueue.protocol.call import NewTask
from identtqueue.protocol.calls import (
    enqueueing,
    inspecting,
    leasing,
    listing,
    moving,
    one_task,
    record,
)
from identtqueue.task import Task
from protocol.bench import LEASE_MS, Bench
from testing import packing

NAMES = ("a", "b", "c")
LONG_NAME = "job_" + "x" * 120
"""Its length takes two bytes of an envelope, that of the other jobs one."""

FILTERS = {
    "all": Filter(),
    "job": Filter(job="send"),
    "another job": Filter(job="job"),
    "a long name": Filter(job=LONG_NAME),
    "no such job": Filter(job="sen"),
    "text": Filter(text="mail-b"),
    "id": Filter(id_prefix="b"),
    "tag": Filter(tag="blue"),
    "error": Filter(error="ValueError"),
    "worker": Filter(worker="w"),
    "new": Filter(newer_than_seconds=60),
    "old": Filter(older_than_seconds=60),
}


def enqueue(bench: Bench, **options: Any) -> None:
    tasks = []
    for name, job in zip(NAMES, ("send", "job", LONG_NAME), strict=True):
        payload = codec.encode_task(Task(job, (f"mail-{name}",)))
        tasks.append(NewTask(bench.id(name), payload, job, options))
    bench.run(enqueueing.enqueue(bench.queue, tasks))


def are_packed(bench: Bench) -> int:
    return int(bench.raw.hlen(bench.keys.packed_tasks))


def wait(bench: Bench) -> None:
    for name in NAMES[:2]:
        bench.run(one_task.await_result(bench.id(name), keys.reply_channel("me")))


def claim(bench: Bench) -> None:
    bench.run(leasing.register(bench.queue, "w", LEASE_MS, {"host": "h", "pod_name": "p"}))
    assert len(bench.claim("w")) == len(NAMES)


def claim_awaited(bench: Bench) -> None:
    wait(bench)
    claim(bench)
    bench.run(one_task.await_result(bench.id("c"), keys.reply_channel("you")))


LIVES: dict[str, Callable[[Bench], object]] = {
    "pending": lambda bench: None,
    "awaited": wait,
    "running": claim,
    "running and awaited": claim_awaited,
}
"""Histories of tasks that are still packed."""


async def everything(admin: Admin, bench: Bench) -> dict[str, Any]:
    """Read the tasks in all ways in which they are read, but for how long ago something was."""
    seen: dict[str, Any] = {}
    for place in (Place.PENDING, Place.RUNNING, Place.ENDED):
        for name, conditions in FILTERS.items():
            for newest_first in (True, False):
                page = await admin.tasks(
                    bench.queue, place, conditions, newest_first=newest_first, limit=2
                )
                seen[f"{place} by {name}, {newest_first}"] = page.rows
                if page.cursor:
                    more = await admin.tasks(
                        bench.queue,
                        place,
                        conditions,
                        newest_first=newest_first,
                        cursor=page.cursor,
                    )
                    seen[f"{place} by {name}, {newest_first}, more"] = more.rows
            seen[f"{place} by {name}"] = await admin.count(bench.queue, place, conditions)
    seen["groups"] = bench.run(listing.tally(bench.queue, "pending")).groups
    depth = bench.run(inspecting.depth(bench.queue))
    seen["depth"] = (depth.queued, depth.held, depth.in_flight, depth.oldest_wait_ms is None)
    for name in NAMES:
        task_id = bench.id(name)
        kept = bench.run(record.record(task_id))
        assert kept is not None
        small = bench.run(record.record(task_id, most_bytes=1))
        assert small is not None
        assert small.payload is None
        seen[name] = (
            *(bench.run(one_task.task_info(task_id)), bench.run(one_task.task_payload(task_id))),
            *(bench.run(moving.movable(task_id)), bench.run(one_task.last_progress(task_id))),
            *(kept.info, kept.payload, kept.payload_bytes, kept.past, kept.forgotten_in_ms),
            *(small.payload_bytes, bench.run(one_task.cancel_asked(task_id))),
        )
    return seen


@pytest.mark.parametrize("life", LIVES)
async def test_both_forms_read_alike(admin: Admin, bench: Bench, life: str) -> None:
    enqueue(bench)
    LIVES[life](bench)
    assert are_packed(bench) == len(NAMES)
    packed = await everything(admin, bench)
    for name in NAMES:
        packing.unpack(bench.raw, bench.id(name))
    assert are_packed(bench) == 0
    assert await everything(admin, bench) == packed
    place = Place.RUNNING if "running" in life else Place.PENDING
    assert packed[f"{place} by all"] == len(NAMES)
    assert packed[f"{place} by a long name"] == packed[f"{place} by text"] == 1


async def test_a_list_of_both_forms(admin: Admin, bench: Bench) -> None:
    """It is longer than the part of a list whose texts are read with one command."""
    names = [f"t{i:03}" for i in range(120)]
    bench.enqueue(*names)
    for name in names[::3]:
        packing.unpack(bench.raw, bench.id(name))
    page = await admin.tasks(bench.queue, Place.PENDING, limit=200, newest_first=False)
    assert bench.names(row.task_id for row in page.rows) == names
    assert {row.job for row in page.rows} == {"job"}


@pytest.mark.parametrize("unpacked", [(), NAMES, ("a",)])
def test_the_depth_knows_the_jobs_of_both_forms(bench: Bench, unpacked: tuple[str, ...]) -> None:
    bench.register("w", send=JobLimits(max_running=1))
    enqueue(bench)
    for name in unpacked:
        packing.unpack(bench.raw, bench.id(name))
    assert bench.run(inspecting.depth(bench.queue)).held == 0
    bench.register("w", send=JobLimits(max_running=1), job=JobLimits(max_running=1))
    bench.run(enqueueing.enqueue(bench.queue, [bench.task("d"), bench.task("e")]))
    assert bench.run(inspecting.depth(bench.queue)).held == 2


def test_an_id_that_nobody_has(bench: Bench) -> None:
    enqueue(bench)
    assert bench.run(record.record(bench.id("never"))) is None
    assert bench.run(one_task.task_info(bench.id("never"))) is None
