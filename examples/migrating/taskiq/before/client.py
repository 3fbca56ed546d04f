"""Enqueues two checks of a passport, and waits for both."""

import asyncio
import sys

from jobs import broker, check_mrz, look_up


async def main(document):
    await broker.startup()
    checks = await check_mrz.kiq(document), await look_up.kiq(document)
    results = [await check.wait_result(timeout=30) for check in checks]
    for result in results:
        result.raise_for_error()
    wrong, lost = (result.return_value for result in results)
    print(f"wrong digits: {wrong}, lost: {lost}")
    await broker.shutdown()


asyncio.run(main(sys.argv[1]))
