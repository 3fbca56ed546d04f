"""dramatiq. Best: as many threads as the concurrency, one process."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from adapters.base import quiet, run_command, setup, tally

broker = RedisBroker(url=setup.redis)
broker.add_middleware(Results(backend=RedisBackend(url=setup.redis)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(value: int) -> int:
    tally.count()
    return value


def work() -> None:
    threads = ["--threads", str(setup.concurrency)] if setup.best else []
    run_command("dramatiq", "adapters.dramatiq", "--processes", "1", *threads)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        broker.close()

    def enqueue(self, value: int) -> Any:
        return noop.send(value)

    def result(self, message: Any) -> int:
        return message.get_result(block=True, timeout=30_000)
