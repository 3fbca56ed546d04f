"""An asyncio client in a thread of its own, for threads without an event loop.

`SyncClient` enqueues on a blocking connection, but waits for results and progress here, so that any
number of threads wait on one subscription. `BlockingAdmin` does all of its work here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from identtqueue.errors import InvalidInput, RedisUnavailable
from identtqueue.transport.home import fork_number


class Closable(Protocol):
    """A client that belongs to one event loop."""

    async def close(self) -> None:
        """Close its connections."""


T = TypeVar("T")
C = TypeVar("C", bound=Closable)

_Living = tuple[C, asyncio.AbstractEventLoop, asyncio.Event]

END_SECONDS: Final = 5.0
"""How long `close` waits for the thread. The thread is a daemon, so the program can end anyway."""


class Background(Generic[C]):
    """A thread with an event loop, which runs coroutines of one client for other threads.

    Args:
        make: creates the client; called in the new thread.

    Raises:
        RedisUnavailable: no event loop can be created (no file descriptor is left, say).
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._lock = threading.Lock()  # so that no coroutine is handed over after `close`
        self._closed = False
        self._fork = fork_number()
        ready: concurrent.futures.Future[_Living[C]] = concurrent.futures.Future()
        # A daemon, so that a program that forgets to close its client can still end.
        self._thread = threading.Thread(
            target=self._main, args=(ready,), daemon=True, name="identtqueue waits"
        )
        self._thread.start()
        try:
            self._client, self._loop, self._stop = ready.result()
        except OSError as error:
            raise RedisUnavailable(f"can't start an event loop to wait in: {error}") from error

    def run(self, work: Callable[[C], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the thread and return its result; an interrupt here cancels it.

        Args:
            work: makes the coroutine from the client.

        Raises:
            RedisUnavailable: the client was closed.
            InvalidInput: this process was forked from the one that has the thread.
            Exception: whatever the coroutine raises.
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
            del future  # breaks a cycle: it holds the error, whose traceback holds this frame

    def iterate(self, start: Callable[[C], AsyncIterator[T]]) -> Iterator[T]:
        """Iterate over the values of an asynchronous generator.

        A caller that stops iterating drops the generator, and the event loop closes it. This method
        does not wait for that, because a garbage collection may drop the generator in any thread,
        even in the loop's own.

        Args:
            start: makes the asynchronous generator from the client.
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
        # A client that is garbage-collected in this thread closes itself: don't join ourselves.
        if threading.current_thread() is not self._thread:
            self._thread.join(END_SECONDS)

    def _main(self, ready: concurrent.futures.Future[_Living[C]]) -> None:
        try:
            with asyncio.Runner() as runner:  # on exit it cancels the tasks that are left
                runner.run(self._live(ready))
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _live(self, ready: concurrent.futures.Future[_Living[C]]) -> None:
        stop = asyncio.Event()
        client = self._make()
        ready.set_result((client, asyncio.get_running_loop(), stop))
        await stop.wait()
        await client.close()


class LazyBackground(Generic[C]):
    """A background that starts with its first use, and again after it was closed.

    Args:
        make: creates the client; called in the new thread.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._running: Background[C] | None = None

    @property
    def running(self) -> Background[C]:
        """The background; this starts it.

        Raises:
            RedisUnavailable: see `Background`.
        """
        with self._lock:
            if self._running is None:
                self._running = Background(self._make)
            return self._running

    def close(self) -> None:
        """Close the client and end the thread, if it runs."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.close()
