"""Waits for many results at once: for all of them, or for each as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from identtqueue.client.results import cancel_all
from identtqueue.errors import ResultTimeout, TaskNotFound
from identtqueue.task import Result

NoResult = ResultTimeout | TaskNotFound
"""Reason why a task has no result, or not yet."""


async def gather_results(
    waits: Sequence[asyncio.Future[Result]], *, return_exceptions: bool
) -> list[Result | NoResult]:
    """Wait for all results and return them in order: see `Client.wait_many`."""
    try:
        if not return_exceptions:
            return list(await asyncio.gather(*waits))
        return list(await asyncio.gather(*map(_kept, waits)))
    finally:
        await cancel_all(waits)


async def iterate_results(
    waits: Sequence[asyncio.Future[Result]], *, return_exceptions: bool
) -> AsyncGenerator[Result | NoResult, None]:
    """Iterate over the results in the order in which they come: see `Client.as_completed`."""
    ended: asyncio.Queue[asyncio.Future[Result]] = asyncio.Queue()
    for wait in waits:
        wait.add_done_callback(ended.put_nowait)
    try:
        left = len(waits)
        while left:
            ready = [await ended.get()]
            while not ended.empty():
                ready.append(ended.get_nowait())
            left -= len(ready)
            ready.sort(key=lambda wait: wait.exception() is not None)  # results first
            for one in ready:
                yield await (_kept(one) if return_exceptions else one)
    finally:
        await cancel_all(waits)


async def _kept(wait: asyncio.Future[Result]) -> Result | NoResult:
    """Return the result of a wait, or the error that says why there is none."""
    try:
        return await wait
    except (ResultTimeout, TaskNotFound) as error:
        return error
