"""Faults on real processes, and a ledger that shows what really ran.

After each: every accepted id has exactly one recorded result or one dead letter, the invariants
hold, and nothing is left behind. The scenarios wait for leases most of their time, so they run at
the same time, each on queues (and, where Redis itself suffers, on a server) of its own; each has
its own test that tells how it went.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from identtqueue import Client, State, TaskFailed
from identtqueue.admin import Admin
from identtqueue.protocol.scripts import script
from identtqueue.protocol.submission import Submission
from identtqueue.task import Result
from support.accounts import balance, left_over
from support.invariants import check_invariants
from support.ledger import Ledger
from support.processes import LEASE_SECONDS, WorkerProcess
from support.proxy import Proxy
from support.redis_server import RedisServer
from support.waiting import eventually

AT_ONCE = 6
"""Scenarios at the same time: their worker processes share few cores when they start."""


@dataclass
class Stage:
    """What a scenario plays on."""

    server: RedisServer
    folder: Path
    client: Client
    admin: Admin
    queue: str = field(default_factory=lambda: f"q-{secrets.token_hex(6)}")
    workers: list[WorkerProcess] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """Of all its workers."""
        return Ledger(self.folder / "ledger")

    @property
    def gate(self) -> str:
        """Jobs wait for this file."""
        return str(self.folder / "gate")

    def open_gate(self) -> None:
        """Let the jobs end."""
        Path(self.gate).touch()

    def worker(self, *, address: str | None = None, **options: float) -> WorkerProcess:
        """One more worker, not started yet."""
        worker = WorkerProcess(address or self.server.address, [self.queue], self.ledger, **options)
        self.workers.append(worker)
        return worker

    async def enqueue(self, name: str, *args: object) -> str:
        """One more task; its id is accepted."""
        self.accepted.append(await self.client.enqueue_job(self.queue, name, *args))
        return self.accepted[-1]

    async def enqueue_many(self, number: int, name: str, *args: object) -> None:
        """Many more tasks."""
        receipts = await self.client.submit_many(
            Submission(self.queue, name, args) for _ in range(number)
        )
        self.accepted += [receipt.task_id for receipt in receipts]

    async def begun(self, number: int = 1) -> None:
        """Return when so many attempts have started."""
        await self.ledger.wait_for(
            lambda ledger: len(ledger.starts()) >= number, f"{number} attempts have started"
        )

    async def recorded(self) -> int:
        """How many results Redis has."""
        depth = (await self.admin.depths([self.queue]))[self.queue]
        return depth.counters.get("succeeded", 0)

    async def settled(self, *, repeats: int | None = None) -> dict[str, Result]:
        """All have ended, once each; the workers stop in order and leave nothing behind."""
        results = await balance(self.client, self.admin, self.queue, self.accepted, seconds=90)
        with self.server.client() as raw:
            check_invariants(raw, self.queue)
            for worker in self.workers:
                if worker.process.poll() is None:
                    await worker.terminate()
            check_invariants(raw, self.queue)
            assert left_over(raw, self.queue) == []
        if repeats is not None:
            assert len(self.ledger.repeats()) == repeats, self.ledger.repeats()
        return results

    async def losses(self, task_id: str) -> int:
        """What the task was charged with."""
        return (await self.admin.task(task_id)).losses


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, tuple[Scenario, bool]] = {}


def scenario(*, own_redis: bool = False) -> Callable[[Scenario], Scenario]:
    """Register it; with a Redis of its own (and an append-only file) if it needs one."""

    def register(play: Scenario) -> Scenario:
        SCENARIOS[play.__name__] = (play, own_redis)
        return play

    return register


# --- the worker dies, or seems to -------------------------------------------------------------


@scenario()
async def killed_while_it_runs(stage: Stage) -> None:
    victim = await stage.worker().started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await victim.kill()
    await stage.worker().started()
    await stage.begun(2)
    stage.open_gate()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2, "the second attempt's result"
    assert await stage.losses(task_id) == 1


@scenario()
async def killed_while_many_run_and_wait(stage: Stage) -> None:
    """Half run on the victim, half on its peer, more are waiting."""
    victim = await stage.worker(concurrency=4).started()
    await stage.worker(concurrency=4).started()
    await stage.enqueue_many(16, "journal", stage.gate)
    await stage.begun(8)
    held = [line.task_id for line in stage.ledger.starts() if line.pid == victim.pid]
    await victim.kill()
    stage.open_gate()
    results = await stage.settled(repeats=len(held))
    assert len(held) == 4
    assert {r.task_id: r.value for r in results.values()} == {
        task_id: 2 if task_id in held else 1 for task_id in stage.accepted
    }


@scenario()
async def stopped_past_its_lease_while_it_runs(stage: Stage) -> None:
    """The zombie wakes, finishes what others have run meanwhile, and is refused."""
    zombie = await stage.worker().started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    zombie.send(signal.SIGSTOP)
    peer = await stage.worker().started()
    await stage.begun(2)
    stage.open_gate()
    await eventually(stage.recorded, "the peer's result is recorded")
    zombie.send(signal.SIGCONT)
    await zombie.registered(times=2)
    assert (await stage.admin.task(task_id)).owner == await peer.registered()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2, "one result: the peer's"
    assert "the lease is lost; starting over" in zombie.log
    assert await stage.recorded() == 1


@scenario()
async def stopped_past_its_lease_while_it_is_idle(stage: Stage) -> None:
    """It is rung for a task meanwhile, and given up: a peer runs the task, it starts over."""
    zombie = await stage.worker().started()
    await stage.enqueue("journal")
    await eventually(stage.recorded, "it works")
    zombie.send(signal.SIGSTOP)
    rung_for = await stage.enqueue("journal")
    peer = await stage.worker().started()
    results = await stage.client.wait_many([rung_for], 60)
    assert results[0].value == 1, "a token is no task: nothing was lost with it"
    assert (await stage.admin.task(rung_for)).owner == await peer.registered()
    await eventually(lambda: _only(stage, peer), "the zombie is given up")
    await stage.enqueue("journal")
    zombie.send(signal.SIGCONT)
    await zombie.registered(times=2)
    await stage.enqueue_many(4, "journal")
    await stage.settled(repeats=0)


async def _only(stage: Stage, worker: WorkerProcess) -> bool:
    rows = await stage.admin.workers(stage.queue)
    return [row.worker_id for row in rows] == [await worker.registered()]


@scenario()
async def a_loop_that_is_blocked_for_longer_than_the_lease(stage: Stage) -> None:
    """CPU-bound code in an async job: the heartbeat is a thread, so the lease is kept."""
    await stage.worker().started()
    await stage.worker().started()
    task_id = await stage.enqueue("hold_the_loop", LEASE_SECONDS + 3)
    results = await stage.settled(repeats=0)
    assert results[task_id].value == 1
    assert await stage.losses(task_id) == 0


@scenario()
async def a_task_that_kills_its_worker(stage: Stage) -> None:
    """A dead letter after max_deliveries; replayed when it is cured."""
    await _poisoned(stage, "kill", signal.SIGKILL)


@scenario()
async def a_task_that_exits_the_process(stage: Stage) -> None:
    """As an out-of-memory kill does."""
    await _poisoned(stage, "exit", 137)


async def _poisoned(stage: Stage, how: str, code: int) -> None:
    cure = stage.folder / "cure"
    task_id = await stage.enqueue("poison", how, str(cure))
    for n in range(2):
        victim = stage.worker(max_deliveries=2).start()
        assert await victim.ended(seconds=60) in (code, -code)
        assert len(stage.ledger.starts()) == n + 1
    await stage.worker(max_deliveries=2).started()
    with pytest.raises(TaskFailed) as caught:
        await stage.client.wait_for_result(task_id, 60)
    assert caught.value.remote_type == "WorkerLost"
    assert "max_deliveries=2" in caught.value.remote_message
    (letter,) = [info async for info in stage.admin.dead_letters(stage.queue)]
    assert (letter.task_id, letter.losses) == (task_id, 2)

    cure.touch()
    assert await stage.admin.replay([task_id]) == [task_id]
    assert await stage.client.wait_for_result(task_id, 60) == "cured"
    await stage.settled(repeats=1)


# --- the worker is told to stop ---------------------------------------------------------------


@scenario()
async def terminated_in_order(stage: Stage) -> None:
    """What runs ends and is recorded; what waits is left for others."""
    worker = await stage.worker(concurrency=2).started()
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(2)
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    stage.open_gate()
    assert await worker.ended() == 0
    assert await stage.recorded() == 2
    await stage.worker().started()
    await stage.settled(repeats=0)


@scenario()
async def terminated_with_its_grace_exceeded(stage: Stage) -> None:
    """What does not end in time goes back uncharged, and runs elsewhere at once."""
    worker = await stage.worker(grace_seconds=0.5).started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    await stage.worker().started()
    worker.send(signal.SIGTERM)
    await stage.begun(2)
    assert await worker.ended() == 0
    stage.open_gate()
    results = await stage.settled(repeats=1)
    assert results[task_id].value == 2
    assert await stage.losses(task_id) == 0


@scenario()
async def terminated_twice(stage: Stage) -> None:
    """The second signal does not wait for the grace time."""
    worker = await stage.worker(grace_seconds=3600).started()
    task_id = await stage.enqueue("journal", stage.gate)
    await stage.begun()
    worker.send(signal.SIGTERM)
    await eventually(lambda: "SIGTERM: stopping" in worker.log, "it has heard")
    assert worker.process.poll() is None
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    info = await stage.admin.task(task_id)
    assert (info.state, info.losses) == (State.PENDING, 0)
    await stage.worker().started()
    stage.open_gate()
    await stage.settled(repeats=1)


@scenario()
async def terminated_while_it_starts(stage: Stage) -> None:
    """At different moments of the start; none leaves anything behind."""
    await stage.enqueue("journal")
    with stage.server.client() as raw:
        for moment in ("python", "connection", "registration"):
            worker = stage.worker().start()
            if moment == "connection":
                await eventually(lambda w=worker: _has_connected(raw, w), "it has connected")
            if moment == "registration":
                await worker.registered()
            worker.send(signal.SIGTERM)
            assert await worker.ended() in (0, -signal.SIGTERM), worker.log
            rest = [key for key in left_over(raw, stage.queue) if "pending" not in key]
            assert rest in ([], [f"idtq:{{{stage.queue}}}:wake"])
    await stage.worker().started()
    await stage.settled(repeats=0)


def _has_connected(raw: redis.Redis, worker: WorkerProcess) -> bool:
    names = [c["name"] for c in raw.client_list()]
    return "identtqueue-worker" in names or worker.process.poll() is not None


# --- Redis suffers ----------------------------------------------------------------------------


@scenario(own_redis=True)
async def redis_killed_while_busy(stage: Stage) -> None:
    """Restarted from its append-only file: no work is lost, none is done twice."""
    for _ in range(2):
        await stage.worker(concurrency=4).started()
    await stage.enqueue_many(300, "journal")
    await stage.enqueue_many(4, "journal", stage.gate)
    await stage.begun(50)
    stage.server.kill()
    stage.server.start()
    stage.open_gate()
    await stage.settled()
    assert all(worker.process.returncode == 0 for worker in stage.workers)
    assert len(stage.ledger.repeats()) <= 16, "at most what was claimed and not yet answered"


@scenario(own_redis=True)
async def redis_away_for_longer_than_the_lease(stage: Stage) -> None:
    """Workers keep their attempts and go on when it is back: nothing runs twice."""
    workers = [await stage.worker().started() for _ in range(2)]
    await stage.enqueue_many(6, "journal", stage.gate)
    await stage.begun(6)
    stage.server.kill()
    for worker in workers:
        # Each failed renewal is a line; so many of them are more than a lease.
        needed = round(LEASE_SECONDS / 0.5) + 2
        await eventually(
            lambda w=worker, n=needed: w.log.count("lease not renewed") >= n,
            "its lease has run out",
        )
    stage.server.start()
    stage.open_gate()
    await stage.settled(repeats=0)
    assert all("the lease is lost" not in worker.log for worker in workers)


@scenario(own_redis=True)
async def redis_hangs(stage: Stage) -> None:
    """Stopped, not dead, for longer than a reply may take: connections are given up."""
    workers = [await stage.worker(concurrency=2).started() for _ in range(2)]
    await stage.enqueue_many(40, "journal")
    await stage.enqueue_many(2, "journal", stage.gate)
    await stage.begun(10)
    stage.server.pause()
    for worker in workers:
        await eventually(lambda w=worker: "lease not renewed" in w.log, "a reply took too long")
    stage.server.resume()
    stage.open_gate()
    await stage.settled()
    assert len(stage.ledger.repeats()) <= 4


@scenario(own_redis=True)
async def redis_forgets_its_scripts(stage: Stage) -> None:
    await stage.worker(concurrency=4).started()
    with stage.server.client() as raw:
        for n in range(10):
            raw.script_flush()
            await stage.enqueue_many(10, "journal")
            await eventually(lambda n=n: _reached(stage, 10 * n + 5), "half are done")
    await stage.settled(repeats=0)


async def _reached(stage: Stage, number: int) -> bool:
    return await stage.recorded() >= number


@scenario()
async def connections_are_cut(stage: Stage) -> None:
    """Again and again, at whatever moment it hits: the worker's and the client's."""
    async with Proxy(stage.server.port) as proxy, Client(proxy.address) as client:
        worker = await stage.worker(address=proxy.address, concurrency=4).started()
        for n in range(8):
            enqueue = asyncio.gather(
                *(client.enqueue_job(stage.queue, "journal") for _ in range(5))
            )
            proxy.cut()
            stage.accepted += await enqueue
            await eventually(lambda n=n: _reached(stage, 5 * n), "it goes on")
        waits = asyncio.gather(*(client.wait_for_result(t, 60) for t in stage.accepted))
        proxy.cut()
        await waits
        await stage.settled()
        assert worker.process.returncode == 0
        assert "Traceback" not in worker.log


@scenario()
async def a_half_open_connection(stage: Stage) -> None:
    """A claim is granted, its answer never comes; the connection stays open."""
    async with Proxy(stage.server.port) as proxy:
        worker = await stage.worker(address=proxy.address).started()
        await stage.enqueue("journal")
        await eventually(stage.recorded, "it works")
        proxy.hold_replies_to(script("claim").sha.encode())
        task_id = await stage.enqueue("journal")
        await eventually(lambda: proxy.holding, "it has claimed")
        await eventually(lambda: "lease not renewed" in worker.log, "it has noticed")
        proxy.cut()
        proxy.release_replies()
        results = await stage.settled()
        assert results[task_id].state is State.SUCCEEDED


@scenario()
async def results_reported_twice(stage: Stage) -> None:
    """The report arrives, its answer does not: it is sent again, and counts once."""
    async with Proxy(stage.server.port) as proxy:
        await stage.worker(address=proxy.address).started()
        for n in range(3):
            proxy.hold_replies_to(script("finish").sha.encode())
            await stage.enqueue("journal")
            await eventually(lambda n=n: _reached(stage, 2 * n + 1), "the result is recorded")
            proxy.cut()
            proxy.release_replies()
            await stage.enqueue("journal")
            await eventually(lambda n=n: _reached(stage, 2 * n + 2), "it goes on")
        await stage.settled(repeats=0)
        assert await stage.recorded() == 6


# --- how they are played ----------------------------------------------------------------------


@asynccontextmanager
async def _stage(server: RedisServer, folder: Path) -> AsyncIterator[Stage]:
    async with (
        Client(server.address) as client,
        Admin(server.address, retry_for_seconds=60) as admin,
    ):
        stage = Stage(server, folder, client, admin)
        try:
            yield stage
        finally:
            for worker in stage.workers:
                worker.destroy()


async def _play_all(
    names: Sequence[str], shared: RedisServer, folder: Path
) -> dict[str, BaseException | None]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def play(name: str) -> None:
        scene, own_redis = SCENARIOS[name]
        async with turn:
            (folder / name).mkdir()
            server = RedisServer(aof=True).start() if own_redis else shared
            try:
                async with _stage(server, folder / name) as stage:
                    await scene(stage)
            finally:
                if own_redis:
                    server.destroy()

    ends = await asyncio.gather(*map(play, names), return_exceptions=True)
    return dict(zip(names, ends, strict=True))


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, BaseException | None]:
    """How the scenarios ended that are asked for."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == Path(__file__) and "name" in getattr(item, "callspec", item).params
    ]
    return asyncio.run(_play_all(names, redis_server, tmp_path_factory.mktemp("faults")))


@pytest.mark.timeout(240)  # the first one waits for all
@pytest.mark.parametrize("name", SCENARIOS)
def test_fault(name: str, played: dict[str, BaseException | None]) -> None:
    if played[name] is not None:
        raise played[name]
