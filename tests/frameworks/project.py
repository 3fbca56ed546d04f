"""A Django project that is set up in the process of the tests, and workers for its tasks."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.test import override_settings

from frameworks.shop import settings as project
from identtqueue.worker.worker import Worker

FOLDER = tempfile.TemporaryDirectory(prefix="identtqueue-shop-")
"""Folder of the database. Threads share no database in memory."""


def _configure() -> None:
    """Set Django up, before the tests import the project's tasks."""
    values = {name: value for name, value in vars(project).items() if name.isupper()}
    database = values["DATABASES"]["default"] | {"NAME": str(Path(FOLDER.name) / "shop.sqlite3")}
    settings.configure(**values | {"DATABASES": {"default": database}})
    django.setup()


_configure()


@contextmanager
def using_tasks(address: str, **options: Any) -> Iterator[None]:
    """Let the setting TASKS name a Redis, with more options of the backend."""
    backend = project.TASKS["default"] | {"OPTIONS": {"redis_address": address} | options}
    with override_settings(TASKS=project.TASKS | {"default": backend}):
        yield


@contextmanager
def worker_in_a_thread(make: Callable[[], Worker]) -> Iterator[Worker]:
    """Run a worker beside the test, and stop it in order."""
    started = threading.Event()
    found: list[tuple[Worker, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        worker = make()
        found.append((worker, asyncio.get_running_loop()))
        started.set()
        await worker.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    worker, loop = found[0]
    try:
        yield worker
    finally:
        loop.call_soon_threadsafe(worker.stop)
        thread.join(60)
        assert not thread.is_alive()
