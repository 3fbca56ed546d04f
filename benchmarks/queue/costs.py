"""Costs of tasks and workers before any work is done: memory in Redis, and the start."""

from __future__ import annotations

import statistics

from benchmarks.harness.agent import COROUTINES
from benchmarks.harness.cases import Case
from benchmarks.queue.bench import Bench
from benchmarks.queue.measures import START_SECONDS, Numbers

TASKS_IN_MEMORY = 640 * COROUTINES
"""So many that what the first of them cost once (scripts, groups, indexes) no longer counts."""

STARTS = 3
"""How many times a worker is started, one after the other; the median counts."""


def memory(bench: Bench, case: Case) -> Numbers:
    """Bytes of Redis per pending task with an argument of 85 bytes: a difference over many."""
    tally = bench.fresh()
    bench.ask(case, tally, "texts", 10 * COROUTINES)
    before = bench.used_memory()
    bench.ask(case, tally, "texts", TASKS_IN_MEMORY)
    return {"bytes": (bench.used_memory() - before) / TASKS_IN_MEMORY}


def start(bench: Bench, case: Case) -> Numbers:
    """Seconds from exec of a worker until the first task runs, which waits for it."""
    found = []
    for _ in range(STARTS):
        tally = bench.fresh()
        bench.ask(case, tally, "fill", 1)
        found.append(bench.seconds_to_first_job(case, tally, START_SECONDS))
    return {"seconds": statistics.median(found)}
