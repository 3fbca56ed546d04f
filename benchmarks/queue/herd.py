"""Costs of many idle workers in Redis for each task: idenTTqueue only.

Whatever calls a script for nothing, because another worker has been first, is counted here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.cases import Case
from benchmarks.queue.bench import Bench
from benchmarks.queue.measures import START_SECONDS, Numbers, wait_for_workers
from identtqueue.admin import BlockingAdmin

WORKERS = 40
TASKS = 200
IDLE_SECONDS = 3.0
"""How long it is counted what the workers call without any task."""

DELAY_MS, GAP_MS = 1000, 20
"""Scheduled tasks: when the first one is due, and the time between two."""


def scheduled(bench: Bench, case: Case) -> Numbers:
    """Tasks that become due one after the other, each while all workers are idle."""

    def enqueue(tally: Path) -> None:
        bench.ask(case, tally, "scheduled", TASKS, DELAY_MS, GAP_MS)

    return _calls(bench, case, enqueue)


def limited(bench: Bench, case: Case) -> Numbers:
    """Tasks of a job of which few may run at the same time, enqueued in one batch."""
    limited_case = replace(case, job="limited")

    def enqueue(tally: Path) -> None:
        bench.ask(limited_case, tally, "fill", TASKS)

    return _calls(bench, limited_case, enqueue)


def _calls(bench: Bench, case: Case, enqueue: Callable[[Path], None]) -> Numbers:
    """Script calls and commands per task, the enqueue included, without what idle workers call."""
    tally = bench.fresh()
    with (
        BlockingAdmin(bench.server.address, actor="bench") as admin,
        bench.workers(replace(case, processes=WORKERS), tally),
    ):
        wait_for_workers(admin, WORKERS)
        began, scripts, load = time.monotonic(), bench.script_calls(), bench.load()
        time.sleep(IDLE_SECONDS)
        seconds = time.monotonic() - began
        idle_scripts = (bench.script_calls() - scripts) / seconds
        idle_commands = bench.load().since(load).commands / seconds
        began, scripts, load = time.monotonic(), bench.script_calls(), bench.load()
        enqueue(tally)
        bench.wait_for_jobs(tally, TASKS, START_SECONDS)
        seconds = time.monotonic() - began
        used = bench.script_calls() - scripts - idle_scripts * seconds
        commands = bench.load().since(load).commands - idle_commands * seconds
    return {
        "scripts": used / TASKS,
        "commands": commands / TASKS,
        "idle_scripts_per_second": idle_scripts,
    }
