"""The worker's side: one task, its result, and the App that both sides import."""

import asyncio
import os
import time
from dataclasses import dataclass

from document_ocr import ocr
from identtqueue import App, Context

QUEUE = "pages"


async def try_reading(_state: object) -> None:
    """Stop the worker before its first page if Tesseract or its language is missing."""
    await asyncio.to_thread(ocr.check)


# Where Redis is, and its password, come from the environment.
app = App(on_startup=try_reading)


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of one page, and what it took to read it."""

    text: str
    word_count: int
    mean_confidence: float
    """Tesseract's own measure, from 0 to 100."""
    seconds: float
    """Wall time on the worker."""
    worker: str
    """The pod that read it."""
    attempt: int
    """1, or more if a worker died while it read the page."""


# In a process of its own: preparing a page keeps a CPU busy, and a page that takes too long is
# killed together with its Tesseract. Reading a page twice does no harm, so there is nothing to
# fence.
@app.task(queue=QUEUE, run_in="process", timeout_seconds=120, max_retries=1)
def read_page(ctx: Context, name: str, image: bytes) -> PageText:
    """Read the text of one scanned page."""
    ctx.logger.info("reading %s (%d KiB), attempt %d", name, len(image) // 1024, ctx.attempt)
    started = time.monotonic()
    reading = ocr.read(image)
    return PageText(
        text=reading.text,
        word_count=reading.word_count,
        mean_confidence=reading.mean_confidence,
        seconds=round(time.monotonic() - started, 2),
        worker=os.environ.get("IDENTTQUEUE_POD_NAME", "here"),
        attempt=ctx.attempt,
    )
