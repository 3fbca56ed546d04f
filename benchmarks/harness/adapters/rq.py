"""RQ. Best: SimpleWorker, which runs jobs in its own process; the default forks for each job.

One job at a time per worker process, whatever the concurrency.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job, JobStatus

from benchmarks.harness.adapters.base import (
    FAILED,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

promise = Promise(
    "at most once",
    "recorded as failed at the next maintenance, every 600 s, unless it has retries",
    "https://python-rq.org/docs/job_registries/",
    {
        "Retry(max=3)": "https://python-rq.org/docs/exceptions/#retrying-failed-jobs",
        f"--maintenance-interval {SILENCE_SECONDS}": "https://python-rq.org/docs/workers/",
        f"--job-monitoring-interval {SILENCE_SECONDS}": "https://python-rq.org/docs/workers/",
    },
)

redis = Redis.from_url(setup.redis)
queue = Queue("bench", connection=redis)


def noop(value: int) -> int:
    tally.count()
    return value


def hold(label: str, seconds: float) -> str:
    return ledger.hold_blocking(label, seconds)


def work() -> None:
    if setup.best:
        quiet()
        SimpleWorker([queue], connection=redis, log_job_description=False).work()
        return
    words = ["worker", "--url", setup.redis]
    if setup.reliable:
        words += ["--maintenance-interval", str(SILENCE_SECONDS)]
        words += ["--job-monitoring-interval", str(SILENCE_SECONDS)]
    run_command("rq", *words, "bench")


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        redis.close()

    def enqueue(self, value: int) -> Any:
        return queue.enqueue(noop, value)

    def enqueue_many(self, values: range) -> None:
        queue.enqueue_many([Queue.prepare_data(noop, (value,)) for value in values])

    def result(self, job: Any) -> int:
        return job.latest_result(timeout=30).return_value

    def enqueue_hold(self, label: str, seconds: float) -> str:
        retry = Retry(max=3) if setup.reliable else None
        return queue.enqueue(hold, label, seconds, retry=retry).id

    def outcome(self, task_id: str) -> str | None:
        status = Job.fetch(task_id, connection=redis).get_status()
        ended = {JobStatus.FINISHED: SUCCEEDED, JobStatus.FAILED: FAILED, JobStatus.STOPPED: FAILED}
        return ended.get(status)
