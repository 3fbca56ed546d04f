"""Producer process of a chaos run: enqueues a list of orders, awaits some and cancels some.

It writes everything that it learns into a journal. After it was killed and started again, it reads
the journal and sends all orders again of which it does not know that they were accepted. It exits
with 0 when every order is accepted and every wait has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from identtqueue import Client, IdenttqueueError, SyncClient
from identtqueue.errors import RedisError, ResultTimeout
from identtqueue.protocol.answers import Enqueued, Receipt
from testing.faults.orders import Order, orders_of

WAIT_SECONDS = 3600.0
"""Longer than a run, because a wait ends when its task does. A wait that does not end keeps the
producer running, and so the run does not drain."""

SENDS_AT_ONCE = 8

THREADS = 64
"""Timeout of the blocking client's calls."""


class Journal:
    """Lines `<what> <task id> [more]`, written at once, so that they outlive the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.accepted: set[str] = set()
        self.asked: set[str] = set()
        for what, task_id, _ in read_journal(path):
            self._note(what, task_id)

    def write(self, lines: Sequence[tuple[str, str, str]]) -> None:
        """Add lines."""
        with self._path.open("ab", buffering=0) as file:
            file.write("".join(f"{' '.join(line)}\n" for line in lines).encode())
        for what, task_id, _ in lines:
            self._note(what, task_id)

    def _note(self, what: str, task_id: str) -> None:
        if what in ("accepted", "unique"):
            self.accepted.add(task_id)
        elif what == "answered":
            self.asked.add(task_id)


def read_journal(path: Path) -> Iterator[tuple[str, str, str]]:
    """Read the lines as (word, task id, more). An incomplete last line is ignored."""
    if path.exists():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                what, task_id, *more = line.split()
                yield what, task_id, " ".join(more)


class BlockingCalls:
    """Adapter that calls the blocking client in threads, with the methods of the asyncio client."""

    def __init__(self, address: str) -> None:
        self._client = SyncClient(address)
        self._threads = ThreadPoolExecutor(THREADS)

    async def __aenter__(self) -> BlockingCalls:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()
        self._threads.shutdown()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        async def in_thread(*args: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, call, *args)

        return in_thread


class Producer:
    """Sender of orders at a steady pace. After an outage or its own death it catches up.

    Args:
        client: asyncio or blocking.
        journal: what it knows.
        begun: `time.monotonic()` of the first life's start.
        per_second: tasks.
    """

    def __init__(self, client: Any, journal: Journal, begun: float, per_second: float) -> None:
        self._client = client
        self._journal = journal
        self._begun = begun
        self._per_second = per_second
        self._side_jobs: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Semaphore(SENDS_AT_ONCE)
        self._waiting = asyncio.Semaphore(THREADS // 2)

    async def run(self, groups: Iterator[list[Order]]) -> None:
        """Send all orders, and wait for all waits to end."""
        async with asyncio.TaskGroup() as sends:
            number = 0
            for group in groups:
                await asyncio.sleep(self._begun + number / self._per_second - time.monotonic())
                await self._sending.acquire()
                sends.create_task(self._serve(group))
                number += len(group)
        await asyncio.gather(*self._side_jobs)

    async def _serve(self, group: list[Order]) -> None:
        try:
            unknown = [o for o in group if o.task_id not in self._journal.accepted]
            if unknown:
                await self._send(unknown)
        finally:
            self._sending.release()
        for order in group:
            self._follow_up(order)

    async def _send(self, orders: list[Order]) -> None:
        """Send orders until they are accepted. After an error they may be: the ids make it safe."""
        while True:
            try:
                submissions = [order.submission() for order in orders]
                receipts: list[Receipt] = await self._client.submit_many(submissions)
            except RedisError as error:
                print(f"enqueue {orders[0].task_id}…: {error}", flush=True)
                await asyncio.sleep(0.2)
                continue
            self._journal.write(
                [
                    ("unique", order.task_id, receipt.task_id)
                    if receipt.status is Enqueued.UNIQUE
                    else ("accepted", order.task_id, receipt.status.value)
                    for order, receipt in zip(orders, receipts, strict=True)
                ]
            )
            return

    def _follow_up(self, order: Order) -> None:
        if order.task_id in self._journal.asked:
            return
        for wanted, work in (
            (order.awaited, self._await),
            (order.cancel_after_seconds is not None, self._cancel),
        ):
            if wanted:
                task = asyncio.create_task(work(order))
                self._side_jobs.add(task)

    async def _await(self, order: Order) -> None:
        if order.unique_key is not None:
            return  # it may be another's task
        async with self._waiting:
            end = await self._end_of(order.task_id)
        self._journal.write([("answered", order.task_id, end)])

    async def _end_of(self, task_id: str) -> str:
        """Wait for a task; return "succeeded" or the name of the error."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                await self._client.wait_for_result(task_id, deadline - time.monotonic())
            except ResultTimeout:
                return "ResultTimeout"
            except RedisError:
                await asyncio.sleep(0.2)
            except IdenttqueueError as error:
                return type(error).__name__
            else:
                return "succeeded"

    async def _cancel(self, order: Order) -> None:
        await asyncio.sleep(order.cancel_after_seconds or 0)
        self._journal.write([("cancel", order.task_id, "")])
        while True:
            try:
                asked = await self._client.cancel(order.task_id)
            except RedisError:
                await asyncio.sleep(0.2)
            else:
                self._journal.write([("cancelled", order.task_id, str(asked))])
                return


async def main(args: argparse.Namespace) -> None:
    journal = Journal(args.journal)
    groups = orders_of(args.seed, args.producer, args.queue, args.tasks)
    async with AsyncExitStack() as exits:
        kind = BlockingCalls if args.blocking else Client
        client = await exits.enter_async_context(kind(args.address))
        await Producer(client, journal, args.begun, args.per_second).run(groups)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--producer", type=int, required=True)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--begun", type=float, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--queue", action="append", required=True)
    parser.add_argument("--blocking", action="store_true")
    asyncio.run(main(parser.parse_args()))
