"""The jobs. The service and the worker import this module."""

import asyncio
from dataclasses import dataclass

from identtqueue import App, Context, RetryPolicy

app = App()  # its address: IDENTTQUEUE_REDIS_ADDRESS, else redis://localhost:6379


@dataclass
class Count:
    """The numbers of a text."""

    words: int
    characters: int


# A text without words will not get better: such an error is not retried.
@app.task(queue="texts", retry=RetryPolicy(max_retries=3, give_up_on=(ValueError,)))
async def count(ctx: Context, text: str) -> Count:
    """Count words and characters."""
    await asyncio.sleep(0)
    if not text.split():
        raise ValueError("there is no word")
    return Count(len(text.split()), len(text))
