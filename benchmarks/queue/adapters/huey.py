"""huey. Best: as many threads as the concurrency, results announced rather than polled for."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey

from adapters.base import quiet, run_command, setup, tally

options: dict[str, Any] = {"notify_result": True} if setup.best else {}
huey = RedisHuey("bench", url=setup.redis, **options)


@huey.task()
def noop(value: int) -> int:
    tally.count()
    return value


def work() -> None:
    words = ["--workers", str(setup.concurrency), "--no-periodic", "--quiet"] if setup.best else []
    run_command("huey_consumer", "adapters.huey.huey", *words)


class Producer:
    def open(self) -> None:
        quiet()

    def close(self) -> None:
        huey.storage.conn.close()

    def enqueue(self, value: int) -> Any:
        return noop(value)

    def result(self, task: Any) -> int:
        return task.get(blocking=True, timeout=30)
