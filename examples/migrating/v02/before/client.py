"""The application, with identtqueue 0.2: has documents read, and prints what was read."""

# ruff: noqa: I001 - 0.2 has modules of other names

import asyncio
import os
import sys

from identtqueue.client import Client
from identtqueue.exceptions import ClientTimeoutException, ErrorException, WorkerTimeoutException

ADDRESS = os.environ.get("REDIS_ADDRESS", "redis://localhost")
QUEUE = os.environ.get("QUEUE", "mrz")


async def read(client, task_id):
    try:
        return await client.wait_for_result(task_id, result_timeout=30)
    except ErrorException as error:
        return f"failed: {error}"
    except WorkerTimeoutException:
        return "took too long"
    except ClientTimeoutException:
        return "is not read yet"


async def main():
    client = Client(redis_address=ADDRESS)
    await client.connect()
    tasks = {path: await client.enqueue_job(QUEUE, "read_mrz", path=path) for path in sys.argv[1:]}
    for path, task_id in tasks.items():
        print(path, await read(client, task_id))
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
