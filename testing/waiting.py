"""Waiting for a named condition, and never for a time to pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

LONG_SECONDS = 45.0
"""How long a condition may take on a busy machine."""


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]],
    what: str | Callable[[], str] = "the condition",
    *,
    seconds: float = LONG_SECONDS,
) -> Any:
    """Wait until a condition is true; return its value.

    Raises:
        AssertionError: it was not true in time; the text names the condition.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:g} s: {text}")
        await asyncio.sleep(0.02)
