"""Cost of lists and searches: Redis' time for each page, and the bytes that a browser gets.

    python -m benchmarks.lists [--dead 100000] [--pending 1000000] [--times 21]

It starts a Redis of its own and fills a queue. Redis' time is what it counts for the scripts of a
page, or its CPU time if that is less, because a script stands still while other processes have the
CPU. For a page of the dashboard it is the CPU time. Printed are medians, and the fastest page.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import redis

from benchmarks.crowd import fill
from benchmarks.host import redis_cpu_seconds
from identtqueue.admin import Admin, Filter, Place
from identtqueue.client import Client
from identtqueue.dashboard.access.open import OpenToRead
from identtqueue.dashboard.reader import COURSE_FRESH_SECONDS
from identtqueue.protocol.calls import listing
from identtqueue.protocol.keys import queue_keys
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from testing.dashboard_server import DashboardServer
from testing.redis_server import RedisServer

QUEUE: Final = "lists"
CLAIMED: Final = "claimed"
RARE: Final = "job-of-nobody"
Read = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Spent:
    """Redis' time for one page.

    Attributes:
        scripts_ms: in the scripts, which are nearly all calls; CPU time if that is less.
        cpu_ms: CPU time of the server, with what it has read and written.
        calls: how many scripts.
    """

    scripts_ms: float
    cpu_ms: float
    calls: int

    def __sub__(self, earlier: Spent) -> Spent:
        """Return what was spent since then."""
        return Spent(
            self.scripts_ms - earlier.scripts_ms,
            self.cpu_ms - earlier.cpu_ms,
            self.calls - earlier.calls,
        )


class Meter:
    """A Redis that is read, and the time that it takes."""

    def __init__(self, raw: redis.Redis, times: int) -> None:
        self._raw = raw
        self._times = times

    async def measure(self, read: Read, between: Read | None = None) -> list[Spent]:
        """Read a page several times, and return what each time took, the least first.

        Args:
            read: reads it.
            between: what to wait for before each reading.
        """
        await read()  # loads the scripts
        found = []
        for _ in range(self._times):
            if between is not None:
                await between()
            before = self._spent()
            await read()
            spent = self._spent() - before
            found.append(replace(spent, scripts_ms=min(spent.scripts_ms, spent.cpu_ms)))
        return sorted(found, key=lambda spent: spent.scripts_ms)

    async def report(self, name: str, read: Read) -> None:
        """Measure a page, and print a line about it."""
        found = await self.measure(read)
        middle = found[len(found) // 2]
        print(
            f"| {name} | {middle.calls} | {middle.scripts_ms:.2f} | {found[0].scripts_ms:.2f} "
            f"| {middle.scripts_ms / middle.calls:.2f} |",
            flush=True,
        )

    def _spent(self) -> Spent:
        scripts = self._raw.info("commandstats").get("cmdstat_evalsha", {"usec": 0, "calls": 0})
        cpu_ms = 1_000 * redis_cpu_seconds(self._raw)
        return Spent(scripts["usec"] / 1_000, cpu_ms, scripts["calls"])


async def lists(meter: Meter, admin: Admin, connection: AsyncRedis, pending: int) -> None:
    """Print what pages, searches and counts cost."""
    print("| page | calls | Redis: ms | fastest | each call |\n|---|--:|--:|--:|--:|")
    none = Filter()

    def page(place: Place, wanted: Filter = none, **how: Any) -> Read:
        return lambda: admin.tasks(QUEUE, place, wanted, **how)

    def from_the_middle(anchor: str, *, newest_first: bool) -> Read:
        stop = listing.Stop(str(pending // 2), f"{QUEUE}:{anchor}")
        call = listing.page(
            QUEUE, Place.PENDING, "pending", stop=stop, newest_first=newest_first, most=50
        )
        return lambda: connection.run(call)

    middle = pending // 2
    for name, read in (
        ("50 pending, newest first", page(Place.PENDING)),
        ("50 pending, oldest first", page(Place.PENDING, newest_first=False)),
        (
            "50 pending in the middle",
            from_the_middle(f"pending{middle + 1}", newest_first=True),
        ),
        (
            "… the last task read waits 1,000 places further on",
            from_the_middle(f"pending{middle - 1_001}", newest_first=True),
        ),
        (
            "… it was claimed, newest first",
            from_the_middle(CLAIMED, newest_first=True),
        ),
        ("… it was claimed, oldest first", from_the_middle(CLAIMED, newest_first=False)),
        ("… it is forgotten, oldest first", from_the_middle("gone", newest_first=False)),
        (
            "… it waits 390,000 places further on, oldest first",
            from_the_middle("pending110000", newest_first=False),
        ),
        ("50 pending of a job", page(Place.PENDING, Filter(job="other"))),
        ("50 dead letters", page(Place.DEAD)),
        ("50 dead letters of a job", page(Place.DEAD, Filter(job="other"))),
        ("50 dead letters by error", page(Place.DEAD, Filter(error="ValueError"))),
        ("50 dead letters by text", page(Place.DEAD, Filter(text="0001.jpg"))),
        ("in vain in 10,000 dead letters: job", page(Place.DEAD, Filter(job=RARE))),
        ("… tag", page(Place.DEAD, Filter(tag=RARE))),
        ("… error", page(Place.DEAD, Filter(error=RARE))),
        ("… text", page(Place.DEAD, Filter(text=RARE))),
        ("in vain in 10,000 pending: job", page(Place.PENDING, Filter(job=RARE))),
        (
            "number of dead letters of a job: 100,000 looked at",
            lambda: admin.count(QUEUE, Place.DEAD, Filter(job="other")),
        ),
        ("10,000 dead letters by job and error", lambda: admin.dead_groups(QUEUE)),
        ("one task, whole", lambda: admin.record(f"{QUEUE}:dead1")),
    ):
        await meter.report(name, read)


async def pages(meter: Meter, address: str) -> None:
    """Print what pages of the dashboard cost: Redis' time, and bytes."""
    print(
        "\n| page of the dashboard | Redis: ms | HTML: bytes | gzipped "
        "| with its files, once: bytes | first push: bytes | push of a new task |\n"
        "|---|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        server = DashboardServer(address, Path(folder), auth=OpenToRead()).start()
        try:
            async with (
                httpx.AsyncClient(base_url=server.base, timeout=60) as browser,
                Client(address) as client,
            ):
                for name, path in (
                    ("overview", "/"),
                    ("queue", f"/queues/{QUEUE}"),
                    ("tasks: 50 pending", f"/queues/{QUEUE}/tasks"),
                    ("tasks: 50 dead letters", f"/queues/{QUEUE}/tasks?place=dead"),
                    ("tasks: in vain by text", f"/queues/{QUEUE}/tasks?place=dead&text={RARE}"),
                    ("dead letters by job and error", f"/dead?queue={QUEUE}"),
                ):
                    await _page(meter, browser, client, name, path)
        finally:
            server.stop()


async def _page(
    meter: Meter, browser: httpx.AsyncClient, client: Client, name: str, path: str
) -> None:
    answer = await browser.get(path)
    answer.raise_for_status()
    files = re.findall(r'(?:href|src)="([^"]*/static/[^"]+)"', answer.text)
    loaded = [(await browser.get(file)).raise_for_status().content for file in sorted(set(files))]

    async def load() -> None:
        (await browser.get(path)).raise_for_status()

    # Longer than the dashboard keeps answers for other browsers.
    found = await meter.measure(load, lambda: asyncio.sleep(COURSE_FRESH_SECONDS + 0.1))
    pushed = await _pushed(browser, client, answer.text)
    print(
        f"| {name} | {median(spent.cpu_ms for spent in found):.1f} | {len(answer.content):,} "
        f"| {len(gzip.compress(answer.content)):,} "
        f"| {len(answer.content) + sum(map(len, loaded)):,} "
        f"| {' | '.join(pushed)} |",
        flush=True,
    )


async def _pushed(browser: httpx.AsyncClient, client: Client, page: str) -> list[str]:
    """Return the sizes of the first push, and of the one after a task was enqueued."""
    found = re.search(r'data-live="([^"]+)"', page)
    if found is None:
        return ["none", "none"]
    async with _events(browser, found[1].replace("&amp;", "&")) as events:
        first = len(await anext(events))
        await client.enqueue_job(QUEUE, "job")
        return [f"{first:,}", f"{len(await anext(events)):,}"]


@asynccontextmanager
async def _events(browser: httpx.AsyncClient, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
    async with browser.stream("GET", path) as answer:

        async def events() -> AsyncIterator[bytes]:
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                *whole, text = text.split("\n\n")
                for event in whole:
                    if event.startswith("event: parts"):
                        yield event.encode()

        yield events()


async def main(dead: int, pending: int, times: int) -> None:
    """Fill a queue, and read it in all ways."""
    server = RedisServer().start()
    raw = server.client()
    try:
        fill(raw, QUEUE, "pending", pending)
        fill(raw, QUEUE, "dead", dead)
        raw.hset(f"{queue_keys(QUEUE).task_prefix}{QUEUE}:{CLAIMED}", "state", "running")
        async with Admin(server.address) as admin, Client(server.address) as client:
            await client.enqueue_job(QUEUE, "job")  # so that the registry knows the queue
            connection = async_redis(
                RedisSettings(address=server.address), client_name="bench", retry_for_seconds=0
            )
            try:
                await lists(Meter(raw, times), admin, connection, pending)
            finally:
                await connection.close()
        await pages(Meter(raw, max(3, times // 3)), server.address)
    finally:
        raw.close()
        server.destroy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=int, default=100_000)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=21)
    given = parser.parse_args()
    asyncio.run(main(given.dead, given.pending, given.times))
