"""The asyncio client in a thread of its own: how threads wait, any number on one subscription."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from identtqueue.client import Client
from identtqueue.errors import InvalidInput, RedisUnavailable
from identtqueue.transport.home import fork_number

T = TypeVar("T")
_Living = tuple[Client, asyncio.AbstractEventLoop, asyncio.Event]

END_SECONDS: Final = 5.0
"""How long closing waits for the thread; it is a daemon, the program can end without."""


class Background:
    """Runs coroutines of one client for other threads.

    Args:
        make: the client; called in the thread.

    Raises:
        RedisUnavailable: the thread can't have an event loop (no file descriptor is left, say).
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._lock = threading.Lock()  # nothing is handed over after the end
        self._closed = False
        self._fork = fork_number()
        ready: concurrent.futures.Future[_Living] = concurrent.futures.Future()
        # A daemon: a program that forgets to close its client ends all the same.
        self._thread = threading.Thread(
            target=self._main, args=(ready,), daemon=True, name="identtqueue waits"
        )
        self._thread.start()
        try:
            self._client, self._loop, self._stop = ready.result()
        except OSError as error:
            raise RedisUnavailable(f"there is no way to wait for Redis: {error}") from error

    def run(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """What the coroutine returns or raises; an interrupt of this thread cancels it.

        Raises:
            RedisUnavailable: the client was closed.
            InvalidInput: the thread is the parent process's.
        """
        if self._fork != fork_number():
            raise InvalidInput("this iteration was begun before the fork: begin another one")
        with self._lock:
            if self._closed:
                raise RedisUnavailable("the client was closed")
            future = asyncio.run_coroutine_threadsafe(work(self._client), self._loop)
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
        """The values of an asynchronous generator, one by one.

        Who leaves half way drops the generator, and the loop closes it. Nothing is waited for then:
        a garbage collection may drop it in any thread, also in the loop's own.
        """
        values = start(self._client)

        async def step() -> list[T]:
            try:
                return [await anext(values)]
            except StopAsyncIteration:
                return []

        while value := self.run(lambda _: step()):
            yield value[0]

    def close(self) -> None:
        """Close the client and end the thread; waits fail with RedisUnavailable."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:  # as it is if a collected client ends
            self._thread.join(END_SECONDS)

    def _main(self, ready: concurrent.futures.Future[_Living]) -> None:
        try:
            with asyncio.Runner() as runner:  # which cancels what is left
                runner.run(self._live(ready))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _live(self, ready: concurrent.futures.Future[_Living]) -> None:
        stop = asyncio.Event()
        client = self._make()
        ready.set_result((client, asyncio.get_running_loop(), stop))
        await stop.wait()
        await client.close()
