"""Limits of jobs over several worker processes, even if one of them is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from identtqueue import Client, Job, RateLimit
from identtqueue.admin import Admin
from identtqueue.protocol.submission import Submission
from testing.accounts import balance, left_over
from testing.invariants import check_invariants
from testing.jobs import capped, paced
from testing.ledger import Ledger, Line
from testing.processes import WorkerProcess
from testing.redis_server import RedisServer
from testing.serving import Serve
from testing.waiting import eventually

NewServer = Callable[..., RedisServer]


class Fleet:
    """Worker processes of one queue, with their ledger and clients to check them."""

    def __init__(self, server: RedisServer, queue: str, folder: Path, client: Client) -> None:
        self.queue = queue
        self.ledger = Ledger(folder / "ledger")
        self.gate = folder / "gate"
        self.admin = Admin(server.address)
        self.workers: list[WorkerProcess] = []
        self._server = server
        self._client = client
        self._accepted: list[str] = []

    async def start(self, number: int, **options: float) -> None:
        """Start this many more workers, and wait until they are registered."""
        new = [
            WorkerProcess(self._server.address, [self.queue], self.ledger, **options)
            for _ in range(number)
        ]
        self.workers += new
        for worker in new:
            worker.start()
        for worker in new:
            await worker.registered()

    async def enqueue(self, number: int, name: str, *args: object) -> list[str]:
        """Enqueue this many tasks; return their ids."""
        receipts = await self._client.submit_many(
            Submission(self.queue, name, args) for _ in range(number)
        )
        ids = [receipt.task_id for receipt in receipts]
        self._accepted += ids
        return ids

    async def settled(self) -> None:
        """Wait until each task has ended once; check that no worker and no count is left."""
        await balance(self._client, self.admin, self.queue, self._accepted, seconds=90)
        with self._server.client() as raw:
            check_invariants(raw, self.queue)
            for worker in self.workers:
                if worker.process.poll() is None:
                    await worker.terminate()
            check_invariants(raw, self.queue)
            assert left_over(raw, self.queue) == []


@pytest.fixture
async def fleet(
    redis_server: RedisServer, queue: str, tmp_path: Path, client: Client
) -> AsyncIterator[Fleet]:
    fleet = Fleet(redis_server, queue, tmp_path, client)
    async with fleet.admin:
        yield fleet
    for worker in fleet.workers:
        worker.destroy()


def most_at_once(lines: list[Line], job_ids: set[str]) -> int:
    """By the ledger. An attempt that was killed counts until its task starts again: its slot is
    taken until it is recovered, and then it is the first to start."""
    running: set[str] = set()
    most = 0
    for line in lines:
        if line.task_id in job_ids:
            if line.event == "start":
                running.add(line.task_id)
            else:
                running.discard(line.task_id)
            most = max(most, len(running))
    return most


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_more_than_max_running_in_all_processes_also_when_one_is_killed(
    fleet: Fleet,
) -> None:
    await fleet.start(3, concurrency=4)
    ids = set(await fleet.enqueue(2, "capped", str(fleet.gate)))
    await fleet.ledger.wait_for(lambda ledger: len(ledger.starts()) == 2, "two have started")
    ids |= set(await fleet.enqueue(60, "capped"))
    holder = fleet.ledger.starts()[0].pid
    (victim,) = [worker for worker in fleet.workers if worker.pid == holder]
    lost = sum(line.pid == holder for line in fleet.ledger.starts())
    await victim.kill()
    fleet.gate.touch()

    await fleet.settled()

    assert most_at_once(fleet.ledger.lines(), ids) == capped.job_options.max_running == 2
    assert len(fleet.ledger.repeats()) == lost
    assert len(fleet.ledger.ends()) == 62


@pytest.mark.slow
async def test_a_limited_job_does_not_stand_in_the_way_of_others(
    fleet: Fleet, client: Client
) -> None:
    """Tasks that were enqueued behind a limited job start, because slots are left."""
    await fleet.start(2, concurrency=5)
    await fleet.enqueue(200, "capped", str(fleet.gate))
    others = await fleet.enqueue(20, "journal")
    await client.wait_many(others, 60)
    depth = (await fleet.admin.depths([fleet.queue]))[fleet.queue]
    assert (depth.queued, depth.held, depth.in_flight) == (198, 198, 2)
    (row,) = [row for row in await fleet.admin.limits(fleet.queue) if row.job == "capped"]
    assert (row.running, row.held, row.next_start_in_ms) == (2, 198, None)
    fleet.gate.touch()
    await fleet.settled()


@pytest.mark.slow
async def test_a_rate_holds_over_all_processes(fleet: Fleet, raw: redis.Redis) -> None:
    """By Redis' clock, as noted at each claim: never more in a window than the limit says.

    No worker has slots for all of them.
    """
    await fleet.start(2, concurrency=20)
    ids = await fleet.enqueue(40, "paced", str(fleet.gate))
    await fleet.ledger.wait_for(lambda ledger: len(ledger.starts()) == 40, "all have started")
    fleet.gate.touch()
    await fleet.settled()
    rate = paced.job_options.rate_limit
    assert rate is not None
    starts = sorted(await asyncio.gather(*map(started_at(fleet.admin), ids)))
    for n in range(1, len(starts)):
        for first in range(len(starts) - n):
            least = (n - rate.burst_size + 1) * rate.interval_ms
            assert starts[first + n] - starts[first] >= least
    assert len({line.pid for line in fleet.ledger.starts()}) == 2, "both took part"


def started_at(admin: Admin) -> Callable[[str], asyncio.Future[int]]:
    async def ask(task_id: str) -> int:
        info = await admin.task(task_id)
        assert info.started_at_ms is not None
        return info.started_at_ms

    return lambda task_id: asyncio.ensure_future(ask(task_id))


# --- waiting without polling ---


def calls_of(raw: redis.Redis, command: str) -> int:
    return int(raw.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["max_running", "rate_limit"])
async def test_no_worker_polls_for_held_tasks(
    new_redis_server: NewServer, queue: str, serve: Serve, limit: str
) -> None:
    """Count `sismember`, which each claim and each renewal of a lease calls once."""
    server = new_redis_server()
    gate = asyncio.Event()

    async def wait(_ctx: object) -> None:
        await gate.wait()

    limits = {"max_running": {"max_running": 1}, "rate_limit": {"rate_limit": RateLimit(1, 3600)}}
    jobs = [Job(name="wait", function=wait, **limits[limit])]
    for _ in range(2):
        await serve(jobs, redis_address=server.address, concurrency=10)
    async with Client(server.address) as client, Admin(server.address) as admin:
        await client.submit_many(Submission(queue, "wait") for _ in range(50))

        async def all_held() -> bool:
            return [row.held for row in await admin.limits(queue)] == [49]

        await eventually(all_held, "49 are held")
        with server.client() as raw:
            raw.config_resetstat()
            # Two rounds of upkeep per worker, about 2 s each, ask for the shelves' names once each.
            await eventually(lambda: calls_of(raw, "hkeys") >= 4, "time has passed")
            asked = calls_of(raw, "sismember")
        gate.set()
    assert asked <= 8


@pytest.mark.slow
async def test_a_worker_starts_held_tasks_when_their_time_comes(
    serve: Serve, client: Client, queue: str
) -> None:
    """The block ends at that time. After that, each task that ends lets the next one start."""
    running, most = 0, 0

    async def note(_ctx: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    jobs = [
        Job(name="paced", function=note, rate_limit=RateLimit(200, 1)),
        Job(name="one", function=note, max_running=1),
    ]
    await serve(jobs)
    receipts = await client.submit_many(Submission(queue, "paced") for _ in range(40))
    await client.wait_many([receipt.task_id for receipt in receipts], 30)
    most = 0
    receipts = await client.submit_many(Submission(queue, "one") for _ in range(200))
    await client.wait_many([receipt.task_id for receipt in receipts], 30)
    assert most == 1
