"""Enqueues two checks of a passport, and waits for both."""

import asyncio
import sys

from jobs import app, check_mrz, look_up


async def main(document):
    async with app:
        checks = await check_mrz.enqueue(document), await look_up.enqueue(document)
        wrong, lost = [await check.result(timeout_seconds=30) for check in checks]
    print(f"wrong digits: {wrong}, lost: {lost}")


asyncio.run(main(sys.argv[1]))
