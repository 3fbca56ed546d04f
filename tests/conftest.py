"""Fixtures that all tests share: a real Redis, and names that no other test uses."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest
import redis
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from identtqueue.client import Client
from identtqueue.transport.connect import async_redis
from identtqueue.transport.connection import AsyncRedis
from identtqueue.transport.settings import RedisSettings
from testing.patches import process_wide
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS

HERE = Path(__file__).parent
pytest_plugins = ["pytester"]  # for tests/testing_plugin


class _ByFile(LoadFileScheduling):
    """Scheduler for parallel tests that keeps each file in one process.

    All fault scenarios stay in one process too: the first one that runs plays them all.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/faults" if file.startswith("tests/faults/") else file


LONG = (
    *("faults", "migrating", "worker", "operator", "dashboard", "topology", "protocol"),
    *("client", "scaling", "testing_plugin", "v02", "frameworks", "embedded"),
)
"""Folders whose tests wait longest, and so are begun first, in this order, by parallel tests."""


def pytest_configure() -> None:
    # A shell lets programs in the background ignore SIGINT, and what they start. Tests shall find
    # the same faults there as in a terminal.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # when tests have been deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let parallel tests begin with the files that take longest: no core shall idle at the end."""
    if not hasattr(config, "workerinput"):
        return
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    number = Counter(item.path for item in items)

    def rank(item: pytest.Item) -> tuple[int, int, int]:
        places = (place for place, folder in enumerate(LONG) if HERE / folder in item.path.parents)
        return next(places, len(LONG)), -slow[item.path], -number[item.path]

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    # Else xdist sorts by number. Files that wait for long have few tests, and would come last.
    config.option.loadscopereorder = False
    return _ByFile(config, log)


NO_SKIPS = "IDENTTQUEUE_NO_SKIPS"
"""Environment variable that makes skipped tests fail, as in CI, where nothing may be missing."""

OUR_THREADS = ("identtqueue", "dashboard")
"""How the names of threads begin that the library and the tests start."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get(NO_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"{NO_SKIPS} is set: {report.longrepr}"
    return report


@pytest.fixture(scope="module", autouse=True)
def no_thread_outlives_its_file() -> Iterator[None]:
    """Check that no worker, client or server goes on in a thread while other files are tested.

    It would share their process: Hypothesis, for one, refuses data while a thread uses `random`.
    """
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LONG_SECONDS
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(OUR_THREADS):
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} outlives its tests"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_replaced_for_other_files() -> Iterator[None]:
    """Check that no file leaves behind what it, or a tool it uses, has replaced in the process."""
    before = process_wide()
    yield
    assert process_wide() == before


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Start one server for all tests that leave it alive. Each test uses its own queues."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture
def new_redis_server() -> Iterator[Callable[..., RedisServer]]:
    """Provide a function that starts a test's own servers, and end them afterwards."""
    made: list[RedisServer] = []

    def make(**settings: object) -> RedisServer:
        server = RedisServer(**settings)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.destroy()


@pytest.fixture
def queue() -> str:
    """Make a queue name, and so a key prefix, that no other test uses."""
    return f"q-{secrets.token_hex(6)}"


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Make a plain client, for looking at keys from outside."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
async def calls(redis_server: RedisServer) -> AsyncIterator[AsyncRedis]:
    """Make a connection that runs protocol commands."""
    settings = RedisSettings(address=redis_server.address)
    connection = async_redis(settings, client_name="tests", retry_for_seconds=10)
    yield connection
    await connection.close()


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    """Make a connected client."""
    async with Client(redis_server.address) as connected:
        yield connected
