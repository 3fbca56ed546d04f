"""A test bench: one queue on a real Redis, with short names for what tests often do to it.

Ids are given without the queue: "a" is the task `<queue>:a`. Tests do not wait for time to pass.
Times in the past are written into Redis instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import pytest
import redis

from identtqueue.limits import JobLimits
from identtqueue.protocol import codec
from identtqueue.protocol.answers import Enqueued, Recovery
from identtqueue.protocol.call import Call, NewTask
from identtqueue.protocol.calls import claiming, enqueueing, leasing, recovering
from identtqueue.protocol.keys import queue_keys
from identtqueue.task import Attempt, Failure, Task
from identtqueue.transport.connect import blocking_redis
from identtqueue.transport.settings import RedisSettings
from testing import packing
from testing.invariants import Snapshot, check_invariants, held_tasks, pending_tasks, snapshot
from testing.redis_server import RedisServer

T = TypeVar("T")

LEASE_MS: Final = 60_000
"""Long, because a lease runs out only when a test says so (`lapse`)."""

TIME: Final = "time"
MS: Final = "ms"
"""Placeholders in `dump` for points in time and for durations."""

FAILURE: Final = codec.encode_failure(Failure("ValueError", "no", "trace"))

_ELSEWHERE: Final = ("answer:", "minute:", "hour:", "enqueued", "counted", "jobs", "promoted")

_TIMES: Final = {"enqueued_at", "started_at", "finished_at", "pending_since", "expires_at"}
_NUMBERS: Final = {"attempt", "failures", "losses", "ttl", "unique_ttl"}


class Bench:
    """One queue, and short names for calls and looks at it."""

    def __init__(self, server: RedisServer, queue: str) -> None:
        self.queue = queue
        self.keys = queue_keys(queue)
        self.raw: redis.Redis = server.client()
        self.redis = blocking_redis(
            RedisSettings(address=server.address), client_name="bench", retry_for_seconds=0
        )

    def close(self) -> None:
        keys = self.snapshot()
        if keys:
            self.raw.delete(*keys)
        self.raw.close()
        self.redis.close()

    # --- calls ---

    def run(self, call: Call[T]) -> T:
        """Run a call, and check the invariants afterwards."""
        value = self.redis.run(call)
        check_invariants(self.raw, self.queue)
        return value

    def refuses(self, call: Call[T]) -> T:
        """Run a call, and check that it has written nothing but the time of the promotion."""
        before = self.snapshot()
        value = self.run(call)
        after = self.snapshot()
        for seen in (before, after):
            seen.pop(self.keys.promoted, None)
        assert after == before, f"{call.name} answered {value} and wrote"
        return value

    # --- what the tests do all the time ---

    def id(self, name: str) -> str:
        return f"{self.queue}:{name}"

    def task(self, name: str, job: str = "job", **options: Any) -> NewTask:
        return NewTask(self.id(name), codec.encode_task(Task(job, (name,))), job, options)

    def enqueue(self, *names: str, **options: Any) -> None:
        receipts = self.run(
            enqueueing.enqueue(self.queue, [self.task(name, **options) for name in names])
        )
        assert [receipt.status for receipt in receipts] == [Enqueued.OK] * len(names)

    def register(self, *workers: str, **limits: JobLimits) -> None:
        for worker in workers:
            self.run(leasing.register(self.queue, worker, LEASE_MS, {"host": worker}, limits))

    def claim(self, worker: str, limit: int = 10, *, idle: bool = False) -> list[Attempt]:
        """Claim tasks. With `idle` the worker may take a suspect."""
        return list(self.run(claiming.claim(self.queue, worker, limit, idle=idle)).attempts)

    def running(self, worker: str, *names: str, **options: Any) -> list[Attempt]:
        """Enqueue tasks, and have a new worker claim them."""
        self.register(worker)
        self.enqueue(*names, **options)
        attempts: list[Attempt] = []
        while more := self.claim(worker, len(names) - len(attempts)):  # a claim is bounded
            attempts += more
        assert [attempt.task_id for attempt in attempts] == [self.id(name) for name in names]
        return attempts

    def recover(self, worker: str, *, waive: bool = True, limit: int = 5) -> Recovery:
        return self.run(self.recovery(worker, waive=waive, limit=limit))

    def recovery(self, worker: str, *, waive: bool = True, limit: int = 5) -> Call[Recovery]:
        return recovering.recover(self.queue, worker, waive_lease=waive, max_deliveries=limit)

    # --- time ---

    def now_ms(self) -> int:
        seconds, micros = self.raw.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def fall_due(self, name: str) -> None:
        assert self.raw.zadd(self.keys.scheduled, {self.id(name): 1}, xx=True, ch=True) == 1

    def pass_time(self, job: str) -> None:
        """Pretend that the job's last start was long ago, so its rate limit allows the next."""
        self.raw.hdel(self.keys.rates, job)
        due = self.raw.zscore(self.keys.blocked, job)
        if due is not None and due < float("inf"):
            self.raw.zadd(self.keys.blocked, {job: 1}, xx=True)

    def wait_long(self, ids: Iterable[str]) -> None:
        """Pretend that these tasks have been pending for an hour."""
        for task_id in ids:
            self.raw.hset(self.unpack(task_id), "pending_since", self.now_ms() - 3_600_000)

    def lapse(self, worker: str) -> None:
        """Pretend that the worker's lease ran out long ago."""
        self.raw.zadd(self.keys.workers, {worker: 1}, xx=True)
        assert self.raw.zscore(self.keys.workers, worker) == 1

    def expire(self, name: str) -> None:
        """Pretend that the task's `expires_seconds` ran out long ago."""
        assert self.raw.hset(self.unpack(self.id(name)), "expires_at", 1) == 0
        self.raw.zadd(self.keys.expiring, {self.id(name): 1}, xx=True)

    def unpack(self, task_id: str) -> str:
        """Give a task a HASH, if it is packed; return its key, for changes by hand."""
        return packing.unpack(self.raw, task_id)

    # --- looking ---

    def snapshot(self) -> Snapshot:
        return snapshot(self.raw, self.queue)

    def names(self, ids: Iterable[str]) -> list[str]:
        return [task_id.removeprefix(f"{self.queue}:") for task_id in ids]

    def pending(self) -> list[str]:
        """List the pending ids, without cancelled ones."""
        return self.names(pending_tasks(self.snapshot(), self.queue))

    def held(self, job: str) -> list[str]:
        return self.names(held_tasks(self.snapshot(), self.queue).get(job, []))

    def counted(self, job: str) -> set[str]:
        """List the tasks that count towards the job's max_running."""
        ids = self.raw.smembers(self.keys.running_prefix + job)
        return set(self.names(item.decode() for item in ids))

    def field(self, name: str, field: str) -> str | None:
        value = packing.field(self.raw, self.id(name), field)
        return None if value is None else value.decode()

    def token(self) -> bool:
        return bool(self.raw.exists(self.keys.wake))

    def take_token(self) -> None:
        """Take the wake token, as a worker's BLPOP does."""
        assert self.raw.lpop(self.keys.wake) == b"1"

    def dump(self) -> dict[str, Any]:
        """Dump the whole queue as plain values, without key prefix and queue name.

        Left out are answers that are kept for calls that are sent again, the time of the last
        promotion, and the registry and the numbers of the queue's jobs, which
        tests/protocol/test_counting.py checks. A key that expires is shown as `key (expires)`, a
        packed task as `task:<id> (packed)`, and times and durations as TIME and MS.
        """
        base = self.keys.pending.removesuffix("pending")
        shown = {}
        for key, entry in self.snapshot().items():
            short = self._short(key.removeprefix(base))
            if short.startswith(_ELSEWHERE):
                continue
            mark = " (expires)" if entry.expires else " (packed)" if entry.packed else ""
            shown[short + mark] = self._show(short, entry.value)
        return shown

    def _short(self, text: str) -> str:
        return text.replace(f"{self.queue}:", "")

    def _show(self, key: str, value: Any) -> Any:
        if key in ("scheduled", "dead", "workers", "expiring"):
            return {self._short(member): TIME for member in value}
        if key == "ended":
            return [self._short(item.split(" ", 1)[1]) for item in value]
        if key == "blocked":
            return {job: due if due in (0, float("inf")) else TIME for job, due in value.items()}
        if key in ("limits", "rates"):
            return {
                job: codec.decode_value(data) if key == "limits" else TIME
                for job, data in value.items()
            }
        if key.startswith("tombstones"):
            return {self._short(field): int(number) for field, number in value.items()}
        if key.startswith("task:"):
            return {field: self._show_field(field, data) for field, data in value.items()}
        if key == "stats":
            return {
                field: MS if field.endswith("_ms") else int(number)
                for field, number in value.items()
            }
        if key == "info":
            return {worker: codec.decode_value(data) for worker, data in value.items()}
        if key == "alarm":
            return TIME
        if isinstance(value, list):
            return [self._short(item) for item in value]
        if isinstance(value, set):
            return {self._short(item) for item in value}
        if isinstance(value, dict):
            return {field: data.decode() for field, data in value.items()}
        return self._short(value.decode()) if isinstance(value, bytes) else value

    def _show_field(self, field: str, data: bytes) -> Any:
        if field in _TIMES:
            assert 0 < int(data) < 2**48
            return TIME
        if field in _NUMBERS:
            return int(data)
        if field == "payload":
            return codec.decode_task(data).args[0]
        if field == "result":
            return codec.decode_value(data)
        if field == "history":
            return [past[6] for past in codec.decode_value(data)]
        if field == "error":
            return codec.decode_failure(data).type
        return data.decode()


@pytest.fixture
def bench(redis_server: RedisServer, queue: str) -> Iterator[Bench]:
    """Make a queue for the test alone."""
    bench = Bench(redis_server, queue)
    yield bench
    bench.close()
