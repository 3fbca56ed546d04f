"""Client in a process of its own: enqueues a task under a given id, says so, awaits its result."""

from __future__ import annotations

import asyncio
import sys

from identtqueue import Client, TaskOptions


async def main(queue: str, task_id: str, *args: str) -> None:
    async with Client() as client:
        options = TaskOptions(task_id=task_id)
        await client.enqueue_job(queue, "journal", *args, task_options=options)
        print("accepted", flush=True)
        print(await client.wait_for_result(task_id), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
