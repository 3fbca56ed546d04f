"""A small application, run by `kubectl exec`: it enqueues naps and prints their results.

    python /jobs/produce.py SECONDS QUEUE...

One nap in each queue; a queue may be named several times. Prints one line for each: the number of
the attempt that got to the end. Retries for a minute while Redis is away.
"""

import asyncio
import sys

from identtqueue import Client

RETRY_SECONDS = 60
WAIT_SECONDS = 120


async def main(seconds: float, queues: list[str]) -> None:
    async with Client(retry_for_seconds=RETRY_SECONDS) as client:
        naps = [await client.enqueue_job(queue, "nap", seconds=seconds) for queue in queues]
        for result in await client.wait_many(naps, WAIT_SECONDS):
            print(result.unwrap())


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
