"""Celery with Redis as broker and result backend.

Best: one prefork child (faster on no-ops than threads, greenlets or the solo pool), so one task at
a time; no gossip, mingle or heartbeat, no rate limits, no events, a long prefetch.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    LONGEST_TASK_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

CONFIGURATION = "https://docs.celeryq.dev/en/stable/userguide/configuration.html"
REDIS = "https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html"
WORKERS = "https://docs.celeryq.dev/en/stable/userguide/workers.html"

promise = Promise(
    "at most once",
    "acknowledged before it runs, so at most once, unless `task_acks_late` is set",
    "https://docs.celeryq.dev/en/stable/userguide/tasks.html#Task.acks_late",
    {
        "task_acks_late": f"{CONFIGURATION}#task-acks-late",
        "task_reject_on_worker_lost": f"{CONFIGURATION}#task-reject-on-worker-lost",
        "worker_prefetch_multiplier=1": f"{CONFIGURATION}#worker-prefetch-multiplier",
        f"visibility_timeout={LONGEST_TASK_SECONDS}": f"{REDIS}#visibility-timeout",
        f"worker_soft_shutdown_timeout={GRACE_SECONDS}": f"{WORKERS}#soft-shutdown",
        "REMAP_SIGTERM=SIGQUIT": f"{WORKERS}#remap-sigterm",
    },
)

app = Celery("bench", broker=setup.redis, backend=setup.redis)
if setup.best:
    app.conf.update(
        worker_disable_rate_limits=True,
        worker_prefetch_multiplier=128,
        worker_send_task_events=False,
        task_send_sent_event=False,
    )
if setup.reliable:
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": LONGEST_TASK_SECONDS},
        result_backend_transport_options={"visibility_timeout": LONGEST_TASK_SECONDS},
        worker_soft_shutdown_timeout=float(GRACE_SECONDS),
    )


@app.task(name="noop")
def noop(value: int) -> int:
    tally.count()
    return value


@app.task(name="hold")
def hold(label: str, seconds: float) -> str:
    return ledger.hold_blocking(label, seconds)


def work() -> None:
    words = ["--app=benchmarks.harness.adapters.celery", "worker"]
    if setup.best:
        words += ["--loglevel=WARNING", "--concurrency=1"]
        words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    else:
        words += ["--loglevel=INFO", f"--concurrency={setup.concurrency or 1}"]
    if setup.reliable:
        os.environ["REMAP_SIGTERM"] = "SIGQUIT"
    run_command("celery", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        app.close()

    def enqueue(self, value: int) -> Any:
        return noop.delay(value)

    def result(self, task: Any) -> int:
        return task.get(timeout=30)

    def enqueue_hold(self, label: str, seconds: float) -> str:
        return hold.delay(label, seconds).id

    def outcome(self, task_id: str) -> str | None:
        state = app.AsyncResult(task_id).state
        return {"SUCCESS": SUCCEEDED, "FAILURE": FAILED, "REVOKED": FAILED}.get(state)
