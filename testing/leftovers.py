"""Jobs for a process that leave something running, and one that looks for what is left."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from identtqueue import Context

TRACE = contextvars.ContextVar("trace", default="none")
kept: list[Any] = []


class Pool:
    """Object like a pool of connections: a task of its own serves it and starts others."""

    def __init__(self) -> None:
        self._wishes: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
        self._served = 0
        self._task = asyncio.create_task(self._serve(), name="pool")
        self.helpers: list[asyncio.Task[None]] = []

    async def get(self) -> int:
        wish = asyncio.get_running_loop().create_future()
        await self._wishes.put(wish)
        return await asyncio.wait_for(wish, 30)

    async def _serve(self) -> None:
        while True:
            wish = await self._wishes.get()
            self._served += 1
            self.helpers.append(asyncio.create_task(asyncio.sleep(3600), name="pool's helper"))
            wish.set_result(self._served)


async def open_pool(state: Any) -> None:
    TRACE.set("the hook's")
    state["pool"] = Pool()


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _exit_soon() -> None:
    await asyncio.sleep(0.05)
    sys.exit(3)


async def _exit_when_cancelled() -> None:
    try:
        await _for_ever()
    finally:
        sys.exit(3)


async def _another_when_cancelled() -> None:
    try:
        await _for_ever()
    finally:
        kept.append(asyncio.create_task(_for_ever(), name="born late"))


async def _refuse() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await _for_ever()


async def _block_when_cancelled() -> None:
    try:
        await _for_ever()
    finally:
        time.sleep(3600)  # noqa: ASYNC251


async def _pages() -> AsyncIterator[int]:
    try:
        for page in range(10):
            yield page
    finally:
        await asyncio.sleep(0)
        TRACE.set("closed")


TASKS = {
    "task": _for_ever,
    "task that exits": _exit_soon,
    "task that exits when cancelled": _exit_when_cancelled,
    "task that begets another": _another_when_cancelled,
    "task that refuses": _refuse,
    "task that blocks": _block_when_cancelled,
}


async def leave(ctx: Context, what: str) -> int:
    """Leave something running, and succeed, or fail if that ends this attempt."""
    loop = asyncio.get_running_loop()
    await ctx.state["pool"].get()
    TRACE.set("the job's")
    if what in TASKS:
        kept.append(asyncio.create_task(TASKS[what](), name="left"))
        await asyncio.sleep(0)
    elif what == "generator":
        kept.append(_pages())
        await anext(kept[-1])
    elif what == "dropped generator":
        async for _ in _pages():
            break
    elif what == "calls in threads":
        for _ in range(100):
            loop.run_in_executor(None, time.sleep, 0.1)
    elif what == "thread that hangs":
        loop.run_in_executor(None, time.sleep, 3600)
    elif what == "alarm":
        signal.setitimer(signal.ITIMER_REAL, 0.2)
    elif what == "timer that exits":
        loop.call_later(0.2, sys.exit, 3)
    elif what == "timer that begins a task":
        loop.call_later(0.2, lambda: kept.append(loop.create_task(_for_ever(), name="late")))
    elif what == "part that exits":
        await asyncio.gather(_exit_soon(), _for_ever())
    elif what == "task that exits while the job waits":
        kept.append(asyncio.create_task(_exit_soon()))
        await _for_ever()
    elif what == "stopped loop":
        loop.stop()
        await asyncio.sleep(0)
    return os.getpid()


def leave_plainly(_ctx: Context, what: str) -> int:
    """Leave something running, from a plain function."""
    TRACE.set("the job's")
    if what == "alarm":
        signal.setitimer(signal.ITIMER_REAL, 0.2)
    elif what == "loop of its own":
        asyncio.run(asyncio.sleep(0))
    return os.getpid()


async def look(ctx: Context, seconds: float = 0.4) -> dict[str, Any]:
    """Return what is left, after a time in which it would have had an effect."""
    await asyncio.sleep(seconds)
    own = {"pool", "pool's helper", asyncio.current_task().get_name()}  # type: ignore[union-attr]
    await ctx.state["pool"].get()
    helpers = ctx.state["pool"].helpers
    return {
        "pid": os.getpid(),
        "trace": TRACE.get(),
        "tasks": [t.get_name() for t in asyncio.all_tasks() if t.get_name() not in own],
        "kept": [repr(k) for k in kept if getattr(k, "ag_frame", None) is not None],
        "pool": bool(helpers) and not any(helper.done() for helper in helpers),
    }
