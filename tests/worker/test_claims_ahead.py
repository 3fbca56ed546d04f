"""Two claims on their way: more is never claimed than can start, and nothing is lost between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from identtqueue import Client, State, Worker
from identtqueue.admin import Admin
from identtqueue.protocol.scripts import script
from identtqueue.protocol.submission import Submission
from testing.accounts import left_over
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.serving import Serve, serving
from testing.waiting import eventually

CLAIM = script("claim").sha.encode()
SLOTS = 8


class Gates:
    """Jobs that wait until the test lets them end, one by one."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.waiting: dict[str, asyncio.Event] = {}
        self.most = 0
        self.closed = True

    async def job(self, ctx, *_args):
        self.runs[ctx.task_id] += 1
        gate = self.waiting[ctx.task_id] = asyncio.Event()
        self.most = max(self.most, len(self.waiting))
        try:
            if self.closed:
                await gate.wait()
        finally:
            del self.waiting[ctx.task_id]

    def open(self, number: int) -> None:
        """Let so many jobs end in this turn of the loop, the oldest first."""
        for gate in list(self.waiting.values())[:number]:
            gate.set()


class Gap:
    """A worker with full slots and a slow way to Redis, and what stands in the queue."""

    def __init__(self, proxy: Proxy, raw: redis.Redis, queue: str, worker: Worker) -> None:
        self.proxy, self.worker, self.gates = proxy, worker, Gates()
        self._raw, self._queue = raw, queue

    def pending(self) -> int:
        return int(self._raw.llen(f"idtq:{{{self._queue}}}:pending"))

    async def two_claims(self) -> None:
        """Bring two claims on their way: Redis has answered the first, the second waits for it."""
        before = self.pending()
        self.proxy.hold_replies_to(CLAIM)
        self.gates.open(SLOTS // 2)
        await eventually(lambda: self.pending() == before - SLOTS // 2, "the first is answered")
        self.gates.open(SLOTS // 2)
        await eventually(lambda: not self.gates.waiting, "the other half of the slots is free")
        assert self.pending() == before - SLOTS // 2


@asynccontextmanager
async def gap(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str, tasks: int = 40
) -> AsyncIterator[Gap]:
    await client.submit_many(Submission(queue, "job") for _ in range(tasks))
    async with Proxy(redis_server.port) as proxy:
        gates = Gates()
        worker = Worker({"job": gates.job}, proxy.address, queue, concurrency=SLOTS)
        found = Gap(proxy, raw, queue, worker)
        found.gates = gates
        async with serving(worker):
            await eventually(lambda: len(gates.waiting) == SLOTS, "the slots are taken")
            yield found
            gates.closed = False
            gates.open(SLOTS)


async def test_all_slots_work_and_no_more(client: Client, serve: Serve, queue: str) -> None:
    """Jobs end in any order and at any time. Each runs once, in at most so many slots."""
    gates = Gates()
    receipts = await client.submit_many(Submission(queue, "job") for _ in range(200))
    await serve({"job": gates.job}, concurrency=SLOTS)
    for number in range(10_000):
        gates.open(number % (SLOTS + 1))
        await asyncio.sleep(0)
        if len(gates.runs) == 200 and not gates.waiting:
            break
        if not gates.waiting:
            await eventually(lambda: gates.waiting or len(gates.runs) == 200, "the next ones")
    assert gates.most == SLOTS
    await client.wait_many([receipt.task_id for receipt in receipts], 60)
    assert set(gates.runs.values()) == {1}


async def test_what_is_claimed_in_the_gap_starts_at_once(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str
) -> None:
    async with gap(redis_server, raw, client, queue) as found:
        await found.two_claims()
        found.proxy.release_replies()
        await eventually(lambda: len(found.gates.waiting) == SLOTS, "both replies are acted on")
        assert found.gates.most == SLOTS
        assert found.pending() == 40 - 2 * SLOTS


async def test_a_stop_in_the_gap_gives_all_of_it_back(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str
) -> None:
    async with gap(redis_server, raw, client, queue) as found:
        await found.two_claims()
        found.worker.stop()
        found.worker.stop = lambda: None
        found.proxy.release_replies()
    assert found.pending() == 40 - SLOTS, "nothing that had not started stays claimed"
    assert set(found.gates.runs.values()) == {1}
    assert left_over(raw, queue) == [f"idtq:{{{queue}}}:pending", f"idtq:{{{queue}}}:wake"]


async def test_a_drain_in_the_gap(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str
) -> None:
    """What was claimed before the drain starts. The second claim is refused, or never sent."""
    async with gap(redis_server, raw, client, queue) as found, Admin(redis_server.address) as admin:
        await found.two_claims()
        assert found.worker.worker_id is not None
        await admin.drain(queue, [found.worker.worker_id])
        found.proxy.release_replies()
        await eventually(lambda: found.worker.gauges.draining, "it drains")
        await eventually(lambda: len(found.gates.waiting) >= SLOTS // 2, "they have started")
        found.gates.open(SLOTS)
        await eventually(lambda: not found.gates.waiting, "they have ended")
        assert found.pending() in (40 - SLOTS - SLOTS // 2, 40 - 2 * SLOTS)


@pytest.mark.slow
async def test_lost_replies_in_the_gap(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str
) -> None:
    """The worker finds out which tasks it owns without knowing, and every task ends once."""
    async with gap(redis_server, raw, client, queue) as found:
        await found.two_claims()
        found.proxy.cut()
        found.proxy.release_replies()

        def all_ended() -> bool:
            found.gates.open(SLOTS)
            return len(found.gates.runs) == 40 and not found.gates.waiting

        await eventually(all_ended, "all have run")
    assert set(found.gates.runs.values()) == {1}
    assert [await client.get_status(task_id) for task_id in found.gates.runs] == [
        State.SUCCEEDED
    ] * 40
    assert left_over(raw, queue) == []


async def test_a_lost_lease_in_the_gap(
    redis_server: RedisServer, raw: redis.Redis, client: Client, queue: str
) -> None:
    """Another worker recovers what was claimed. The new incarnation claims again, from scratch."""
    async with gap(redis_server, raw, client, queue) as found:
        await found.two_claims()
        first = found.worker.worker_id
        raw.zrem(f"idtq:{{{queue}}}:workers", first)  # its lease has run out
        found.proxy.release_replies()
        await eventually(lambda: found.worker.worker_id != first, "it starts over")
        await eventually(lambda: len(found.gates.waiting) == SLOTS, "it works again")
        assert found.gates.most <= SLOTS
