"""One chaos run: starts everything, injects the faults, lets it drain and checks the books."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import redis

from identtqueue.errors import RedisError
from testing.faults import books
from testing.faults.injection import available
from testing.faults.orders import Order, orders_of
from testing.faults.plan import Fault, make_plan
from testing.faults.producer import read_journal
from testing.faults.report import Injected, at_their_starts
from testing.faults.system import ProducerMember, System, system
from testing.invariants import check_containers
from testing.proxy import Proxy
from testing.waiting import eventually

DRAIN_SECONDS = 600.0
"""Longest time from the end of all faults until everything has ended, on a machine that is too slow
for the pace. On others it takes a second or two."""

STALL_SECONDS = 60.0
"""Longest time without any change after the end of all faults, while something has not ended."""

BLOCKING_SHARE = 10
"""One task in this many comes from the blocking client."""

PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a run, and its choice of faults.

    Attributes:
        gap_seconds: between faults, on average.
        old_redis: the oldest supported version instead of the system's.
        only: the kinds of faults; empty: all.
    """

    seed: int
    tasks: int
    faults: int
    gap_seconds: float
    workers: int
    producers: int
    queues: int
    old_redis: bool = False
    only: tuple[str, ...] = ()


class Run:
    """One chaos run.

    Args:
        size: of what.
        folder: for ledger, journals and logs; empty.
    """

    def __init__(self, size: Size, folder: Path) -> None:
        self._size = size
        self._folder = folder
        self._kinds = available(old_redis=size.old_redis)
        shapes = {
            name: kind.shape
            for name, kind in self._kinds.items()
            if not size.only or name in size.only
        }
        self.plan = make_plan(size.seed, size.faults, shapes, size.gap_seconds)
        self.queues = [f"chaos-{n}" for n in range(size.queues)]
        self.injected: list[Injected] = []
        self.problems: list[str] = []
        self._redis_turn = asyncio.Lock()
        self._now: dict[int, str] = {}  # faults that are going on
        self._begun = time.monotonic()
        self._numbers: dict[str, int] = {}

    async def play(self) -> books.Books:
        """Play the whole run, from the first start to the books."""
        self._begun = time.monotonic()
        async with (
            AsyncExitStack() as exits,
            system(
                self._folder, self.queues, self._size.workers, old_redis=self._size.old_redis
            ) as made,
        ):
            await self._add_producers(made, exits)
            watch = asyncio.create_task(self._watch(made))
            try:
                await eventually(made.ledger.lines, "the first task runs")
                await self._inject_all(made)
                self._say("all faults have stopped")
                await self._drain(made)
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            for worker in made.workers:
                await asyncio.wait_for(worker.stop(), 60)
            with suppress(AssertionError):
                await eventually(lambda: not made.left_running(), seconds=10)
            self.problems += [f"still running: {each}" for each in made.left_running()]
            return await asyncio.to_thread(self._make_up, made)

    async def _add_producers(self, made: System, exits: AsyncExitStack) -> None:
        for number in range(self._size.producers):
            proxy = await exits.enter_async_context(Proxy(made.primary.port))
            share = self._share(number)
            options = [
                *("--seed", str(self._size.seed), "--producer", str(number)),
                *("--begun", str(time.monotonic())),
                *("--tasks", str(share), "--per-second", f"{share / self._load_seconds():.3f}"),
                *(word for queue in self.queues for word in ("--queue", queue)),
                *(["--blocking"] if number == self._size.producers - 1 else []),
            ]
            journal = self._folder / f"producer-{number}"
            made.producers.append(ProducerMember(number, proxy, journal, options))
            made.producers[-1].start()

    def _share(self, producer: int) -> int:
        """Return a producer's number of tasks. The last, with slower threads, has fewer."""
        tasks, others = self._size.tasks, self._size.producers - 1
        blocking = tasks // BLOCKING_SHARE if others else tasks
        if producer == others:
            return blocking
        rest = tasks - blocking
        return rest // others + (producer < rest % others)

    def _load_seconds(self) -> float:
        """Return the time over which tasks are spread: that of the faults, less what they cost."""
        return max(0.85 * self.plan[-1].at_seconds, 1.0)

    # --- faults ---

    async def _inject_all(self, made: System) -> None:
        async with asyncio.TaskGroup() as group:
            begun = time.monotonic()
            for fault in self.plan:
                await asyncio.sleep(begun + fault.at_seconds - time.monotonic())
                group.create_task(self._inject(made, fault))

    async def _inject(self, made: System, fault: Fault) -> None:
        kind = self._kinds[fault.kind]
        async with self._redis_turn if kind.of_redis else nullcontext():
            begun = time.monotonic()
            self._now[fault.number] = fault.kind
            try:
                pids = await kind.inject(made, fault)
            finally:
                del self._now[fault.number]
        self.injected.append(Injected(fault, begun, time.monotonic(), pids))

    # --- watching ---

    async def _watch(self, made: System) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with suppress(RedisError, TimeoutError):
                async with asyncio.timeout(2):
                    await self._look(made)
            with suppress(redis.RedisError):
                await asyncio.to_thread(self._check_containers, made)
            self._progress(made)

    def _check_containers(self, made: System) -> None:
        with made.primary.client(socket_timeout=2, retry=None) as raw:
            for queue in self.queues:
                try:
                    check_containers(raw, queue)
                except AssertionError as error:
                    self.problems.append(f"{queue}, while it was busy: {error}")

    async def _look(self, made: System) -> None:
        depths = (await made.admin.depths(self.queues)).values()
        self._numbers = {
            "enqueued": sum(d.counters.get("enqueued", 0) for d in depths),
            "ended": sum(
                d.counters.get(name, 0)
                for d in depths
                for name in ("succeeded", "failed", "cancelled")
            ),
            "queued": sum(d.queued for d in depths),
            "in flight": sum(d.in_flight for d in depths),
            "scheduled": sum(d.scheduled for d in depths),
        }

    def _progress(self, made: System) -> None:
        numbers = "  ".join(f"{name} {n:,}" for name, n in self._numbers.items())
        starts = sum(worker.starts for worker in made.workers)
        self._say(
            f"faults {len(self.injected)}/{len(self.plan)}  {numbers}  worker starts {starts}  "
            f"now: {', '.join(self._now.values()) or '-'}"
        )

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.0f} s  {text}", file=sys.stderr, flush=True)

    # --- the end ---

    async def _drain(self, made: System) -> None:
        """Wait until everything has ended, in bounded time and without ever standing still."""
        ended = asyncio.create_task(self._until_empty(made))
        begun = moved = time.monotonic()
        before: dict[str, int] = {}
        while not ended.done() and time.monotonic() < min(
            begun + DRAIN_SECONDS, moved + STALL_SECONDS
        ):
            await asyncio.wait({ended}, timeout=1)
            if self._numbers != before:
                before, moved = dict(self._numbers), time.monotonic()
        if ended.done():
            ended.result()
            return
        ended.cancel()
        self.problems.append(
            f"not drained {time.monotonic() - begun:.0f} s after the last fault, the last change "
            f"{time.monotonic() - moved:.0f} s ago: {self._numbers}"
        )
        for producer in made.producers:
            producer.destroy()

    async def _until_empty(self, made: System) -> None:
        for producer in made.producers:
            await producer.ended()
        await eventually(lambda: self._is_empty(made), seconds=DRAIN_SECONDS)
        # Those that a fault has killed are listed until the upkeep of a living one notices.
        await eventually(lambda: self._all_live(made), seconds=DRAIN_SECONDS)

    async def _is_empty(self, made: System) -> bool:
        with suppress(RedisError):
            await self._look(made)
            return not any(self._numbers[name] for name in ("queued", "in flight", "scheduled"))
        return False

    async def _all_live(self, made: System) -> bool:
        with suppress(RedisError):
            listed = [await made.admin.workers(queue) for queue in self.queues]
            return all(worker.connected for worker in chain.from_iterable(listed))
        return False

    def _make_up(self, made: System) -> books.Books:
        self._say("making up the books")
        journals = chain.from_iterable(read_journal(p.journal) for p in made.producers)
        lines = made.ledger.lines()
        at_their_starts(self.injected, lines)
        with made.primary.client() as raw:
            found = books.make_up(
                chain(self._orders(), made.orders),
                journals if not made.orders else chain(journals, _accepted(made.orders)),
                lines,
                raw,
                self.queues,
            )
        for member in made.members:
            found.problems += member.surprises
        found.problems += [*self.problems, *self._tracebacks()]
        self.starts = {
            "worker_starts": sum(worker.starts for worker in made.workers),
            "producer_starts": sum(producer.starts for producer in made.producers),
        }
        return found

    def _orders(self) -> Iterator[Order]:
        for number in range(self._size.producers):
            for group in orders_of(self._size.seed, number, self.queues, self._share(number)):
                yield from group

    def _tracebacks(self) -> Iterator[str]:
        """Find tracebacks in the logs. Workers must expect these faults, so only jobs may fail."""
        for log in sorted(self._folder.glob("*.log")):
            text = log.read_text(errors="replace")
            found = next(unexpected_tracebacks(text), None)
            if found is not None:
                yield f"{log.name}: {text[max(0, found - 300) : found + 3000]}"


_OF_A_JOB = re.compile(
    r".* attempt \d+ (failed|retried): .*"
    r"|During handling of the above .*|The above exception was .*"
)
"""The line of a worker's log above the traceback of a job, or the line between the tracebacks of a
chain, of which only the first is judged."""


def unexpected_tracebacks(log: str) -> Iterator[int]:
    """Find the positions of tracebacks in a log that do not come from a job."""
    for found in re.finditer(r"^.*Traceback \(most recent call last\):", log, re.MULTILINE):
        above = log[: found.start()].rstrip().splitlines()[-1:]
        if not (above and _OF_A_JOB.fullmatch(above[0])):
            yield found.start()


def _accepted(orders: list[Order]) -> Iterator[tuple[str, str, str]]:
    for order in orders:
        yield "accepted", order.task_id, "ok"
