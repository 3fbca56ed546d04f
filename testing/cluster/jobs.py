"""The jobs of the end-to-end tests; mounted into worker pods as the module `e2e_jobs`."""

import asyncio
import os
import time
from pathlib import Path

from identtqueue import App, Context

app = App()


@app.task
async def nap(ctx: Context, seconds: float) -> int:
    """Sleep; return the number of the attempt that finished."""
    await asyncio.sleep(seconds)
    return ctx.attempt


@app.task(run_in="inline")
def clocks(ctx: Context) -> list[float]:
    """Return when this process began and when this job runs, by the machine's monotonic clock."""
    now, booted = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return [now - (booted - ticks / os.sysconf("SC_CLK_TCK")), now]


@app.task
async def nap_until(ctx: Context, at: float) -> int:
    """Sleep until that time (seconds since the epoch); return the same as `nap`."""
    await asyncio.sleep(at - time.time())
    return ctx.attempt


@app.task
async def slow_once(ctx: Context, seconds: float) -> int:
    """Sleep in the first attempt, and not in the next, which follows a lost worker."""
    if ctx.attempt == 1:
        await asyncio.sleep(seconds)
    return ctx.attempt


@app.task
def stubborn(ctx: Context, first: float, then: float) -> int:
    """Sleep in a thread: `first` seconds in the first attempt, `then` seconds in later ones.

    Nothing can cut it off: it comes to its end even when its worker has lost it.
    """
    time.sleep(first if ctx.attempt == 1 else then)
    return ctx.attempt


@app.task(max_retries=0)
async def read_page(ctx: Context, page: str, mended_at: float) -> int:
    """Fail until that time (seconds since the epoch), as code does before it is mended."""
    if time.time() < mended_at:
        raise ValueError(f"no text on {page}")
    return ctx.attempt
