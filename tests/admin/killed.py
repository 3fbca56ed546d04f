"""Program that acts on all dead letters of a queue, until it is killed.

`killed.py ADDRESS QUEUE ACT [TO_QUEUE]` prints a line for each step: how many it has changed, and
the cursor.
"""

from __future__ import annotations

import asyncio
import sys

from identtqueue.admin import Act, Admin, Place


async def main() -> None:
    address, queue, act, *to_queue = sys.argv[1:]
    async with Admin(address, actor="killed") as admin:
        steps = admin.act(Act(act), queue, Place.DEAD, to_queue=next(iter(to_queue), None))
        async for step in steps:
            print(step.changed, step.cursor, flush=True)


asyncio.run(main())
