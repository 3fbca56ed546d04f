"""The jobs of the end-to-end tests; mounted into worker pods as the module `e2e_jobs`."""

import asyncio
import time

from identtqueue import App, Context

app = App()


@app.task
async def nap(ctx: Context, seconds: float) -> int:
    """Take a while; the number of the attempt that got to the end."""
    await asyncio.sleep(seconds)
    return ctx.attempt


@app.task
async def nap_until(ctx: Context, at: float) -> int:
    """Take until that time (seconds since the epoch), as `nap`."""
    await asyncio.sleep(at - time.time())
    return ctx.attempt


@app.task
async def slow_once(ctx: Context, seconds: float) -> int:
    """Take a while at the first attempt, none at the next: what a lost worker leaves behind."""
    if ctx.attempt == 1:
        await asyncio.sleep(seconds)
    return ctx.attempt


@app.task
def stubborn(ctx: Context, first: float, then: float) -> int:
    """Take so many seconds at the first attempt, and so many later on, in a thread.

    Nothing can cut it off: it comes to its end even when its worker has lost it.
    """
    time.sleep(first if ctx.attempt == 1 else then)
    return ctx.attempt
