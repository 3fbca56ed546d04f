"""Checks of the workers: do they live, and do they get on with their tasks?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from identtqueue.admin import WorkerInfo
from identtqueue.cli.display.times import duration
from identtqueue.cli.doctor.facts import Facts
from identtqueue.cli.doctor.finding import Finding, Level, bad_or_well, many

OVERDUE_MS: Final = 60_000
"""How long after its timeout an attempt may take to end, before its worker counts as stuck. By then
a worker that works has cut it off and recorded its end."""

ENDLESS_MS: Final = 86_400_000
"""An attempt without a timeout that runs longer than a day may hang."""


def silent(facts: Facts) -> list[Finding]:
    """Find workers that don't renew their lease, or have lost their connection."""

    def away() -> Iterator[Finding]:
        for queue in facts.queues:
            for worker in queue.workers:
                tasks = f"it has {many(worker.in_flight, 'task')} of queue {queue.name}"
                if worker.lease_expires_in_ms < 0:
                    since = duration(-worker.lease_expires_in_ms)
                    found = f"its lease ran out {since} ago, and nobody has recovered it; {tasks}"
                    mend = "start a worker or the operator: they recover its tasks"
                    level = Level.ERROR if worker.in_flight else Level.WARNING
                    yield Finding("silent workers", level, found, mend, named(worker))
                elif not worker.connected:
                    left = duration(worker.lease_expires_in_ms)
                    found = f"no process listens for it: it is dead, or cut off from Redis; {tasks}"
                    mend = f"if it is dead, others recover its tasks in {left} at most; else read "
                    mend += "its log"
                    yield Finding("silent workers", Level.WARNING, found, mend, named(worker))
                elif worker.flaw:
                    found = f"its entry in queue {queue.name} can't be read: {worker.flaw}"
                    mend = "find out what else writes to this Redis"
                    yield Finding("silent workers", Level.WARNING, found, mend, named(worker))

    return bad_or_well("silent workers", away(), "all workers renew their leases and listen")


def stuck(facts: Facts) -> list[Finding]:
    """Find workers that go on renewing their lease while an attempt does not end."""

    def overdue() -> Iterator[Finding]:
        for queue in facts.queues:
            by_id = {worker.worker_id: worker for worker in queue.workers}
            for task in queue.running:
                worker = by_id.get(task.worker_id)
                who = task.worker_id if worker is None else named(worker)
                if task.timeout_ms is not None and task.ran_ms > task.timeout_ms + OVERDUE_MS:
                    found = f"{task.job} ({task.task_id}) runs for {duration(task.ran_ms)}, its "
                    found += f"timeout is {duration(task.timeout_ms)}: the worker is stuck"
                    yield Finding("stuck workers", Level.ERROR, found, _restart(worker), who)
                elif task.timeout_ms is None and task.ran_ms > ENDLESS_MS:
                    found = f"{task.job} ({task.task_id}) runs for {duration(task.ran_ms)}, and "
                    found += "has no timeout"
                    mend = f"identtqueue cancel {task.task_id}; give the job a timeout_seconds"
                    yield Finding("stuck workers", Level.WARNING, found, mend, who)

    return bad_or_well("stuck workers", overdue(), "no attempt runs beyond its timeout")


def versions(facts: Facts) -> list[Finding]:
    """Find queues whose workers run different releases of this library."""

    def different() -> Iterator[Finding]:
        for queue in facts.queues:
            releases: dict[str, int] = {}
            for worker in queue.workers:
                release = worker.version or "unknown"
                releases[release] = releases.get(release, 0) + 1
            if len(releases) > 1:
                parts = ", ".join(f"{n} with {r}" for r, n in sorted(releases.items()))
                found = f"its workers run different releases: {parts}"
                mend = "finish the rollout; `identtqueue workers` shows which is where"
                yield Finding("releases", Level.WARNING, found, mend, f"queue {queue.name}")

    known = {w.version for queue in facts.queues for w in queue.workers if w.version}
    well = f"all workers run {', '.join(sorted(known))}" if known else "no workers to compare"
    return bad_or_well("releases", different(), well)


def named(worker: WorkerInfo) -> str:
    """Name a worker as people know it: by its pod, else by its host and its id."""
    if worker.pod_name:
        return f"pod {worker.pod_name}"
    return f"worker {worker.worker_id}"


def _restart(worker: WorkerInfo | None) -> str:
    if worker is not None and worker.pod_name:
        return f"kubectl delete pod {worker.pod_name}"
    where = f" on {worker.host}" if worker is not None else ""
    return f"restart it{where}: other workers then run its tasks"
