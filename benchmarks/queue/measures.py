"""The measures. Each function makes one run and gives plain numbers.

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
from benchmarks.harness.tally import span
from benchmarks.queue.bench import Bench
from identtqueue.admin import BlockingAdmin

START_SECONDS = 60.0
"""The longest that a worker may take to its first job."""

QUEUE = "bench"

WARM = 320
"""Tasks that run before those that count, where jobs have processes to start."""

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
    """Measure the work of several workers of idenTTqueue, which begin when all have registered."""
    tally = bench.fresh()
    bench.ask(case, tally, "fill", number)
    with BlockingAdmin(bench.server.address, actor="bench") as admin:
        admin.pause(QUEUE)
        with bench.workers(case, tally) as pids:
            wait_for_workers(admin, case.processes)
            admin.resume(QUEUE)
            return _observe(bench, pids, tally, number)


def process_jobs(bench: Bench, case: Case, number: int) -> Numbers:
    """Measure the work of jobs in processes, which `WARM` tasks have started before.

    Each of the first tasks waits for a process of its own. So all processes are there when the last
    of these tasks has run.
    """
    tally = bench.fresh()
    with (
        BlockingAdmin(bench.server.address, actor="bench") as admin,
        bench.workers(case, tally) as pids,
    ):
        bench.ask(case, tally, "fill", WARM)
        bench.wait_for_jobs(tally, WARM, START_SECONDS)
        admin.pause(QUEUE)
        bench.ask(case, tally, "fill", number)
        admin.resume(QUEUE)
        return _observe(bench, pids, tally, number, warm=WARM)


def wait_for_workers(admin: BlockingAdmin, number: int) -> None:
    """Wait until so many workers of idenTTqueue have registered.

    Raises:
        RuntimeError: not in time.
    """
    end = time.monotonic() + START_SECONDS
    while len(admin.workers(QUEUE)) < number:
        if time.monotonic() > end:
            raise RuntimeError(f"not all of {number} workers registered")
        time.sleep(0.05)


def _observe(bench: Bench, pids: list[int], tally: Path, number: int, *, warm: int = 0) -> Numbers:
    """Wait until so many jobs have run, besides the `warm` ones that ran before."""
    started = bench.wait_for_jobs(tally, warm + 1, START_SECONDS)
    cpu, load = cpu_seconds(pids), bench.load()
    bench.wait_for_jobs(tally, warm + number, 120)
    used_cpu, used = cpu_seconds(pids) - cpu, bench.load().since(load)
    done = max(1, warm + number - started)
    return {
        "per_second": span(tally, warm).rate,
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
