"""Enqueues two checks of a passport, and waits for both."""

import asyncio
import sys

from jobs import queue


async def main(document):
    await queue.connect()
    wrong, lost = await asyncio.gather(
        queue.apply("check_mrz", document=document),
        queue.apply("look_up", document=document, retries=4, retry_delay=0.2, timeout=30),
    )
    print(f"wrong digits: {wrong}, lost: {lost}")
    await queue.disconnect()


asyncio.run(main(sys.argv[1]))
