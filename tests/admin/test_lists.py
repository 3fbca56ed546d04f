"""Lists of tasks: their rows, pages and filters, also while the lists change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from identtqueue import InvalidInput, RateLimit, State
from identtqueue.admin import Admin, Filter, Page, Place, TaskRow
from identtqueue.limits import JobLimits
from identtqueue.protocol import codec
from identtqueue.protocol.calls import acting, enqueueing, leasing, one_task, reporting
from identtqueue.protocol.submission import BATCH_TASKS
from identtqueue.task import Failure, Task
from protocol.bench import FAILURE, Bench
from testing import packing

LATER_MS = 3_600_000


async def walk(
    admin: Admin, bench: Bench, place: Place, *filters: Filter, **how: Any
) -> list[Page]:
    """Read all pages of a list."""
    pages = [await admin.tasks(bench.queue, place, *filters, **how)]
    while (cursor := pages[-1].cursor) is not None:
        assert len(pages) < 1_000
        pages.append(await admin.tasks(bench.queue, place, *filters, cursor=cursor, **how))
    return pages


async def names(
    admin: Admin, bench: Bench, place: Place, *filters: Filter, **how: Any
) -> list[str]:
    pages = await walk(admin, bench, place, *filters, **how)
    return bench.names(row.task_id for page in pages for row in page.rows)


def fail(bench: Bench, worker: str, name: str, failure: Failure, **options: Any) -> None:
    """Make a task a dead letter."""
    (attempt,) = bench.running(worker, name, **options)
    data = codec.encode_failure(failure)
    bench.run(reporting.bury(bench.queue, worker, attempt.task_id, attempt.number, data))


# --- places ---


async def test_a_pending_task_is_described(admin: Admin, bench: Bench) -> None:
    bench.enqueue("a")
    page = await admin.tasks(bench.queue, Place.PENDING)
    (row,) = page.rows
    assert row == TaskRow(
        task_id=bench.id("a"),
        queue=bench.queue,
        place=Place.PENDING,
        state=State.PENDING,
        job="job",
        attempt=0,
        failures=0,
        losses=0,
        enqueued_at_ms=row.enqueued_at_ms,
        since_ms=row.enqueued_at_ms,
        due_at_ms=None,
        started_at_ms=None,
        finished_at_ms=None,
        worker=None,
        error=None,
        tags=(),
    )
    assert abs(row.since_ms - bench.now_ms()) < 60_000
    assert page == Page([row], None, 1, 1)


@pytest.mark.parametrize("place", Place)
async def test_nothing_is_in_an_empty_queue(admin: Admin, bench: Bench, place: Place) -> None:
    assert await admin.tasks(bench.queue, place) == Page([], None, 0, 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 1_000])
async def test_pending_tasks_come_in_both_orders(admin: Admin, bench: Bench, limit: int) -> None:
    ids = [f"t{i}" for i in range(7)]
    bench.enqueue(*ids)
    assert await names(admin, bench, Place.PENDING, limit=limit) == ids[::-1]
    assert await names(admin, bench, Place.PENDING, limit=limit, newest_first=False) == ids


async def test_a_task_that_waits_for_a_retry_shows_when_it_is_due_and_why(
    admin: Admin, bench: Bench
) -> None:
    (attempt,) = bench.running("w", "a")
    why = codec.encode_failure(Failure("httpx.ReadTimeout", "no answer\nfrom them", "trace"))
    bench.run(reporting.retry(bench.queue, "w", attempt.task_id, 1, LATER_MS, why))
    bench.enqueue("b", delay=2 * LATER_MS)
    first, second = (await admin.tasks(bench.queue, Place.SCHEDULED, newest_first=False)).rows
    assert first.error == "httpx.ReadTimeout: no answer"
    assert (first.state, first.attempt, first.failures) == (State.SCHEDULED, 1, 1)
    assert first.due_at_ms == first.since_ms
    assert first.due_at_ms is not None
    assert 0 < first.due_at_ms - bench.now_ms() <= LATER_MS
    assert second.task_id == bench.id("b")
    assert second.started_at_ms is None
    assert await names(admin, bench, Place.SCHEDULED) == ["b", "a"]


async def test_running_tasks_of_all_workers_are_listed(admin: Admin, bench: Bench) -> None:
    bench.running("w", "a", "b")
    bench.running("v", "c")
    page = await admin.tasks(bench.queue, Place.RUNNING)
    assert sorted(bench.names(row.task_id for row in page.rows)) == ["a", "b", "c"]
    assert {row.worker for row in page.rows} == {"v", "w"}
    assert (page.total, page.scanned) == (3, 3)
    assert all(row.since_ms == row.started_at_ms for row in page.rows)
    for limit in (1, 2):
        assert sorted(await names(admin, bench, Place.RUNNING, limit=limit)) == ["a", "b", "c"]
    mine = Filter(worker="v")
    assert await names(admin, bench, Place.RUNNING, mine) == ["c"]


async def test_held_tasks_are_those_of_limits_shelves_and_suspects(
    admin: Admin, bench: Bench
) -> None:
    bench.register("w", capped=JobLimits(max_running=1))
    bench.run(enqueueing.enqueue(bench.queue, [bench.task(f"c{i}", "capped") for i in range(3)]))
    assert len(bench.claim("w")) == 1
    (declined,) = bench.running("v", "d")
    why = Failure("UnknownJob", "none")
    bench.run(reporting.decline(bench.queue, "v", declined.task_id, 1, "sig", why))
    bench.running("x", "s")
    bench.recover("x")
    bench.register("y")
    assert [a.task_id for a in bench.claim("y")] == [bench.id("s")]
    bench.recover("y")
    for limit in (1, 2, 50):
        found = await names(admin, bench, Place.HELD, limit=limit)
        assert sorted(found) == ["c1", "c2", "d", "s"]
    assert (await admin.tasks(bench.queue, Place.HELD)).total == 4
    assert await names(admin, bench, Place.PENDING) == []
    capped = Filter(job="capped")
    assert await names(admin, bench, Place.HELD, capped, newest_first=False) == ["c1", "c2"]


async def test_a_rate_limited_task_is_held_too(admin: Admin, bench: Bench) -> None:
    bench.register("w", job=JobLimits(rate_limit=RateLimit(1, 3_600, burst=1)))
    bench.enqueue("a", "b")
    assert len(bench.claim("w")) == 1
    assert await names(admin, bench, Place.HELD) == ["b"]


async def test_dead_letters_are_listed_with_their_end(admin: Admin, bench: Bench) -> None:
    fail(bench, "w", "a", Failure("ValueError", "x" * 500, "trace"))
    (row,) = (await admin.tasks(bench.queue, Place.DEAD)).rows
    assert row.state is State.FAILED
    assert row.error == ("ValueError: " + "x" * 500)[:200]
    assert row.since_ms == row.finished_at_ms
    assert row.worker == "w"


async def test_an_error_is_cut_between_characters(admin: Admin, bench: Bench) -> None:
    fail(bench, "w", "a", Failure("E", "ä" * 300))
    fail(bench, "v", "b", Failure("E", "xä" * 300))
    for row in (await admin.tasks(bench.queue, Place.DEAD)).rows:
        assert row.error is not None
        assert set(row.error) <= set("E: xä")
        assert len(row.error) > 60


async def test_dead_letters_of_one_moment_are_all_listed(admin: Admin, bench: Bench) -> None:
    bench.running("w", *(f"t{i}" for i in range(9)))
    for i in range(9):
        bench.run(reporting.bury(bench.queue, "w", bench.id(f"t{i}"), 1, FAILURE))
    bench.raw.zadd(bench.keys.dead, {bench.id(f"t{i}"): 5 for i in range(9)})
    for order in (True, False):
        found = await names(admin, bench, Place.DEAD, limit=2, newest_first=order)
        assert sorted(found) == sorted(f"t{i}" for i in range(9))


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_list_whose_anchor_vanishes_leaves_nothing_out(
    admin: Admin, bench: Bench, newest_first: bool
) -> None:
    """Dead letters are replayed while somebody reads them page by page."""
    ids = [f"t{i}" for i in range(9)]
    bench.running("w", *ids)
    for name in ids:
        bench.run(reporting.bury(bench.queue, "w", bench.id(name), 1, FAILURE))
    seen: list[str] = []
    cursor = None
    for _ in range(100):
        page = await admin.tasks(
            bench.queue, Place.DEAD, limit=2, cursor=cursor, newest_first=newest_first
        )
        seen += bench.names(row.task_id for row in page.rows)
        cursor = page.cursor
        if cursor is None:
            break
        bench.run(acting.replay(bench.queue, [page.rows[-1].task_id]))
    assert sorted(set(seen)) == ids


# --- a list that moves ---


async def read_while(
    admin: Admin, bench: Bench, newest_first: bool, step: Any, limit: int = 3
) -> list[str]:
    """Read all pages of the pending tasks, and do something before each further page."""
    seen: list[str] = []
    cursor = None
    for number in range(1_000):
        page = await admin.tasks(
            bench.queue, Place.PENDING, limit=limit, cursor=cursor, newest_first=newest_first
        )
        seen += bench.names(row.task_id for row in page.rows)
        cursor = page.cursor
        if cursor is None:
            return seen
        step(number)
    raise AssertionError("no end")


@pytest.mark.parametrize("newest_first", [True, False])
async def test_nothing_is_left_out_or_repeated_while_tasks_come_and_go(
    admin: Admin, bench: Bench, newest_first: bool
) -> None:
    old = [f"t{i:02}" for i in range(30)]
    bench.enqueue(*old)
    bench.register("w")
    claimed: list[str] = []

    def step(number: int) -> None:
        if newest_first or number < 5:  # else the list would never end
            bench.enqueue(f"new{number}a", f"new{number}b")
        if number < 4:
            claimed.extend(bench.names(a.task_id for a in bench.claim("w", 1)))

    seen = await read_while(admin, bench, newest_first, step)
    assert set(old) - set(claimed) <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("newest_first", [True, False])
async def test_nothing_is_left_out_when_the_last_entry_read_was_claimed(
    admin: Admin, bench: Bench, newest_first: bool
) -> None:
    old = [f"t{i:02}" for i in range(20)]
    bench.enqueue(*old)
    bench.register("w")
    claimed: list[str] = []

    def step(_number: int) -> None:
        if len(claimed) < 10:
            claimed.extend(bench.names(a.task_id for a in bench.claim("w", 5)))

    seen = await read_while(admin, bench, newest_first, step)
    assert set(old) - set(claimed) <= set(seen)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("state", ["pending", "running", "succeeded", "failed", "forgotten"])
async def test_nothing_is_left_out_when_the_list_has_moved_far(
    admin: Admin, bench: Bench, state: str, newest_first: bool
) -> None:
    """More entries were claimed than a page looks at to find the last one that was read."""
    old = [f"t{i:04}" for i in range(6_000)]
    for first in range(0, len(old), BATCH_TASKS):
        bench.enqueue(*old[first : first + BATCH_TASKS])
    how: dict[str, Any] = {"newest_first": newest_first, "limit": 1_000}
    pages = [await admin.tasks(bench.queue, Place.PENDING, **how)]
    if not newest_first:
        for _ in range(3):
            pages.append(
                await admin.tasks(bench.queue, Place.PENDING, cursor=pages[-1].cursor, **how)
            )
    anchor = pages[-1].rows[-1].task_id
    bench.raw.lpop(bench.keys.pending, 3_000)  # as claims do
    key = packing.unpack(bench.raw, anchor)
    if state == "forgotten":
        bench.raw.delete(key)
    else:
        bench.raw.hset(key, "state", state)
    while (cursor := pages[-1].cursor) is not None:
        pages.append(await admin.tasks(bench.queue, Place.PENDING, cursor=cursor, **how))
    seen = {name for page in pages for name in bench.names(row.task_id for row in page.rows)}
    assert set(old[3_000:]) - {bench.names([anchor])[0]} <= seen


async def test_nothing_is_left_out_while_what_was_read_is_cancelled(
    admin: Admin, bench: Bench
) -> None:
    old = [f"t{i:02}" for i in range(20)]
    bench.enqueue(*old)
    seen: list[str] = []
    cursor = None
    for _ in range(100):
        page = await admin.tasks(bench.queue, Place.PENDING, limit=3, cursor=cursor)
        seen += bench.names(row.task_id for row in page.rows)
        for row in page.rows:
            bench.run(one_task.cancel(row.task_id))
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == old[::-1]


async def test_cancelled_and_expired_tasks_are_not_listed(admin: Admin, bench: Bench) -> None:
    bench.enqueue("a", "b", "c", "d")
    bench.enqueue("e", expires=LATER_MS)
    bench.run(one_task.cancel(bench.id("b")))
    bench.expire("e")
    page = await admin.tasks(bench.queue, Place.PENDING)
    assert bench.names(row.task_id for row in page.rows) == ["d", "c", "a"]
    assert (page.scanned, page.total) == (5, 4)


async def test_an_id_that_was_cancelled_and_enqueued_again_is_listed_once(
    admin: Admin, bench: Bench
) -> None:
    bench.enqueue("x", "a", "b")
    bench.run(one_task.cancel(bench.id("a")))
    bench.enqueue("a", replace=True)
    assert await names(admin, bench, Place.PENDING) == ["a", "b", "x"]


# --- filters ---


async def test_filters_by_job_id_and_text(admin: Admin, bench: Bench) -> None:
    tasks = [
        bench.task("order-1", "send"),
        bench.task("order-2", "read"),
        bench.task("user-1", "send"),
    ]
    bench.run(enqueueing.enqueue(bench.queue, tasks))

    async def found(**conditions: Any) -> list[str]:
        return sorted(await names(admin, bench, Place.PENDING, Filter(**conditions)))

    assert await found(job="send") == ["order-1", "user-1"]
    assert await found(id_prefix="order-") == ["order-1", "order-2"]
    assert await found(id_prefix=bench.id("user")) == ["user-1"]
    assert await found(id_prefix="order", job="read") == ["order-2"]
    assert await found(text="ser-1") == ["user-1"]
    assert await found(text=".*") == []
    assert await found(job="none") == []


async def test_filters_by_error(admin: Admin, bench: Bench) -> None:
    fail(bench, "w", "a", Failure("ValueError", "no"))
    fail(bench, "v", "b", Failure("httpx.ReadTimeout", "no"))
    for error, expected in {
        "ValueError": ["a"],
        "builtins.ValueError": ["a"],
        "ReadTimeout": ["b"],
        "httpx.ReadTimeout": ["b"],
        "Timeout": [],
    }.items():
        assert await names(admin, bench, Place.DEAD, Filter(error=error)) == expected


async def test_filters_by_age_count_from_the_time_of_the_place(admin: Admin, bench: Bench) -> None:
    bench.running("w", "a", "b", "c")
    for i, name in enumerate("abc"):
        bench.run(reporting.bury(bench.queue, "w", bench.id(name), 1, FAILURE))
        bench.raw.zadd(bench.keys.dead, {bench.id(name): bench.now_ms() - i * LATER_MS - 10_000})
    bench.enqueue("p", "q")
    bench.wait_long([bench.id("p")])

    async def found(place: Place, **words: str) -> list[str]:
        both = [
            await names(admin, bench, place, Filter.parse(words), newest_first=order, limit=1)
            for order in (True, False)
        ]
        assert both[0] == both[1][::-1]
        return both[0]

    assert await found(Place.DEAD, since="30m") == ["a"]
    assert await found(Place.DEAD, since="90m") == ["a", "b"]
    assert await found(Place.DEAD, older="30m", since="90m") == ["b"]
    assert await found(Place.DEAD, older="3h") == []
    assert await found(Place.PENDING, since="1m") == ["q"]
    assert await found(Place.PENDING, older="1m") == ["p"]
    page = await admin.tasks(bench.queue, Place.DEAD, Filter.parse({"since": "30m"}))
    assert (page.scanned, page.total) == (1, 3), "the others were not looked at"


async def test_a_filter_by_worker_knows_incarnation_and_pod(admin: Admin, bench: Bench) -> None:
    info = {"host": "node-7", "pod_name": "reader-abc", "pod_uid": "uid"}
    bench.run(leasing.register(bench.queue, "uid.1", 60_000, info))
    bench.enqueue("a", "b")
    bench.claim("uid.1", 1)
    for word in ("uid.1", "reader-abc", "uid", "node-7"):
        assert await names(admin, bench, Place.RUNNING, Filter(worker=word)) == ["a"]
    assert await names(admin, bench, Place.RUNNING, Filter(worker="other")) == []


async def test_a_page_looks_at_no_more_than_it_may(admin: Admin, bench: Bench) -> None:
    bench.enqueue(*(f"t{i}" for i in range(120)))
    bench.enqueue(*(f"t{i}" for i in range(120, 240)))
    rare = Filter(id_prefix="t7")
    pages = await walk(admin, bench, Place.PENDING, rare, scan_limit=50, newest_first=False)
    assert [page.scanned for page in pages] == [50, 50, 50, 50, 40]
    assert [len(page.rows) for page in pages] == [1, 10, 0, 0, 0]
    assert {page.total for page in pages} == {240}


async def test_a_list_of_thousands_is_read_in_several_calls(admin: Admin, bench: Bench) -> None:
    payload = codec.encode_task(Task("job", ("x",)))
    for first in range(0, 1_200, 200):
        tasks = [bench.task(f"t{i:04}", "job") for i in range(first, first + 200)]
        bench.redis.run(enqueueing.enqueue(bench.queue, tasks))
    assert payload
    page = await admin.tasks(bench.queue, Place.PENDING, Filter(id_prefix="t0"), limit=1_000)
    assert (len(page.rows), page.scanned, page.cursor) == (1_000, 1_200, page.cursor)
    found = await names(admin, bench, Place.PENDING, limit=777)
    assert found == sorted(found, reverse=True)
    assert len(found) == 1_200


# --- what is refused ---


@pytest.mark.parametrize(
    "how",
    [
        {"limit": 0},
        {"limit": 1_001},
        {"limit": True},
        {"scan_limit": 0},
        {"cursor": "no cursor"},
        {"cursor": ""},
        {"cursor": "AAAA"},
    ],
)
async def test_a_wrong_argument_is_refused(admin: Admin, bench: Bench, how: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await admin.tasks(bench.queue, Place.PENDING, **how)


async def test_a_cursor_of_another_list_is_refused(admin: Admin, bench: Bench) -> None:
    bench.enqueue("a", "b")
    cursor = (await admin.tasks(bench.queue, Place.PENDING, limit=1)).cursor
    assert cursor is not None
    with pytest.raises(InvalidInput, match="another list"):
        await admin.tasks(bench.queue, Place.DEAD, cursor=cursor)
    with pytest.raises(InvalidInput, match="another order"):
        await admin.tasks(bench.queue, Place.PENDING, cursor=cursor, newest_first=False)


async def test_a_place_and_a_filter_of_another_type_are_refused(admin: Admin, bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="place"):
        await admin.tasks(bench.queue, "everywhere")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="filter"):
        await admin.tasks(bench.queue, Place.DEAD, {"job": "x"})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        await admin.tasks("No Queue", Place.DEAD)


async def test_readers_do_not_disturb_each_other(admin: Admin, bench: Bench) -> None:
    ids = [f"t{i:02}" for i in range(30)]
    bench.enqueue(*ids)
    both = await asyncio.gather(
        names(admin, bench, Place.PENDING, limit=3),
        names(admin, bench, Place.PENDING, limit=4, newest_first=False),
    )
    assert both == [ids[::-1], ids]
