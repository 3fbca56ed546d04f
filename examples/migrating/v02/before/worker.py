"""The worker, with identtqueue 0.2."""

import asyncio
import os

from identtqueue.worker import Worker


async def start(ctx):
    ctx["reader"] = "a model"  # loading it takes long: once for all tasks


async def read_mrz(ctx, path, update_status, **kwargs):
    await update_status(page=1)
    if "blank" in path:
        raise ValueError("the page is blank")
    if "endless" in path:
        await asyncio.sleep(3600)
    return f"read by {ctx['reader']}"


if __name__ == "__main__":
    Worker(
        jobs={"read_mrz": read_mrz},
        redis_address=os.environ.get("REDIS_ADDRESS", "redis://localhost"),
        queue_name=os.environ.get("QUEUE", "mrz"),
        job_execution_timeout=2.0,
        on_startup=start,
    ).run()
