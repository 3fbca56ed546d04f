"""A worker under Django's autoreloader: it starts anew when the code changes. For development."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable
from typing import Final

from django.utils.autoreload import run_with_reloader

from identtqueue.worker.worker import Worker

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
"""How long the worker may take to give its tasks back before the process ends."""


def run_reloading(make: Callable[[], Worker]) -> None:
    """Run a worker until the process is ended, and start the process anew when code changes.

    The reloader needs the main thread, and calls this function's worker in another one.

    Args:
        make: makes the worker; called in the process that works.
    """
    run_with_reloader(lambda: _serve(make()))


def _serve(worker: Worker) -> None:
    ended = threading.Event()

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            # The reloader ends the process by an exception in the main thread. Tasks that run are
            # given back, uncharged, and the next process runs them again.
            loop.call_soon_threadsafe(worker.stop)
            loop.call_soon_threadsafe(worker.stop)  # the second call cuts them off
            ended.wait(STOP_SECONDS)

        atexit.register(stop)
        try:
            await worker.serve()
        finally:
            atexit.unregister(stop)

    try:
        asyncio.run(serve())
    finally:
        ended.set()
