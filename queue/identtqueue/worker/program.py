"""The process around `Worker.run`: an event loop that no job can end, and the exit.

The signals are handled by the watchdog, so that they work while the event loop is blocked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NoReturn

from identtqueue.errors import InvalidInput

logger = logging.getLogger(__name__)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

END_SECONDS: Final = 5.0
"""How long other tasks and threads may take to end after the worker has stopped."""


def check_place() -> None:
    """Check that an event loop with signal handlers can be run here.

    Raises:
        InvalidInput: an event loop is already running, or this is not the main thread.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise InvalidInput(
            "Worker.run() starts an event loop of its own, and one is running here already: use "
            "`await worker.serve()`, and `worker.stop()` to end it"
        )
    if threading.current_thread() is not threading.main_thread():
        raise InvalidInput(
            "Worker.run() handles signals, which only the main thread can do: in another thread "
            "use `asyncio.run(worker.serve())`, and `loop.call_soon_threadsafe(worker.stop)` to "
            "end it"
        )


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function to its end, in a fresh event loop that a job cannot stop.

    Tasks and threads that are left then are ended too. If they do not end, the process exits here.

    Args:
        work: called once; its coroutine is run.
    """
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            _drive(runner.get_loop(), work())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _drive(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run the loop until the work has ended.

    A job can stop the loop with `loop.stop()`, or by raising SystemExit in a callback. Neither ends
    the worker: the loop is started again and continues where it was.
    """
    main = loop.create_task(_to_the_end(work), name="worker")
    while not main.done():
        try:
            loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt) as error:
            if main.done():
                raise
            logger.error(
                "%s in a callback of the event loop: ignored, the worker continues",
                type(error).__name__,
                exc_info=error,
            )
        except RuntimeError:
            if main.done():
                raise
            logger.error("something has stopped the event loop: ignored, the worker continues")
    main.result()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    error: BaseException | None = None
    try:
        await work
    except BaseException as raised:
        error = raised
        raise
    finally:
        if stuck := await _end_the_rest():
            _exit_without(stuck, error)


async def _end_the_rest() -> list[str]:
    """End other tasks and threads, as `asyncio.Runner` does; name those that do not end in time."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    stuck: set[asyncio.Task[Any]] = set()
    if rest:
        _, stuck = await asyncio.wait(rest, timeout=END_SECONDS)
    if not stuck:
        loop = asyncio.get_running_loop()
        ending = loop.create_task(loop.shutdown_default_executor(), name="asyncio.to_thread")
        _, stuck = await asyncio.wait([ending], timeout=END_SECONDS)
    return sorted(task.get_name() for task in stuck)


def _exit_without(stuck: Sequence[str], error: BaseException | None) -> NoReturn:
    """Exit the process at once, although some tasks or threads do not end.

    The stop is complete, hooks and leases included. So the exit code is 0 unless the worker failed.
    A normal exit would wait for these tasks and threads, because neither an event loop nor the
    interpreter ends without them.
    """
    logger.error("exiting, although these do not end: %s", ", ".join(stuck), exc_info=error)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
            stream.flush()
    os._exit(0 if error is None else 1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - only installed with the extra `fast`
    except ImportError:
        return None
    return uvloop.new_event_loop
