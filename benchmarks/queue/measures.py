"""What is measured. Each function makes one run and gives plain numbers.

A run's size comes from a rate seen before, so that it takes about as long for each library; all
waits are bounded.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.cases import Case
from benchmarks.harness.processes import cpu_seconds, rss_bytes
from benchmarks.harness.tally import jobs_in, span
from benchmarks.queue.bench import Bench
from identtqueue.protocol.calls import acting, inspecting
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings

START_SECONDS = 60.0
"""The longest that a worker may take to its first job."""

QUEUE = "bench"

Numbers = dict[str, Any]


def work(bench: Bench, case: Case, number: int) -> Numbers:
    """Rate and cost of no-op tasks that wait in the queue when the worker starts."""
    tally = bench.fresh()
    bench.ask(case, tally, "fill", number)
    with bench.workers(case, tally) as pids:
        numbers = _observe(bench, pids, tally, number)
        numbers["stored"] = _stored(bench, case, number)
    return numbers


def scaling(bench: Bench, case: Case, number: int) -> Numbers:
    """As `work`, for idenTTqueue: nobody starts before all worker processes are there."""
    tally = bench.fresh()
    bench.ask(case, tally, "fill", number)
    client = blocking_redis(
        RedisSettings(address=bench.server.address), client_name="bench", retry_for_seconds=0
    )
    client.run(acting.pause(QUEUE, stop=True))
    with bench.workers(case, tally) as pids:
        end = time.monotonic() + START_SECONDS
        while len(client.run(inspecting.workers(QUEUE))) < case.processes:
            if time.monotonic() > end:
                raise RuntimeError(f"not all of {case.processes} workers registered")
            time.sleep(0.05)
        client.run(acting.pause(QUEUE, stop=False))
        client.close()
        return _observe(bench, pids, tally, number)


def _observe(bench: Bench, pids: list[int], tally: Path, number: int) -> Numbers:
    started = bench.wait_for_jobs(tally, 1, START_SECONDS)
    cpu, load = cpu_seconds(pids), bench.load()
    bench.wait_for_jobs(tally, number, 120)
    used_cpu, used = cpu_seconds(pids) - cpu, bench.load().since(load)
    done = max(1, number - started)
    return {
        "per_second": span(tally).rate,
        "jobs": number,
        "worker_us": used_cpu / done * 1e6,
        "redis_us": used.cpu_seconds / done * 1e6,
        "commands": used.commands / done,
        "reads": used.reads / done,
        "rss_mb": rss_bytes(pids) / 1e6,
    }


def _stored(bench: Bench, case: Case, number: int) -> bool:
    """Whether there is a result for each task; the last ones are on their way for a moment."""
    for _ in range(100):
        if case.library.stored(bench.redis) >= number:
            return True
        time.sleep(0.05)
    return False


def enqueue(bench: Bench, case: Case, role: str, number: int) -> Numbers:
    """Rate and cost of enqueueing: `single` (32 at a time), `batched`, `blocking-single`."""
    tally = bench.fresh()
    before = bench.load()
    answer = bench.ask(case, tally, role, number)
    if not answer:
        return {}
    used = bench.load().since(before)
    return {
        "per_second": number / answer["seconds"],
        "client_us": answer["cpu_seconds"] / number * 1e6,
        "redis_us": used.cpu_seconds / number * 1e6,
    }


def callers(bench: Bench, case: Case, role: str, number: int, ways: int) -> Numbers:
    """Enqueueing by so many callers at a time, each one task after the other."""
    tally = bench.fresh()
    answer = bench.ask(case, tally, role, number, ways)
    return {"per_second": number / answer["seconds"]}


def latency(bench: Bench, case: Case, seconds: int) -> Numbers:
    """From enqueue to result, one after the other, on an idle worker."""
    tally = bench.fresh()
    with bench.workers(case, tally) as pids:
        times = bench.ask(case, tally, "latency", seconds)["ms"]
        rss = rss_bytes(pids) / 1e6
    times.sort()
    return {
        "p50_ms": statistics.median(times),
        "p99_ms": times[min(len(times) - 1, round(len(times) * 0.99))],
        "times": len(times),
        "idle_rss_mb": rss,
    }


def million(bench: Bench, case: Case, number: int, slice_: int) -> Numbers:
    """A long queue against an empty one, and memory over many tasks.

    `enqueue`, `work`: the rate over the last and the first `slice_` tasks, when the queue is full,
    by that over the first and the last ones, when it is empty.
    """
    tally = bench.fresh()
    rates = [
        slice_ / bench.ask(case, tally, "fill", slice_)["seconds"] for _ in range(number // slice_)
    ]
    with bench.workers(case, tally) as pids:
        bench.wait_for_jobs(tally, slice_, START_SECONDS)
        rss_before = rss_bytes(pids) / 1e6
        bench.wait_for_jobs(tally, number, 600)
        time.sleep(1)
        rss_after = rss_bytes(pids) / 1e6
    full, empty = span(tally, 0, slice_).rate, span(tally, -slice_).rate
    return {
        "tasks": number,
        "enqueue_empty": rates[0],
        "enqueue_full": rates[-1],
        "work_full": full,
        "work_empty": empty,
        "rss_first_mb": rss_before,
        "rss_last_mb": rss_after,
        "ran": jobs_in(tally),
    }
