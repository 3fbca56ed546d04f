"""The kinds of faults: how each is injected, and undone.

An injection gives who was hit: process ids, or none if all were.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis

from faults.orders import Order
from faults.plan import Fault, Shape
from faults.system import Member, System, WorkerMember
from support.clock import LIBRARY
from support.processes import LEASE_SECONDS
from support.proxy import BOTH_WAYS, Way

Injection = Callable[[System, Fault], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind."""

    inject: Injection
    shape: Shape
    about: str
    of_redis: bool
    """Redis suffers itself: one such fault at a time."""


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
    return [_signal(worker, signal.SIGKILL)]


def _signal(member: Member, number: signal.Signals) -> int:
    member.hit, pid = True, member.process.pid
    member.send(number)
    return pid


@kind("all workers killed", 0.5)
async def all_workers_killed(system: System, _: Fault) -> list[int]:
    """SIGKILL, all of them at the same moment."""
    return [_signal(worker, signal.SIGKILL) for worker in system.workers]


@kind("worker frozen past its lease", 2, LEASE_SECONDS + 1.5, LEASE_SECONDS + 6)
async def worker_frozen(system: System, fault: Fault) -> list[int]:
    """SIGSTOP for longer than its lease, then SIGCONT: a zombie."""
    return await _frozen(_worker(system, fault), fault)


@kind("worker frozen shortly", 1, 0.5, LEASE_SECONDS)
async def worker_frozen_shortly(system: System, fault: Fault) -> list[int]:
    """SIGSTOP for less than its lease, then SIGCONT."""
    return await _frozen(_worker(system, fault), fault)


async def _frozen(member: Member, fault: Fault) -> list[int]:
    process = member.process
    member.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
    return [process.pid]


@kind("worker terminated", 2)
async def worker_terminated(system: System, fault: Fault) -> list[int]:
    """SIGTERM."""
    return [_signal(_worker(system, fault), signal.SIGTERM)]


@kind("storm of terminations", 0.7, 1, 3)
async def termination_storm(system: System, fault: Fault) -> list[int]:
    """SIGTERM to every worker, three times."""
    pids: set[int] = set()
    for _ in range(3):
        pids |= {_signal(worker, signal.SIGTERM) for worker in system.workers}
        await asyncio.sleep(fault.seconds / 3)
    return sorted(pids)


@kind("job ends its process", 1.5)
async def job_exits(system: System, fault: Fault) -> list[int]:
    """A task that exits as an out-of-memory kill does, once or twice, then succeeds."""
    await _as_task(system, fault, "exits", (1 + round(fault.strength),))
    return [-1]  # whoever gets it


@kind("job blocks the loop", 1)
async def job_blocks(system: System, fault: Fault) -> list[int]:
    """CPU-bound code in an async job, for longer than a lease."""
    await _as_task(system, fault, "hold_the_loop", (LEASE_SECONDS + 2 * fault.strength,))
    return [-1]


async def _as_task(system: System, fault: Fault, function: str, args: tuple[object, ...]) -> None:
    queue = system.queues[fault.victim % len(system.queues)]
    await system.enqueue(Order(f"{queue}:fault-{fault.number}", queue, function, function, args))


@kind("clock jumps", 1.5)
async def clock_jumps(system: System, fault: Fault) -> list[int]:
    """The time of day of a worker's host, by up to an hour, either way."""
    worker = _worker(system, fault)
    if worker.clock is not None:
        worker.clock.jump(round((2 * fault.strength - 1) * 3600))
    return [worker.process.pid]


@kind("producer killed", 2)
async def producer_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL; its next life enqueues again what it does not know to be accepted."""
    return [_signal(system.producers[fault.victim % len(system.producers)], signal.SIGKILL)]


# --- Redis ------------------------------------------------------------------------------------


@kind("Redis killed", 2, 0, 2, of_redis=True)
async def redis_killed(system: System, fault: Fault) -> list[int]:
    """SIGKILL; restarted from its append-only file."""
    system.primary.kill()
    await _down(system, fault)
    return []


@kind("Redis away past the lease", 0.7, LEASE_SECONDS + 1, LEASE_SECONDS + 5, of_redis=True)
async def redis_away(system: System, fault: Fault) -> list[int]:
    """SIGKILL; restarted when every lease has run out."""
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
    """It has reached maxmemory and evicts nothing."""
    with system.primary.client() as raw:
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            raw.config_set("maxmemory", 0)
    return []


@kind("scripts forgotten", 1, of_redis=True)
async def scripts_forgotten(system: System, _: Fault) -> list[int]:
    """SCRIPT FLUSH."""
    with system.primary.client() as raw:
        raw.script_flush()
    return []


@kind("clients disconnected by Redis", 1, of_redis=True)
async def clients_killed(system: System, _: Fault) -> list[int]:
    """CLIENT KILL, subscribers too."""
    with system.primary.client() as raw:
        for kind_of_client in ("normal", "pubsub"):
            raw.client_kill_filter(_type=kind_of_client, skipme=True)
    return []


@kind("failover", 1.5, of_redis=True)
async def failover(system: System, _: Fault) -> list[int]:
    """The replica takes over when it has all; the old primary goes, a new replica comes."""
    await system.fail_over()
    return []


# --- the network ------------------------------------------------------------------------------


@kind("connections cut", 2)
async def connections_cut(system: System, fault: Fault) -> list[int]:
    """Reset, of one process or of all."""
    if fault.strength < 0.5:
        member = _member(system, fault)
        member.proxy.cut()
        return [member.process.pid]
    for member in system.members:
        member.proxy.cut()
    return []


@kind("connections refused", 1, 0.5, LEASE_SECONDS + 4)
async def connections_refused(system: System, fault: Fault) -> list[int]:
    """One process is cut off for a while, and told so."""
    member = _member(system, fault)
    member.proxy.refuse()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.accept()
    return [member.process.pid]


@kind("bytes vanish", 2, 1, LEASE_SECONDS + 10)
async def bytes_vanish(system: System, fault: Fault) -> list[int]:
    """One process' connections are half open: requests, replies or both are swallowed."""
    ways = [frozenset({Way.REQUESTS}), frozenset({Way.REPLIES}), BOTH_WAYS]
    member = _member(system, fault)
    member.proxy.swallow(ways[int(fault.strength * 2.99)])
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.stop_swallowing()
    return [member.process.pid]


@kind("bytes come late", 2, 0.5, LEASE_SECONDS + 10)
async def bytes_late(system: System, fault: Fault) -> list[int]:
    """One process' bytes are held up, and then all delivered, to whoever is still there."""
    member = _member(system, fault)
    member.proxy.hold()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        member.proxy.release()
    return [member.process.pid]


@kind("replies slow", 1, 1, 8)
async def replies_slow(system: System, fault: Fault) -> list[int]:
    """Each takes up to half a second longer, for all."""
    members = list(system.members)
    for member in members:
        member.proxy.delay_replies(0.02 + fault.strength / 2)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        for member in members:
            member.proxy.delay_replies(0)
    return []


def available() -> dict[str, Kind]:
    """The kinds that this machine can inject."""
    return {name: k for name, k in KINDS.items() if LIBRARY or name != "clock jumps"}
