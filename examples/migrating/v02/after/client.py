"""The application, with today's release: has documents read, and prints what was read."""

import asyncio
import os
import sys

from identtqueue import Client, ResultTimeout, TaskFailed

ADDRESS = os.environ.get("REDIS_ADDRESS", "redis://localhost")
QUEUE = os.environ.get("QUEUE", "mrz")


async def read(client, task_id):
    try:
        return await client.wait_for_result(task_id, timeout_seconds=30)
    except TaskFailed as error:
        if error.remote_type.endswith("TimedOut"):
            return "took too long"
        return f"failed: {error.remote_message}"
    except ResultTimeout:
        return "is not read yet"


async def main():
    async with Client(redis_address=ADDRESS) as client:
        tasks = {
            path: await client.enqueue_job(QUEUE, "read_mrz", path=path) for path in sys.argv[1:]
        }
        for path, task_id in tasks.items():
            print(path, await read(client, task_id))


if __name__ == "__main__":
    asyncio.run(main())
