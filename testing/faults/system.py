"""The system under chaos: Redis with a replica, workers and producers, each behind a proxy.

A process that a fault has ended is started again. A process that ends without a fault is a problem.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from identtqueue import Client, IdenttqueueError
from identtqueue.admin import Admin
from testing import servers
from testing.clock import LIBRARY, HostClock
from testing.faults.orders import MAX_DELIVERIES, Order
from testing.ledger import VARIABLE, Ledger
from testing.processes import LEASE_SECONDS, WorkerProcess, environment
from testing.proxy import Proxy
from testing.redis_server import RedisServer
from testing.waiting import eventually

T = TypeVar("T")

GRACE_SECONDS = 3.0
GIVE_UP_AT = 3
"""A process that has ended this often without a fault is not started again."""

EXITS_CODE = 137
"""Exit code of a worker whose job has ended the process (`testing.faults.jobs.exits`)."""

LOOP_BLOCKED = "exiting, although the event loop is blocked by"
"""Last log line of a worker that exits with 1 although its loop is blocked."""


class Member:
    """A process that is kept running, with a proxy of its own: it is replaced when it ends.

    Args:
        name: for the log.
        proxy: its way to Redis.
    """

    def __init__(self, name: str, proxy: Proxy) -> None:
        self.name = name
        self.proxy = proxy
        self.starts = 0
        self.pids: list[int] = []
        self.surprises: list[str] = []
        self.hit = False
        """Whether a fault may have ended the process that runs now."""
        self._keeping: asyncio.Task[None] | None = None
        self._wanted = True

    def launch(self) -> subprocess.Popen[bytes]:
        """Start a process."""
        raise NotImplementedError

    def is_expected(self, code: int) -> bool:
        """Return whether it may end with this exit code."""
        raise NotImplementedError

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The current process."""
        return self._process

    def start(self) -> None:
        """Start the process, and start it again whenever it ends."""
        self._spawn()
        self._keeping = asyncio.create_task(self._keep())

    def _spawn(self) -> None:
        self.hit = False
        self._process = self.launch()
        self.pids.append(self._process.pid)
        self.starts += 1

    async def _keep(self) -> None:
        while True:
            code = await wait_for(self._process)
            if not self.is_expected(code):
                self.surprises.append(f"{self.name}, pid {self._process.pid}, ended with {code}")
            if not self._wanted or self.is_done(code) or len(self.surprises) >= GIVE_UP_AT:
                return
            self._spawn()

    def is_done(self, code: int) -> bool:
        """Return whether this exit code means that its work is done."""
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the current process."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    async def ended(self) -> None:
        """Wait until its work is done."""
        assert self._keeping is not None
        await self._keeping

    async def stop(self) -> None:
        """Stop it in order, and do not start it again."""
        self._wanted, self.hit = False, True
        self.send(signal.SIGTERM)
        await self.ended()

    def destroy(self) -> None:
        """End the process, whatever its state."""
        if self._keeping is not None:
            self._keeping.cancel()
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


class WorkerMember(Member):
    """A worker that is kept running."""

    def __init__(self, number: int, proxy: Proxy, queues: list[str], ledger: Ledger) -> None:
        super().__init__(f"worker {number}", proxy)
        self.clock = HostClock(ledger.path.parent / f"clock-{number}") if LIBRARY else None
        self.is_old = False
        """Whether its next process is of the release before."""
        self._ledger, self._queues = ledger, queues
        self._worker = self._of_release()

    def _of_release(self) -> WorkerProcess:
        return WorkerProcess(
            self.proxy.address,
            self._queues,
            self._ledger,
            app="testing.faults.jobs_before:app" if self.is_old else "testing.faults.jobs:app",
            environ=self.clock.environ if self.clock else {},
            concurrency=16,
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
            max_deliveries=MAX_DELIVERIES,
        )

    def launch(self) -> subprocess.Popen[bytes]:
        self._worker = self._of_release()
        return self._worker.start().process

    @property
    def worker_id(self) -> str | None:
        """Id of the current incarnation; None: it has not registered yet."""
        return (re.findall(r"worker (\S+): queues", self._worker.log) or [None])[-1]

    def job_processes(self) -> list[int]:
        """List the ids of its processes for jobs, once it has registered.

        Before that the death of one ends the worker, with an error that says so: what keeps a
        process from starting would keep them all.
        """
        if self.worker_id is None:
            return []
        pid = self._process.pid
        with contextlib.suppress(OSError):  # it has just ended
            return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def is_expected(self, code: int) -> bool:
        if code == EXITS_CODE:
            return True
        if code == 1:  # stopped while a job blocks its loop, so not in order
            return self.hit and LOOP_BLOCKED in self._worker.log
        return self.hit and code in (0, -signal.SIGKILL, -signal.SIGTERM)


class ProducerMember(Member):
    """A producer that is kept running until all its orders are accepted."""

    def __init__(self, number: int, proxy: Proxy, journal: Path, options: list[str]) -> None:
        super().__init__(f"producer {number}", proxy)
        self.journal = journal
        self._options = options

    def launch(self) -> subprocess.Popen[bytes]:
        with self.journal.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "testing.faults.producer",
                        "--address",
                        self.proxy.address,
                    ),
                    *("--journal", str(self.journal), *self._options),
                ],
                env=environment(self.proxy.address),
                stdout=log,
                stderr=log,
            )

    def is_expected(self, code: int) -> bool:
        return code == 0 or (self.hit and code == -signal.SIGKILL)

    def is_done(self, code: int) -> bool:
        return code == 0


async def wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process to end; return its exit code."""
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until Redis can be reached and has room; return its answer."""
    while True:
        try:
            return await call()
        except IdenttqueueError:
            await asyncio.sleep(0.2)


class System:
    """The whole system. Use `system()` to make it."""

    def __init__(self, folder: Path, queues: list[str], *, old_redis: bool) -> None:
        self.folder = folder
        self.queues = queues
        self.ledger = Ledger(folder / "ledger")
        self._executable = servers.executable(servers.OLDEST) if old_redis else None
        clock = LIBRARY and old_redis  # see `testing.faults.injection.available`
        self.redis_clock = HostClock(folder / "clock-redis") if clock else None
        self.primary = self._server().start()
        self.replica = self._server(self.primary.port).start()
        self.workers: list[WorkerMember] = []
        self.producers: list[ProducerMember] = []
        self.orders: list[Order] = []
        """Orders of the faults that are tasks themselves, accepted once `enqueue` has returned."""
        self._own_proxy = Proxy(self.primary.port)
        self._client: Client | None = None
        self._admin: Admin | None = None

    def _server(self, replica_of: int | None = None) -> RedisServer:
        environ = self.redis_clock.environ if self.redis_clock else None
        return RedisServer(
            executable=self._executable, aof=True, replica_of=replica_of, environ=environ
        )

    @property
    def admin(self) -> Admin:
        """Connection that network faults do not hit."""
        assert self._admin is not None
        return self._admin

    @property
    def members(self) -> list[Member]:
        """Workers and producers."""
        return [*self.workers, *self.producers]

    @property
    def proxies(self) -> list[Proxy]:
        """Proxies of all members."""
        return [self._own_proxy, *(member.proxy for member in self.members)]

    async def open(self, exits: AsyncExitStack) -> None:
        """Connect the system's own client and admin, through a proxy that faults do not hit."""
        await exits.enter_async_context(self._own_proxy)
        self._client = await exits.enter_async_context(
            Client(self._own_proxy.address, retry_for_seconds=120)
        )
        self._admin = await exits.enter_async_context(
            Admin(self._own_proxy.address, retry_for_seconds=120)
        )

    async def enqueue(self, order: Order) -> None:
        """Enqueue a task that is a fault."""
        assert self._client is not None
        client = self._client
        await insist(lambda: client.submit(order.submission()))
        self.orders.append(order)

    async def fail_over(self) -> None:
        """Fail over as in planned maintenance: the replica has all data when it takes over."""
        fresh = self.replica
        await eventually(fresh.is_in_step, "the replica follows")
        with self.primary.client() as raw:
            raw.client_pause(60_000, all=False)  # writes only: nothing more is acknowledged
        await eventually(fresh.is_in_step, "the replica has all")
        fresh.promote()
        for proxy in self.proxies:
            proxy.retarget(fresh.port)
        old, self.primary = self.primary, fresh
        old.destroy()
        self.replica = self._server(fresh.port).start()

    def left_running(self) -> list[str]:
        """List processes that workers started and that still run. Called when no worker runs."""
        mark = f"{VARIABLE}={self.ledger.path}".encode()
        return [
            f"pid {folder.name}: {command}"
            for folder in Path("/proc").glob("[0-9]*")
            if (command := _command_with(folder, mark)) is not None
        ]

    def destroy(self) -> None:
        """End every process."""
        for member in self.members:
            member.destroy()
        for server in (self.primary, self.replica):
            server.destroy()


def _command_with(folder: Path, mark: bytes) -> str | None:
    """Return the command of a process, by its folder in /proc, if its environment has the mark."""
    with contextlib.suppress(OSError):  # it has ended, or is not ours
        if mark in (folder / "environ").read_bytes().split(b"\0"):
            return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return None


@asynccontextmanager
async def system(
    folder: Path, queues: list[str], workers: int, *, old_redis: bool
) -> AsyncIterator[System]:
    """Start the system with its workers. The caller adds producers."""
    made = System(folder, queues, old_redis=old_redis)
    try:
        async with AsyncExitStack() as exits:
            await made.open(exits)
            for number in range(workers):
                proxy = await exits.enter_async_context(Proxy(made.primary.port))
                made.workers.append(WorkerMember(number, proxy, queues, made.ledger))
                made.workers[-1].start()
            yield made
            made.destroy()  # before their proxies
    finally:
        made.destroy()
