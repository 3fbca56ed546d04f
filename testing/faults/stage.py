"""The stage of a fault scenario: real workers, a real Redis and a ledger of what really ran.

A scenario is a test of its own (`@scenario()` above `async def test_…(stage)`). Scenarios mostly
wait for leases to run out. So all that pytest has collected are played at the same time, each on a
queue of its own. If Redis itself suffers, the scenario has its own server as well. Then each test
reports how its scenario went.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from identtqueue import Client
from identtqueue.admin import Admin
from identtqueue.protocol.submission import Submission
from identtqueue.task import Result
from testing.accounts import balance, left_over
from testing.invariants import check_invariants
from testing.ledger import Ledger
from testing.processes import WorkerProcess
from testing.redis_server import RedisServer

AT_ONCE = 8
"""Most scenarios at the same time, because their worker processes share few cores at the start."""


@dataclass
class Stage:
    """Everything that a scenario uses."""

    server: RedisServer
    folder: Path
    client: Client
    admin: Admin
    exits: AsyncExitStack
    """Everything to be closed when the scenario ends."""
    queue: str = field(default_factory=lambda: f"q-{secrets.token_hex(6)}")
    workers: list[WorkerProcess] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """Ledger of all its workers."""
        return Ledger(self.folder / "ledger")

    @property
    def gate(self) -> str:
        """File that jobs wait for."""
        return str(self.folder / "gate")

    def open_gate(self) -> None:
        """Let the jobs end."""
        self.touch(self.gate)

    @staticmethod
    def touch(path: str) -> None:
        """Make a file that jobs wait for."""
        Path(path).touch()

    def worker(
        self,
        *,
        address: str | None = None,
        app: str = "testing.jobs:app",
        queues: Sequence[str] | None = None,
        environ: dict[str, str] | None = None,
        **options: float,
    ) -> WorkerProcess:
        """Make another worker, which is not started yet."""
        worker = WorkerProcess(
            address or self.server.address,
            queues or [self.queue],
            self.ledger,
            app=app,
            environ=environ,
            **options,
        )
        self.workers.append(worker)
        return worker

    async def enqueue(self, name: str, *args: object, **options: Any) -> str:
        """Enqueue another task; return its id."""
        task_id = await self.client.enqueue_job(self.queue, name, *args, **options)
        self.accepted.append(task_id)
        return task_id

    async def enqueue_many(self, number: int, name: str, *args: object) -> None:
        """Enqueue many tasks."""
        receipts = await self.client.submit_many(
            Submission(self.queue, name, args) for _ in range(number)
        )
        self.accepted += [receipt.task_id for receipt in receipts]

    async def begun(self, number: int = 1) -> None:
        """Wait until this many attempts have started."""
        await self.ledger.wait_for(
            lambda ledger: len(ledger.starts()) >= number, f"{number} attempts have started"
        )

    async def recorded(self) -> int:
        """Return how many results Redis has."""
        depth = (await self.admin.depths([self.queue]))[self.queue]
        return depth.counters.get("succeeded", 0)

    async def reached(self, number: int) -> bool:
        """Return whether Redis has at least this many results."""
        return await self.recorded() >= number

    async def settled(
        self, *, repeats: int | None = None, client: Client | None = None
    ) -> dict[str, Result]:
        """Check that all tasks end once each and that the workers stop and leave nothing behind.

        Returns:
            The results by task id.
        """
        results = await balance(
            client or self.client, self.admin, self.queue, self.accepted, seconds=90
        )
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
        """Return the number of losses that the task was charged with."""
        return (await self.admin.task(task_id)).losses


Scenario = Callable[[Stage], Awaitable[None]]
Ends = dict[str, BaseException | None]


@dataclass(frozen=True)
class Scene:
    """A scenario and its requirements."""

    name: str
    play: Scenario
    own_redis: bool
    long: bool


def scenario(*, own_redis: bool = False, long: bool = False) -> Callable[[Scenario], Any]:
    """Make a scenario from a coroutine function, and a test that reports its end.

    Args:
        own_redis: whether it needs a Redis of its own, with an append-only file.
        long: whether it takes longer than most, so that it begins first.
    """

    def decorate(play: Scenario) -> Any:
        scene = Scene(f"{play.__module__}.{play.__name__}", play, own_redis, long)

        def test(played: Ends) -> None:
            end = played[scene.name]
            if end is not None:
                raise end

        test.__name__, test.__doc__, test.__module__ = play.__name__, play.__doc__, play.__module__
        test.scene = scene  # type: ignore[attr-defined]
        return pytest.mark.timeout(300)(test)  # the first one waits for all

    return decorate


async def play_all(scenes: Iterable[Scene], shared: RedisServer, folder: Path) -> Ends:
    """Play scenarios; return by name how each has ended."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def play(scene: Scene) -> None:
        async with turn:
            own = folder / scene.name
            own.mkdir()
            stage: Stage | None = None
            server = RedisServer(aof=True).start() if scene.own_redis else shared
            try:
                async with _stage(server, own) as stage:
                    await scene.play(stage)
            finally:
                if scene.own_redis:
                    for each in {server, stage.server if stage else server}:
                        each.destroy()

    ordered = sorted(scenes, key=lambda scene: not scene.long)
    ends = await asyncio.gather(*map(play, ordered), return_exceptions=True)
    return {scene.name: end for scene, end in zip(ordered, ends, strict=True)}


@asynccontextmanager
async def _stage(server: RedisServer, folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as exits:
        client = await exits.enter_async_context(Client(server.address))
        admin = await exits.enter_async_context(Admin(server.address, retry_for_seconds=60))
        stage = Stage(server, folder, client, admin, exits)
        try:
            yield stage
        finally:
            for worker in stage.workers:
                worker.destroy()
