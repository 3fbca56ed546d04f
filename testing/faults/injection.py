"""The kinds of faults, and how each is injected and undone.

An injection returns the ids of the processes that it has hit, or none if it has hit all. Its
docstring describes the fault in the report.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis

from testing.clock import LIBRARY
from testing.faults.orders import MAX_DELIVERIES, Order
from testing.faults.plan import Fault, Shape
from testing.faults.report import task_name
from testing.faults.system import Member, System, WorkerMember, insist
from testing.processes import LEASE_SECONDS
from testing.proxy import BOTH_WAYS, Way
from testing.waiting import eventually

Injection = Callable[[System, Fault], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault."""

    inject: Injection
    shape: Shape
    about: str
    of_redis: bool
    """The fault hits Redis itself, so only one such fault may happen at a time."""


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    weight: float,
    shortest: float = 0.0,
    longest: float = 0.0,
    *,
    of_redis: bool = False,
) -> Callable[[Injection], Injection]:
    """Register an injection."""

    def register(inject: Injection) -> Injection:
        about = (inject.__doc__ or "").strip().rstrip(".")
        KINDS[name] = Kind(inject, Shape(weight, shortest, longest), about, of_redis)
        return inject

    return register


def _worker(system: System, fault: Fault) -> WorkerMember:
    return system.workers[fault.victim % len(system.workers)]


def _member(system: System, fault: Fault) -> Member:
    return system.members[fault.victim % len(system.members)]


# --- processes --------------------------------------------------------------------------------


@kind("worker killed", 3)
async def worker_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL."""
    worker = _worker(system, fault)
    return _signal(worker, signal.SIGKILL)


def _signal(member: Member, number: signal.Signals) -> list[int]:
    """Send a signal; return the ids of the process and of its processes for jobs."""
    member.hit, pids = True, _family(member)
    member.send(number)
    return pids


def _family(member: Member) -> list[int]:
    jobs = member.job_processes() if isinstance(member, WorkerMember) else []
    return [member.process.pid, *jobs]


@kind("worker killed, and known to be dead", 2)
async def worker_known_dead(system: System, fault: Fault) -> list[int]:
    """SIGKILL; its tasks are recovered at once, as by the operator when the kubelet reports it."""
    worker = _worker(system, fault)
    process, worker_id = worker.process, worker.worker_id
    pids = _signal(worker, signal.SIGKILL)
    await eventually(lambda: process.poll() is not None, "it has ended")
    if worker_id is not None:
        for queue in system.queues:
            await insist(lambda q=queue: _recover(system, q, worker_id))
    return pids


async def _recover(system: System, queue: str, worker_id: str) -> None:
    await system.admin.recover(queue, worker_id, waive_lease=True, max_deliveries=MAX_DELIVERIES)


@kind("process of a job killed", 1.5)
async def job_process_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL: its attempt fails, and the worker carries on."""
    pids = _worker(system, fault).job_processes()
    if not pids:
        return [-2]  # it had none
    pid = pids[fault.victim % len(pids)]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return [pid]


@kind("worker drained", 1, 1, 8)
async def worker_drained(system: System, fault: Fault) -> list[int]:
    """Drained and called back, as in a scale-down that is given up."""
    worker = _worker(system, fault)
    worker_id = worker.worker_id
    if worker_id is not None:
        for queue in system.queues:
            await insist(lambda q=queue: system.admin.drain(q, [worker_id]))
        await asyncio.sleep(fault.seconds)
        for queue in system.queues:
            await insist(lambda q=queue: system.admin.undrain(q, [worker_id]))
    return _family(worker)


@kind("queue paused", 1, 1, 8)
async def queue_paused(system: System, fault: Fault) -> list[int]:
    """The queue is paused, so nothing is claimed, and then resumed."""
    queue = system.queues[fault.victim % len(system.queues)]
    await insist(lambda: system.admin.pause(queue))
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        await insist(lambda: system.admin.resume(queue))
    return [-1]


@kind("all workers killed", 0.5)
async def all_workers_killed(system: System, _: Fault) -> list[int]:
    """SIGKILL, all of them at the same moment."""
    return [pid for worker in system.workers for pid in _signal(worker, signal.SIGKILL)]


@kind("worker frozen past its lease", 2, LEASE_SECONDS + 1.5, LEASE_SECONDS + 6)
async def worker_frozen(system: System, fault: Fault) -> list[int]:
    """SIGSTOP for longer than its lease, then SIGCONT: its tasks run elsewhere meanwhile."""
    return await _frozen(_worker(system, fault), fault)


@kind("worker frozen shortly", 1, 0.5, LEASE_SECONDS)
async def worker_frozen_shortly(system: System, fault: Fault) -> list[int]:
    """SIGSTOP for less than its lease, then SIGCONT."""
    return await _frozen(_worker(system, fault), fault)


async def _frozen(member: Member, fault: Fault) -> list[int]:
    process, pids = member.process, _family(member)
    member.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
    return pids


@kind("worker terminated", 2)
async def worker_terminated(system: System, fault: Fault) -> list[int]:
    """SIGTERM."""
    return _signal(_worker(system, fault), signal.SIGTERM)


@kind("worker of the release before", 1.5, 3, 15)
async def rolling_deploy(system: System, fault: Fault) -> list[int]:
    """A worker is replaced by one of an older release that lacks a job, and back."""
    worker = _worker(system, fault)
    worker.is_old = True
    pids = _signal(worker, signal.SIGTERM)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        worker.is_old = False
        pids += _signal(worker, signal.SIGTERM)
    return pids


@kind("storm of terminations", 0.7, 1, 3)
async def termination_storm(system: System, fault: Fault) -> list[int]:
    """SIGTERM to every worker, three times."""
    pids: set[int] = set()
    for _ in range(3):
        for worker in system.workers:
            pids.update(_signal(worker, signal.SIGTERM))
        await asyncio.sleep(fault.seconds / 3)
    return sorted(pids)


@kind("job ends its process", 1.5)
async def job_exits(system: System, fault: Fault) -> list[int]:
    """A task that exits as an out-of-memory kill does, once or twice, then succeeds."""
    await _as_task(system, fault, "exits", (1 + round(fault.strength),))
    return [-1]  # any of them


@kind("a task kills every worker", 0.4)
async def poison(system: System, fault: Fault) -> list[int]:
    """A task that exits in each attempt, among innocent ones, until it is a dead letter."""
    await _as_task(system, fault, "poison", ())
    return [-1]


@kind("child task of a job exits", 1)
async def child_exits(system: System, fault: Fault) -> list[int]:
    """sys.exit inside asyncio.gather: the attempt fails, and the worker carries on."""
    await _as_task(system, fault, "exits_in_a_child", ())
    return [-1]


@kind("executor exhausted", 1, 1, LEASE_SECONDS + 5)
async def executor_exhausted(system: System, fault: Fault) -> list[int]:
    """A job fills the default executor of its worker's event loop with asyncio.to_thread."""
    await _as_task(system, fault, "fill_the_executor", (fault.seconds,))
    await asyncio.sleep(fault.seconds)
    return [-1]


@kind("job blocks the loop for good", 0.7)
async def job_blocks_for_good(system: System, fault: Fault) -> list[int]:
    """An async job blocks for ever; its worker is killed, as after a failed liveness probe."""
    await _as_task(system, fault, "block_for_good", ())
    task = system.orders[-1].task_id
    start = await eventually(
        lambda: system.ledger.first_start(task),
        "it runs",
        seconds=600,  # behind whatever has gathered while Redis was away
    )
    await asyncio.sleep(LEASE_SECONDS)
    for worker in system.workers:
        if worker.process.pid == start.pid:
            _signal(worker, signal.SIGKILL)
    return [start.pid]


@kind("job blocks the loop", 1)
async def job_blocks(system: System, fault: Fault) -> list[int]:
    """CPU-bound code in an async job blocks the event loop for longer than a lease."""
    await _as_task(system, fault, "hold_the_loop", (LEASE_SECONDS + 2 * fault.strength,))
    return [-1]


async def _as_task(system: System, fault: Fault, function: str, args: tuple[object, ...]) -> None:
    queue = system.queues[fault.victim % len(system.queues)]
    await system.enqueue(Order(f"{queue}:{task_name(fault)}", queue, function, function, args))


@kind("clock jumps", 1.5)
async def clock_jumps(system: System, fault: Fault) -> list[int]:
    """The time of day of a worker's host jumps by up to an hour, forward or back."""
    worker = _worker(system, fault)
    if worker.clock is not None:
        worker.clock.jump(round((2 * fault.strength - 1) * 3600))
    return _family(worker)


@kind("producer killed", 2)
async def producer_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL; after its restart it enqueues all orders again whose acceptance is unknown."""
    return _signal(system.producers[fault.victim % len(system.producers)], signal.SIGKILL)


# --- Redis ------------------------------------------------------------------------------------


@kind("Redis killed", 2, 0, 2, of_redis=True)
async def redis_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL; restarted from its append-only file."""
    system.primary.kill()
    await _down(system, fault)
    return []


@kind("Redis away past the lease", 0.7, LEASE_SECONDS + 1, LEASE_SECONDS + 5, of_redis=True)
async def redis_away(system: System, fault: Fault) -> list[int]:
    """SIGKILL; restarted after every lease has run out."""
    return await redis_killed(system, fault)


@kind("Redis killed in its rewrite", 1, 0, 1, of_redis=True)
async def redis_killed_in_rewrite(system: System, fault: Fault) -> list[int]:
    """SIGKILL while it rewrites its append-only file."""
    with system.primary.client() as raw, contextlib.suppress(redis.RedisError):
        raw.bgrewriteaof()
    system.primary.kill()
    await _down(system, fault)
    return []


async def _down(system: System, fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(system.primary.start)


@kind("Redis stopped", 1, 0, 1, of_redis=True)
async def redis_stopped(system: System, fault: Fault) -> list[int]:
    """SIGTERM and start: an upgrade."""
    await asyncio.to_thread(system.primary.stop)
    await _down(system, fault)
    return []


@kind("Redis frozen", 1.5, 0.5, 10, of_redis=True)
async def redis_frozen(system: System, fault: Fault) -> list[int]:
    """SIGSTOP, up to 10 s."""
    system.primary.pause()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        system.primary.resume()
    return []


@kind("Redis pauses clients", 1, 0.5, 10, of_redis=True)
async def redis_pauses(system: System, fault: Fault) -> list[int]:
    """CLIENT PAUSE, up to 10 s."""
    with system.primary.client() as raw:
        raw.client_pause(round(fault.seconds * 1000))
    await asyncio.sleep(fault.seconds)
    return []


@kind("Redis full", 1.5, 1, 5, of_redis=True)
async def redis_full(system: System, fault: Fault) -> list[int]:
    """Redis has reached maxmemory and evicts nothing."""
    with system.primary.client() as raw:
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            raw.config_set("maxmemory", 0)
    return []


@kind("Redis busy with a script", 1, 0.5, 8, of_redis=True)
async def redis_busy(system: System, fault: Fault) -> list[int]:
    """A foreign script runs for up to 8 s: BUSY is the answer to all other calls."""
    with system.primary.client(socket_timeout=60, retry=None) as raw:
        raw.config_set("lua-time-limit", 200)
        await asyncio.to_thread(raw.eval, _SPIN, 0, round(fault.seconds * 1000))
        raw.config_set("lua-time-limit", 5000)
    return []


_SPIN = """
local function ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end
local ends = ms() + ARGV[1]
while ms() < ends do end
"""


@kind("Redis takes no more clients", 1, 0.5, 8, of_redis=True)
async def redis_crowded(system: System, fault: Fault) -> list[int]:
    """Redis has reached maxclients, and all open connections are closed."""
    with system.primary.client() as raw:
        raw.ping()
        raw.config_set("maxclients", 1)
        try:
            for kind_of_client in ("normal", "pubsub"):
                raw.client_kill_filter(_type=kind_of_client, skipme=True)
            await asyncio.sleep(fault.seconds)
        finally:
            raw.config_set("maxclients", 10_000)
    return []


@kind("Redis' clock steps", 1, of_redis=True)
async def redis_clock_steps(system: System, fault: Fault) -> list[int]:
    """Redis' clock is up to 10 s ahead or behind: all leases run out at once, or last longer."""
    if system.redis_clock is not None:
        system.redis_clock.jump(round((2 * fault.strength - 1) * 10))
    return []


@kind("scripts forgotten", 1, of_redis=True)
async def scripts_forgotten(system: System, _: Fault) -> list[int]:
    """SCRIPT FLUSH."""
    with system.primary.client() as raw:
        raw.script_flush()
    return []


@kind("clients disconnected by Redis", 1, of_redis=True)
async def clients_killed(system: System, _: Fault) -> list[int]:
    """CLIENT KILL of all connections, including subscribers."""
    with system.primary.client() as raw:
        for kind_of_client in ("normal", "pubsub"):
            raw.client_kill_filter(_type=kind_of_client, skipme=True)
    return []


@kind("failover", 1.5, of_redis=True)
async def failover(system: System, _: Fault) -> list[int]:
    """The replica takes over when it has all data; a new replica replaces the old primary."""
    await system.fail_over()
    return []


# --- the network ------------------------------------------------------------------------------


@kind("connections cut", 2)
async def connections_cut(system: System, fault: Fault) -> list[int]:
    """The connections of one process or of all are reset."""
    if fault.strength < 0.5:
        member = _member(system, fault)
        member.proxy.cut()
        return _family(member)
    for member in system.members:
        member.proxy.cut()
    return []


@kind("connections refused", 1, 0.5, LEASE_SECONDS + 4)
async def connections_refused(system: System, fault: Fault) -> list[int]:
    """One process is disconnected, and refused again for a while."""
    member = _member(system, fault)
    member.proxy.refuse()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.accept()
    return _family(member)


@kind("bytes vanish", 2, 1, LEASE_SECONDS + 10)
async def bytes_vanish(system: System, fault: Fault) -> list[int]:
    """One process' connections are half open: requests, replies or both are lost."""
    ways = [frozenset({Way.REQUESTS}), frozenset({Way.REPLIES}), BOTH_WAYS]
    member = _member(system, fault)
    member.proxy.swallow(ways[int(fault.strength * 2.99)])
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.stop_swallowing()
    return _family(member)


@kind("bytes come late", 2, 0.5, LEASE_SECONDS + 10)
async def bytes_late(system: System, fault: Fault) -> list[int]:
    """The bytes of one process are held up and then all delivered, even if it has died."""
    member = _member(system, fault)
    member.proxy.hold()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.release()
    return _family(member)


@kind("replies slow", 1, 1, 8)
async def replies_slow(system: System, fault: Fault) -> list[int]:
    """Each reply takes up to half a second longer, for all processes."""
    members = list(system.members)
    for member in members:
        member.proxy.delay_replies(0.02 + fault.strength / 2)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        for member in members:
            member.proxy.delay_replies(0)
    return []


@kind("link slow", 2, 2, LEASE_SECONDS + 10)
async def link_slow(system: System, fault: Fault) -> list[int]:
    """One process' connections carry 30 kB/s to 1 MB/s each way."""
    member = _member(system, fault)
    member.proxy.throttle(30_000 + 1_000_000 * fault.strength**2)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.throttle(0)
    return _family(member)


def available(*, old_redis: bool = False) -> dict[str, Kind]:
    """Return the kinds of faults that can be injected on this machine.

    Jumping clocks need libfaketime. For the clock of Redis itself, a redis-server without jemalloc
    is needed as well, because libfaketime crashes with jemalloc: the tests' old server has none.
    """
    missing = set() if LIBRARY else {"clock jumps"}
    if not (LIBRARY and old_redis):
        missing.add("Redis' clock steps")
    return {name: kind for name, kind in KINDS.items() if name not in missing}
