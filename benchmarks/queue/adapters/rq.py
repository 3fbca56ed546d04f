"""RQ. Best: SimpleWorker, which runs jobs in its own process; the default forks for each job.

One job at a time per worker process, whatever the concurrency.
"""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from adapters.base import quiet, run_command, setup, tally

redis = Redis.from_url(setup.redis)
queue = Queue("bench", connection=redis)


def noop(value: int) -> int:
    tally.count()
    return value


def work() -> None:
    if setup.best:
        quiet()
        SimpleWorker([queue], connection=redis, log_job_description=False).work()
    else:
        run_command("rq", "worker", "--url", setup.redis, "bench")


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
