"""Closing what belongs to an event loop when that loop ends, without a hook of the test framework.

Test frameworks differ in when they close the event loop of a test: before or after the fixtures
that the test has used, and some know no asynchronous fixtures. But `asyncio.Runner`, which all of
them use, ends the asynchronous generators of its loop (`loop.shutdown_asyncgens`), in the loop. So
a generator that has begun in a loop can close things there at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable


class LoopEnd:
    """Things to be closed at the end of the running event loop, or earlier.

    Args:
        close: closes it; called once, in the loop.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self.loop = asyncio.get_running_loop()
        self._generator = _until_the_end(close)
        with contextlib.suppress(StopIteration):  # run it up to its `yield`: the loop knows it then
            self._generator.__anext__().send(None)

    async def close(self) -> None:
        """Close it now, from within the loop."""
        await self._generator.aclose()

    def close_from_outside(self) -> None:
        """Close it now, if the loop is open and no loop runs; otherwise at the end of the loop."""
        if self.loop.is_closed() or self.loop.is_running() or _runs():
            return
        self.loop.run_until_complete(self.close())


async def _until_the_end(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()


def _runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
