"""Jobs that hold something large, and a count of what is still in memory after them."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import Any

from identtqueue import Context, Retry


class Page(bytearray):
    """Large object, such as 20 MB of pixels."""


_pages: list[weakref.ref[Page]] = []


def count_pages(_ctx: Context | None = None) -> int:
    """Count the pages in memory."""
    _pages[:] = [page for page in _pages if page() is not None]
    return len(_pages)


def stop_the_collector(_state: Any = None) -> None:
    """Stop the garbage collector: it counts objects, not bytes, so nothing may depend on it."""
    gc.disable()


ENDS = ("returns", "raises", "raises from", "raises in except", "Retry", "exits", "is late")


def hold_a_page(_ctx: Context, end: str, size: int = 1_000_000) -> int:
    page = Page(size)
    _pages.append(weakref.ref(page))
    if end == "is late":
        time.sleep(0.5)
    _end(end)
    return len(page)


async def hold_a_page_async(_ctx: Context, end: str, size: int = 1_000_000) -> int:
    page = Page(size)
    _pages.append(weakref.ref(page))
    if end == "is late":
        await asyncio.sleep(60)
    _end(end)
    return len(page)


def _end(end: str) -> None:
    if end == "raises":
        raise ValueError("no MRZ here")
    if end == "raises from":
        raise ValueError("no MRZ here") from KeyError("line")
    if end == "Retry":
        raise Retry("later", after_seconds=3600)
    if end == "exits":
        raise SystemExit(3)
    if end == "raises in except":
        try:
            raise KeyError("line")
        except KeyError:
            raise ValueError("no MRZ here")  # noqa: B904
