"""A job for documents: it counts words, slowly enough to watch."""

import asyncio

from identtqueue import App, Context

app = App()


@app.task(queue="documents", timeout_seconds=60)
async def count_words(ctx: Context, text: str, seconds: float) -> str:
    """Count the words of a text, which takes so many seconds."""
    await asyncio.sleep(seconds)
    return f"{len(text.split())} words, in attempt {ctx.attempt}"
