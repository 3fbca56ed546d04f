"""Celery with Redis as broker and result backend.

Best: one prefork child (faster on no-ops than threads, greenlets or the solo pool), so one task at
a time; no gossip, mingle or heartbeat, no rate limits, no events, a long prefetch.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from adapters.base import quiet, run_command, setup, tally

app = Celery("bench", broker=setup.redis, backend=setup.redis)
if setup.best:
    app.conf.update(
        worker_disable_rate_limits=True,
        worker_prefetch_multiplier=128,
        worker_send_task_events=False,
        task_send_sent_event=False,
    )


@app.task(name="noop")
def noop(value: int) -> int:
    tally.count()
    return value


def work() -> None:
    words = ["--app=adapters.celery", "worker"]
    if setup.best:
        words += ["--loglevel=WARNING", "--concurrency=1"]
        words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    else:
        words += ["--loglevel=INFO", "--concurrency=1"]
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
