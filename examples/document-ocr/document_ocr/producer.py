"""The application's side: scans all pages, enqueues them, awaits and checks what was read.

Prints one line of JSON per event. `kubectl logs -f` shows them as they come:

    {"event": "scanned", "pages": …, "kib": …, "seconds": …}
    {"event": "enqueued", "pages": [{"page": "page-01", "task_id": …}, …], "seconds": …}
    {"event": "read", "page": …, "task_id": …, "accuracy": …, "worker": …, "attempt": …, …}
    {"event": "failed", "page": …, "task_id": …, "error": …}
    {"event": "finished", "pages": …, "read": …, "accuracy_min": …, "accuracy_mean": …}

The exit code is 0 if every page came back and was read well enough.
"""

import asyncio
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean
from typing import Any

from document_ocr.accuracy import word_accuracy
from document_ocr.pages import Page, load_pages
from document_ocr.scan import scan
from document_ocr.tasks import PageText, app, read_page
from identtqueue.errors import IdenttqueueError

WANTED_MEAN_ACCURACY = 0.97
WANTED_PAGE_ACCURACY = 0.90
RESULT_TIMEOUT_SECONDS = float(os.environ.get("RESULT_TIMEOUT_SECONDS", "900"))
MOST_PAGES = int(os.environ.get("PAGES", "0")) or None
"""How many pages to read, from the first on; None: all."""


def tell(event: str, **facts: Any) -> None:
    """Print one event at once."""
    print(json.dumps({"event": event, **facts}), flush=True)


async def main() -> int:
    """Scan all pages, enqueue them, await their texts and check them."""
    pages = load_pages()[:MOST_PAGES]
    images = scan_all(pages)
    async with app:
        started = time.monotonic()
        tasks = await app.enqueue_many(
            read_page.call(page.name, image) for page, image in zip(pages, images, strict=True)
        )
        tell(
            "enqueued",
            pages=[
                {"page": p.name, "task_id": t.task_id} for p, t in zip(pages, tasks, strict=True)
            ],
            seconds=round(time.monotonic() - started, 3),
        )
        accuracies = await asyncio.gather(*map(check, pages, tasks))
    return conclude([accuracy for accuracy in accuracies if accuracy is not None], len(pages))


def scan_all(pages: list[Page]) -> list[bytes]:
    """Scan all pages, on all cores."""
    started = time.monotonic()
    with ProcessPoolExecutor() as processes:
        images = list(processes.map(scan, pages))
    tell(
        "scanned",
        pages=len(pages),
        kib=sum(map(len, images)) // 1024,
        seconds=round(time.monotonic() - started, 1),
    )
    return images


async def check(page: Page, task: Any) -> float | None:
    """Await one page and return the share of correct words; None: it did not come back."""
    try:
        found: PageText = await task.result(timeout_seconds=RESULT_TIMEOUT_SECONDS)
    except IdenttqueueError as error:
        tell(
            "failed", page=page.name, task_id=task.task_id, error=f"{type(error).__name__}: {error}"
        )
        return None
    accuracy = word_accuracy(page.text, found.text)
    tell(
        "read",
        page=page.name,
        task_id=task.task_id,
        accuracy=round(accuracy, 4),
        confidence=found.mean_confidence,
        words=found.word_count,
        seconds=found.seconds,
        worker=found.worker,
        attempt=found.attempt,
        first_words=" ".join(found.text.split()[:6]),
    )
    return accuracy


def conclude(accuracies: list[float], pages: int) -> int:
    """Print the last event and return the exit code."""
    lowest = min(accuracies, default=0.0)
    mean = fmean(accuracies) if accuracies else 0.0
    tell(
        "finished",
        pages=pages,
        read=len(accuracies),
        accuracy_min=round(lowest, 4),
        accuracy_mean=round(mean, 4),
    )
    good = mean >= WANTED_MEAN_ACCURACY and lowest >= WANTED_PAGE_ACCURACY
    return 0 if good and len(accuracies) == pages else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
