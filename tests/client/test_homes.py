"""A client in a second event loop, another thread or a fork: it works, or says why not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from identtqueue import App, Client, InvalidInput
from identtqueue.admin import Admin
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS

Use = Callable[[], Coroutine[Any, Any, int]]


@pytest.fixture(params=["Client", "App", "Admin"])
def use(request: pytest.FixtureRequest, redis_server: RedisServer, queue: str) -> Use:
    """Return a function that uses one object anywhere, and returns the number of pending tasks."""
    client, admin, app = (kind(redis_server.address) for kind in (Client, Admin, App))

    @app.task(queue=queue)
    async def echo(_ctx, value): ...

    async def use_client() -> int:
        await client.enqueue_job(queue, "echo")
        return await client.queue_length(queue)

    async def use_app() -> int:
        await app.connect()
        await asyncio.gather(*(echo.enqueue(n) for n in range(3)))
        return await app.client.queue_length(queue)

    async def use_admin() -> int:
        return (await admin.depths([queue]))[queue].queued

    return {"Client": use_client, "App": use_app, "Admin": use_admin}[str(request.param)]


async def bounded(use: Use) -> int:
    return await asyncio.wait_for(use(), LONG_SECONDS)


def test_one_loop_after_the_other(use: Use) -> None:
    before = [asyncio.run(bounded(use)) for _ in range(3)]
    assert before == sorted(before)


def test_two_loops_at_once(use: Use, raw: redis.Redis, queue: str) -> None:
    """The second is refused at once, before anything is written."""
    ready, stop = threading.Event(), threading.Event()

    async def first() -> None:
        await use()
        ready.set()
        await asyncio.to_thread(stop.wait, LONG_SECONDS)
        await use()  # undisturbed

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, first())
        assert ready.wait(LONG_SECONDS)
        pending = raw.llen(f"idtq:{{{queue}}}:pending")
        with pytest.raises(InvalidInput, match=r"another event loop.*one \w+ per event loop"):
            asyncio.run(bounded(use))
        assert raw.llen(f"idtq:{{{queue}}}:pending") == pending
        stop.set()
        running.result(LONG_SECONDS)
    asyncio.run(bounded(use))


def test_no_loop_at_all(redis_server: RedisServer) -> None:
    client = Client(redis_server.address)
    coroutine = client.enqueue_job("q", "echo")
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


async def test_in_its_loop_a_closed_client_stays_closed(redis_server: RedisServer) -> None:
    client = Client(redis_server.address)
    await client.close()
    with pytest.raises(Exception, match="the client was closed"):
        await client.queue_length("q")


@pytest.fixture
def forked(redis_server: RedisServer, queue: str) -> Callable[[str], str]:
    def run(how: str) -> str:
        script = Path(__file__).with_name("forking_loops.py")
        done = subprocess.run(
            [sys.executable, str(script), redis_server.address, queue, how],
            env=environment(redis_server.address),
            capture_output=True,
            text=True,
            timeout=2 * LONG_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_after_a_loop_that_was_closed_without_care(forked: Callable[[str], str]) -> None:
    """Its tasks were not cancelled, and its connections not closed."""
    assert forked("careless") == "child 9 ok\nparent ok\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["idle", "busy", "preload", "multiprocessing"])
def test_after_a_fork_both_go_on(forked: Callable[[str], str], how: str) -> None:
    """Nothing that the child does may reach the parent's connections."""
    assert forked(how) == "child 9 ok\nparent ok\n"
