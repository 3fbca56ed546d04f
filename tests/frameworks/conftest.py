"""Fixtures of the tests with web frameworks: a Django project, and a worker for its tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections

from frameworks.project import FOLDER, using_tasks, worker_in_a_thread
from identtqueue.worker.worker import Worker
from testing.redis_server import RedisServer


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[None]:
    """Create the tables."""
    call_command("migrate", "--run-syncdb", verbosity=0)
    connections.close_all()
    yield
    FOLDER.cleanup()


@pytest.fixture(scope="module")
def shop_redis() -> Iterator[RedisServer]:
    """Start a server for the tasks of the project, whose queues have fixed names."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture
def shop(shop_redis: RedisServer) -> Iterator[None]:
    """Let the project's tasks use the server."""
    with using_tasks(shop_redis.address):
        yield
    connections.close_all()


@pytest.fixture(scope="module")
def shop_worker(shop_redis: RedisServer) -> Iterator[Worker]:
    """Run a worker of the project for the tests of a file."""
    from frameworks.shop.framework import task_backends
    from identtqueue.django.worker import make_worker

    def make() -> Worker:
        with using_tasks(shop_redis.address):
            return make_worker(task_backends["default"], grace_seconds=0)

    with worker_in_a_thread(make) as worker:
        yield worker
