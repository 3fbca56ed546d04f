"""Waiting for a named condition, and never for a time to pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

LONG_SECONDS = 45.0
"""How long a condition may take on a busy machine."""


def wait_until(
    what: str,
    look: Callable[[], Any],
    seconds: float = 60,
    every: float = 0.1,
    *,
    ignore: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """Look until there is something true, and return it. It blocks the thread.

    Args:
        what: is awaited, in words.
        look: called again and again.
        seconds: to wait at most.
        every: seconds between two looks.
        ignore: errors of the look that count as false.

    Raises:
        AssertionError: nothing was true in time; the text says what was awaited and last seen.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except ignore:
            seen = None
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {seen!r}")
        time.sleep(every)


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
