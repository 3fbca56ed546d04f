"""Repeated calls: a bridge waits until Redis takes a call, because it may give up no task."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from identtqueue.errors import RedisError

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Bounds of the pause after a call that Redis has refused: it is full, say, or an ACL is wrong."""


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step until Redis refuses none of its calls, with growing pauses.

    Args:
        step: makes the calls; it may be repeated.

    Returns:
        What the step returns.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await step()
        except RedisError as error:
            logger.warning("trying again in %.1f s: %s", pause, error)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
