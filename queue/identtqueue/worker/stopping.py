"""The stop of a worker: the request for it, and steps that may not take for ever."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

logger = logging.getLogger(__name__)

CUT_OFF_SECONDS: Final = 5.0
"""How long cancelled work may take to end before it is left behind."""

FLUSH_SECONDS: Final = 5.0
"""How long the last calls of one step of a stop may take. If Redis cannot be reached for so long,
other workers recover the tasks when the lease runs out."""


class StopRequest:
    """The request to stop a worker, which may come before it has started and more than once.

    Attributes:
        times: how often it was made.
    """

    def __init__(self) -> None:
        self.times = 0
        self._made = asyncio.Event()
        self._stop_by = math.inf  # monotonic time

    def make(self, within_seconds: float) -> None:
        """Make the request.

        Args:
            within_seconds: time after which a stop counts as stuck, from the first request on.
        """
        self.times += 1
        if self.times == 1:
            self._stop_by = time.monotonic() + within_seconds
        self._made.set()

    @property
    def is_overdue(self) -> bool:
        """Whether the stop takes longer than all its steps may take together."""
        return time.monotonic() > self._stop_by

    async def unless_made(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Await work, unless the request is made first.

        Work that does not end when it is cancelled is left behind.

        Args:
            work: returns what is awaited.

        Returns:
            Whether it was completed.
        """
        starting = asyncio.ensure_future(_exit_of(work))
        stopping = asyncio.ensure_future(self._made.wait())
        try:
            first: list[asyncio.Future[Any]] = [starting, stopping]
            if not self.times:
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not starting.done():
                await cancel_and_wait([starting])
        if self.times and (starting.cancelled() or not starting.done()):
            return False
        if (error := starting.result()) is not None:
            raise error
        return True


async def _exit_of(work: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Await work and return its SystemExit, which would stop the event loop if a task raised it."""
    try:
        await work()
    except (SystemExit, KeyboardInterrupt) as error:
        return error
    return None


async def cancel_and_wait(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for their end. A task that does not end in time is left behind."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)


async def bounded(what: str, work: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Await work for a limited time, and log it if it fails: a shutdown must not wait for ever.

    Reports that do not reach Redis in that time are no loss: when the lease runs out, other workers
    recover the tasks.

    Args:
        what: name of the step, for the log.
        work: coroutine to await.
        seconds: longest time to wait.
    """
    limit, us = asyncio.timeout(seconds), asyncio.current_task()
    cancellations = us.cancelling() if us else 0
    try:
        async with limit:
            await work
    except (Exception, asyncio.CancelledError) as error:
        if us and us.cancelling() > cancellations:
            raise
        why = f"not done within {seconds:g} s" if limit.expired() else str(error)
        logger.warning("shutdown: %s: %s", what, why or type(error).__name__)
