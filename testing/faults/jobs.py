"""App that the workers of a chaos run serve: `identtqueue worker testing.faults.jobs:app`.

Each job writes a line into the ledger when it starts, and another at its end: "end", or "fail" if
it raises. An attempt that is cut off writes no second line.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from identtqueue import App, Context, RetryPolicy
from testing.faults.orders import DOOMED_RETRIES, FLAKY_FAILURES
from testing.ledger import Ledger

app = App(default_queue="chaos")
ledger = Ledger.of_this_process()


def block(seconds: float) -> None:
    """Block the calling thread.

    Not by `time.sleep`: libfaketime 0.9.10 makes an absolute clock_nanosleep fail (EINVAL).
    """
    threading.Event().wait(seconds)


SOON = {"first_delay_seconds": 0.2, "max_delay_seconds": 1.0}


@contextmanager
def entries(ctx: Context) -> Iterator[None]:
    """Write the start and the end of the attempt into the ledger."""
    ledger.write("start", ctx.task_id, ctx.attempt)
    try:
        yield
    except ValueError:
        ledger.write("fail", ctx.task_id, ctx.attempt)
        raise
    ledger.write("end", ctx.task_id, ctx.attempt)


@app.task
async def quick(ctx: Context) -> int:
    """Do nothing."""
    with entries(ctx):
        return ctx.attempt


@app.task
async def novel(ctx: Context) -> int:
    """Do nothing. Workers of the previous release lack this job (`testing.faults.jobs_before`)."""
    with entries(ctx):
        return ctx.attempt


@app.task
async def slow(ctx: Context, seconds: float) -> int:
    """Wait."""
    with entries(ctx):
        await asyncio.sleep(seconds)
        return ctx.attempt


@app.task
def thread(ctx: Context, seconds: float) -> int:
    """Wait, in a thread."""
    with entries(ctx):
        block(seconds)
        return ctx.attempt


@app.task(run_in="process", retry=RetryPolicy(max_retries=50, **SOON))
def process(ctx: Context, seconds: float) -> int:
    """Wait, in a process. If the process is killed, the attempt fails, so there are retries."""
    with entries(ctx):
        block(seconds)
        return ctx.attempt


@app.task
async def bulky(ctx: Context) -> list[object]:
    """Return a result that is too big to be published: it is announced and then fetched."""
    with entries(ctx):
        return [ctx.attempt, "x" * 100_000]


@app.task(retry=RetryPolicy(max_retries=FLAKY_FAILURES, **SOON))
async def flaky(ctx: Context, failures: int) -> int:
    """Fail in the first attempts, then succeed."""
    with entries(ctx):
        if ctx.failures < failures:
            raise ValueError(f"failure {ctx.failures + 1} of {failures}")
        return ctx.attempt


@app.task(retry=RetryPolicy(max_retries=DOOMED_RETRIES, **SOON))
async def doomed(ctx: Context) -> None:
    """Fail in every attempt."""
    with entries(ctx):
        raise ValueError("always")


@app.task
async def exits(ctx: Context, times: int) -> int:
    """End the whole process, as an out-of-memory kill does, in the first attempts."""
    ledger.write("start", ctx.task_id, ctx.attempt)
    if ctx.attempt <= times:
        os._exit(137)
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@app.task
async def poison(ctx: Context) -> None:
    """End the whole process in each attempt. It becomes a dead letter, and no other task does."""
    ledger.write("start", ctx.task_id, ctx.attempt)
    os._exit(137)


@app.task(retry=RetryPolicy(max_retries=3, retry_on=(BaseException,), **SOON))
async def exits_in_a_child(ctx: Context) -> int:
    """Call sys.exit in an asyncio task, in the first attempt. That fails this attempt."""
    ledger.write("start", ctx.task_id, ctx.attempt)
    if ctx.failures == 0:
        ledger.write("fail", ctx.task_id, ctx.attempt)
        await asyncio.gather(_exit(), asyncio.sleep(5))
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


async def _exit() -> None:
    sys.exit(3)


@app.task
async def fill_the_executor(ctx: Context, seconds: float) -> int:
    """Keep all threads of asyncio's default executor busy, and more calls waiting for them."""
    with entries(ctx):
        await asyncio.gather(*(asyncio.to_thread(block, seconds / 2) for _ in range(64)))
        return ctx.attempt


@app.task
async def block_for_good(ctx: Context) -> int:
    """Block the event loop for ever, in the first attempt."""
    ledger.write("start", ctx.task_id, ctx.attempt)
    if ctx.attempt == 1:
        block(3600)
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@app.task
async def hold_the_loop(ctx: Context, seconds: float) -> int:
    """Keep the event loop busy, as CPU-bound code in an async job does."""
    with entries(ctx):
        block(seconds)
        return ctx.attempt
