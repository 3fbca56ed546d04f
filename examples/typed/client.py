"""Enqueues typed tasks, one and many, and awaits typed results."""

import asyncio

from jobs import app, notify, read_mrz, register

LINES = [
    "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    "C01X0006H1D<<6408125F1809302<<<<<<<<<<<<<<<4",
    "3405160225FIN6210135F2507134<<<<<<<<<<<<<<02",
]


async def main() -> None:
    async with app:
        task = await read_mrz.enqueue(LINES[0])
        mrz = await task.result(timeout_seconds=10)  # an Mrz, for the type checker too
        print(f"passport {mrz.number} of {mrz.nationality}, born {mrz.born:%d %B %Y}")

        tasks = await app.enqueue_many(read_mrz.call(line) for line in LINES)
        for mrz in await asyncio.gather(*(task.result(timeout_seconds=10) for task in tasks)):
            print(f"one of many: {mrz}")

        later = await notify.options(delay_seconds=1).enqueue("ada@example.org", "Your turn!")
        print("notified in a second:", await later.result(timeout_seconds=10))

        first = await register.enqueue(LINES[1], "grace@example.org")
        message = notify.handle(await first.result(timeout_seconds=10))  # its type from an id
        print("told by a task that followed:", await message.result(timeout_seconds=10))


if __name__ == "__main__":
    asyncio.run(main())
