"""A queue with a million pending tasks against an empty one: idenTTqueue only.

The two servers take turns, so that a busy moment of the machine hits both. Each turn has an empty
server of its own: one that has been emptied would have its memory already.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.cases import Case
from benchmarks.harness.processes import rss_bytes
from benchmarks.harness.tally import jobs_in, span
from benchmarks.queue.bench import Bench, Load
from benchmarks.queue.measures import QUEUE, START_SECONDS, Numbers
from identtqueue.protocol.keys import queue_keys

PAIRS = 5
"""Runs on each of the two servers, of each part."""

ENQUEUED = 20_000
WORKED = 20_000
CANCELLED = 2_000
DRAIN_SECONDS = 600.0

Part = Callable[[Bench, Path, bool], Numbers]


def long_queue(bench: Bench, case: Case, number: int, *, drain: bool) -> Numbers:
    """Rates and Redis CPU on the long queue by those on the empty one; medians of the pairs.

    `work`: a worker claims, runs and finishes tasks. `cancel`: half of the tasks stand in the
    middle of the long queue, the others at its end. `among`: as `work`, with these cancelled tasks
    in the long queue, and none in the empty one. Its middle must not be reached before.

    Args:
        bench: the server of the long queue.
        case: how ours runs.
        number: of tasks that are pending.
        drain: also work the queue off, and look at the worker's memory meanwhile.
    """
    worked = min(WORKED, number // 50)
    middle: list[str] = []
    bench.fresh()
    for share in range(10):
        _enqueue_many(bench, case, number // 10)
        if share == 4:
            middle = bench.ask(case, bench.next_tally(), "leave", PAIRS * CANCELLED // 2)

    def enqueue(where: Bench, tally: Path, _: bool) -> Numbers:
        before = where.load()
        answer = where.ask(case, tally, "single", ENQUEUED)
        return _rate(where, before, answer["seconds"], ENQUEUED)

    def cancel(where: Bench, tally: Path, is_long: bool) -> Numbers:
        ids = [middle.pop() for _ in range(CANCELLED // 2)] if is_long else []
        ids += where.ask(case, tally, "leave", CANCELLED - len(ids))
        before = where.load()
        answer = where.ask(case, tally, "cancel", *ids)
        return _rate(where, before, answer["seconds"], CANCELLED)

    def work(where: Bench, tally: Path, is_long: bool) -> Numbers:
        if not is_long:
            _enqueue_many(where, case, worked)
        with where.workers(case, tally):
            started = where.wait_for_jobs(tally, 1, START_SECONDS)
            before = where.load()
            done = where.wait_for_jobs(tally, worked * 9 // 10, START_SECONDS)
            numbers = _rate(where, before, 1, done - started)
        return numbers | {"per_second": span(tally, 0, worked * 9 // 10).rate}

    found: Numbers = {"tasks": number}
    for name, part in (("enqueue", enqueue), ("work", work), ("cancel", cancel)):
        found |= _pairs(name, part, bench)
    found["cancelled"] = int(bench.redis.hget(queue_keys(QUEUE).tombstones, "") or 0)
    found |= _pairs("among", work, bench)
    rest = number - PAIRS * (2 * worked + CANCELLED)
    return found | (_drained(bench, case, rest) if drain else {})


def _enqueue_many(bench: Bench, case: Case, number: int) -> None:
    bench.ask(case, bench.next_tally(), "fill", number)


def _rate(bench: Bench, before: Load, seconds: float, number: int) -> Numbers:
    used = bench.load().since(before)
    return {"per_second": number / seconds, "redis_us": used.cpu_seconds / number * 1e6}


def _pairs(name: str, part: Part, long: Bench) -> Numbers:
    """One part on both servers in turn, now the one first and now the other."""
    runs: dict[bool, list[Numbers]] = {True: [], False: []}
    for number in range(PAIRS):
        for is_long in (True, False) if number % 2 else (False, True):
            if is_long:
                runs[True].append(part(long, long.next_tally(), True))
                continue
            with Bench() as empty:
                runs[False].append(part(empty, empty.next_tally(), False))
    pairs = list(zip(runs[True], runs[False], strict=True))
    return {
        f"{name}_ratio": statistics.median(a["per_second"] / b["per_second"] for a, b in pairs),
        f"{name}_redis": statistics.median(b["redis_us"] / a["redis_us"] for a, b in pairs),
        f"{name}_long": statistics.median(a["per_second"] for a, _ in pairs),
        f"{name}_empty": statistics.median(b["per_second"] for _, b in pairs),
    }


def _drained(bench: Bench, case: Case, number: int) -> Numbers:
    """The memory of one worker that works so many tasks off."""
    tally = bench.next_tally()
    with bench.workers(case, tally) as pids:
        bench.wait_for_jobs(tally, number // 10, START_SECONDS)
        first = rss_bytes(pids) / 1e6
        bench.wait_for_jobs(tally, number, DRAIN_SECONDS)
        last = rss_bytes(pids) / 1e6
    return {"rss_first_mb": first, "rss_last_mb": last, "ran": jobs_in(tally)}
