"""dramatiq. Best: as many threads as the concurrency, one process."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from dramatiq.results.errors import ResultFailure, ResultMissing
from redis import Redis

from benchmarks.harness.adapters.base import (
    FAILED,
    GRACE_SECONDS,
    SILENCE_SECONDS,
    SUCCEEDED,
    Promise,
    ledger,
    quiet,
    run_command,
    setup,
    tally,
)

BROKER = "https://dramatiq.io/reference.html#dramatiq.brokers.redis.RedisBroker"
MAINTENANCE_CHANCE = 100_000
"""Of a million commands, those that look for messages of dead workers, too."""

promise = Promise(
    "at least once",
    "at least once; put back after 60 s, by one of 1,000 later commands",
    BROKER,
    {
        f"heartbeat_timeout={SILENCE_SECONDS * 1000}": BROKER,
        f"maintenance_chance={MAINTENANCE_CHANCE}": BROKER,
        f"--worker-shutdown-timeout {GRACE_SECONDS * 1000}": (
            "https://dramatiq.io/guide.html#workers"
        ),
    },
)

options: dict[str, Any] = {}
if setup.reliable:
    options["heartbeat_timeout"] = SILENCE_SECONDS * 1000
    options["maintenance_chance"] = MAINTENANCE_CHANCE
broker = RedisBroker(url=setup.redis, **options)
# redis-py gives a read 5 s by itself, and a result may take longer.
backend = RedisBackend(client=Redis.from_url(setup.redis, socket_timeout=60))
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(value: int) -> int:
    tally.count()
    return value


@dramatiq.actor(store_results=True)
def hold(label: str, seconds: float) -> str:
    return ledger.hold_blocking(label, seconds)


def work() -> None:
    words = ["benchmarks.harness.adapters.dramatiq", "--processes", "1", *setup.option("--threads")]
    if setup.reliable:
        words += ["--worker-shutdown-timeout", str(GRACE_SECONDS * 1000)]
    run_command("dramatiq", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        broker.close()

    def enqueue(self, value: int) -> Any:
        return noop.send(value)

    def result(self, message: Any) -> int:
        return message.get_result(block=True, timeout=30_000)

    def enqueue_hold(self, label: str, seconds: float) -> str:
        return hold.send(label, seconds).message_id

    def outcome(self, task_id: str) -> str | None:
        message = hold.message("", 0).copy(message_id=task_id)
        try:
            message.get_result(backend=backend)
        except ResultMissing:
            return None
        except ResultFailure:
            return FAILED
        return SUCCEEDED
