"""Enqueues some tasks, and waits for their results: `python client.py TASKS SECONDS`."""

import asyncio
import sys

from jobs import app, count_words


async def main(count: int = 6, seconds: float = 3) -> None:
    """Enqueue so many tasks, each of which takes so long."""
    async with app:
        tasks = [await count_words.enqueue("to be or not to be", seconds) for _ in range(count)]
        for number, task in enumerate(tasks, 1):
            print(f"task {number}:", await task.result())


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
