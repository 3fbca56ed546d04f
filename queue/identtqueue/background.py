"""The asyncio client in a thread of its own: how threads wait, any number on one subscription."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from identtqueue.client import Client
from identtqueue.errors import RedisUnavailable

T = TypeVar("T")

END_SECONDS: Final = 5.0
"""How long closing waits for the thread; it is a daemon, the program can end without."""


class Background:
    """Runs coroutines of one client for other threads.

    Args:
        make: the client; called in the thread.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._lock = threading.Lock()  # nothing is handed over after the end
        self._closed = False
        self._ready: concurrent.futures.Future[tuple[Client, asyncio.Event]] = (
            concurrent.futures.Future()
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        # A daemon: a program that forgets to close its client ends all the same.
        self._thread = threading.Thread(target=self._main, daemon=True, name="identtqueue waits")
        self._thread.start()

    def run(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """What the coroutine returns or raises; an interrupt of this thread cancels it.

        Raises:
            RedisUnavailable: the client was closed.
        """
        client, _ = self._ready.result()
        with self._lock:
            if self._closed:
                raise RedisUnavailable("the client was closed")
            assert self._loop is not None
            future = asyncio.run_coroutine_threadsafe(work(client), self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RedisUnavailable("the client was closed") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # it holds the error, whose traceback holds this frame

    def iterate(self, start: Callable[[Client], AsyncIterator[T]]) -> Iterator[T]:
        """The values of an asynchronous iterator, one by one."""
        client, _ = self._ready.result()
        values = start(client)

        async def step() -> list[T]:
            try:
                return [await anext(values)]
            except StopAsyncIteration:
                return []

        async def end() -> None:
            await values.aclose()  # type: ignore[attr-defined]  # they are generators

        try:
            while value := self.run(lambda _: step()):
                yield value[0]
        finally:
            with contextlib.suppress(RedisUnavailable):
                self.run(lambda _: end())

    def close(self) -> None:
        """Close the client and end the thread; waits fail with RedisUnavailable."""
        _, stop = self._ready.result()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join(END_SECONDS)

    def _main(self) -> None:
        with asyncio.Runner() as runner:  # which cancels what is left
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        client = self._make()
        self._ready.set_result((client, stop))
        await stop.wait()
        await client.close()
