"""App for worker processes in tests: `identtqueue worker testing.jobs:app`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from identtqueue import App, Context, RateLimit
from testing.ledger import Ledger
from testing.waiting import eventually

app = App(default_queue="jobs")


@app.task
async def echo(_ctx: Context, *args: Any, **kwargs: Any) -> list[Any]:
    """Return the arguments."""
    return [list(args), kwargs]


@app.task
async def journal(ctx: Context, gate: str | None = None) -> int:
    """Write start and end into the ledger; between them, wait until the gate (a file) exists."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    if gate is not None:
        await eventually(Path(gate).exists, seconds=float("inf"))
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@app.task
async def nap(ctx: Context, seconds: float) -> int:
    """Sleep."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    await asyncio.sleep(seconds)
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@app.task
async def hoard(ctx: Context, megabytes: int) -> int:
    """Allocate memory, and write to it."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)
    return len(bytearray(megabytes << 20)) >> 20


@app.task
async def stays(ctx: Context, where: str) -> None:
    """Never end, even if cancelled: in the event loop, or in a thread of `asyncio.to_thread`."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    if where == "thread":
        await asyncio.to_thread(threading.Event().wait)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


@app.task
async def time_of_day(_ctx: Context) -> float:
    """Return the time of the worker's host, in seconds since 1970."""
    return time.time()


@app.task(max_retries=2)
async def fails(ctx: Context, text: str) -> None:
    """Fail every time."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)
    raise ValueError(text)


@app.task
async def hold_the_loop(ctx: Context, seconds: float) -> int:
    """Keep the event loop busy, as CPU-bound code in an async job does."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@app.task
async def poison(ctx: Context, how: str, cure: str) -> str:
    """Kill the worker's process, until the cure (a file) exists."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)
    if await asyncio.to_thread(Path(cure).exists):
        return "cured"
    if how == "exit":
        os._exit(137)
    if how == "memory":
        hoard_of_pages = [bytearray(b"x" * (1 << 20)) for _ in range(1024)]
        raise AssertionError(f"{len(hoard_of_pages)} MB were to be had")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL returned")


@app.task(max_running=2)
async def capped(ctx: Context, gate: str | None = None) -> int:
    """Do as `journal`, but at most two at a time over all processes."""
    return await journal(ctx, gate)


@app.task(rate_limit=RateLimit(25, per_seconds=1))
async def paced(ctx: Context, gate: str | None = None) -> int:
    """Do as `journal`, but at most one starts every 40 ms."""
    return await journal(ctx, gate)


@app.task
async def resize(ctx: Context, width: int, height: int) -> int:
    """Resize. In `testing.old_jobs` it takes no height."""
    await journal(ctx)
    return width * height


@app.task
async def block_the_loop(ctx: Context, cure: str, how: str = "lock") -> int:
    """Block the event loop until the cure (a file) exists, like a lock that is never released."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)
    _block(Path(cure), how)
    return ctx.attempt


@app.task(run_in="inline")
def block_inline(ctx: Context, cure: str) -> int:
    """Block the event loop as a plain function that was declared not to."""
    Ledger.of_this_process().write("start", ctx.task_id, ctx.attempt)
    _block(Path(cure), "lock")
    return ctx.attempt


def _block(cure: Path, how: str) -> None:
    lock = threading.Lock()
    lock.acquire()
    while not cure.exists():
        if how == "lock":
            lock.acquire(timeout=0.1)
        else:  # native code that lets other threads run, and looks at no signal
            ctypes.CDLL(None).sleep(600)


@app.task
async def leaves_the_loop(ctx: Context, how: str) -> str:
    """Try to end the program or the event loop, in every way outside of a task."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.call_soon(loop.stop if how == "stop" else sys.exit)
    loop.call_later(0.2, done.set)
    await done.wait()
    return "goes on"
