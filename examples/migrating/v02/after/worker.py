"""The worker, with today's release."""

import asyncio
import os

from identtqueue import Worker


async def start(state):
    state["reader"] = "a model"  # loading it takes long: once for all tasks


async def read_mrz(ctx, path):
    await ctx.report_progress({"page": 1})
    if "blank" in path:
        raise ValueError("the page is blank")
    if "endless" in path:
        await asyncio.sleep(3600)
    return f"read by {ctx.state['reader']}"


if __name__ == "__main__":
    Worker(
        jobs={"read_mrz": read_mrz},
        redis_address=os.environ.get("REDIS_ADDRESS", "redis://localhost"),
        queue_name=os.environ.get("QUEUE", "mrz"),
        timeout_seconds=2.0,
        on_startup=start,
    ).run()
