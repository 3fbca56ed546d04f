"""An API server, a fleet of pods with workers in a real Redis, and the operator between them."""

import secrets
import time
from collections.abc import AsyncIterator

import pytest

from identtqueue_operator.kube.client import Kube
from identtqueue_operator.timings import Timings
from testing.api_server import ApiServer
from testing.fleet import Fleet
from testing.operating import Operator, Setup
from testing.wording import messages, miscounted, repeated


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = await ApiServer().start()
    yield server
    await server.close()
    assert not server.anonymous, "every write of the operator names its field manager"
    for _, path, body in server.requests:
        if path.endswith(("/status", "/events")):
            assert not {text: repeated(text) for text in messages(body) if repeated(text)}
            assert not [text for text in messages(body) if miscounted(text)]


@pytest.fixture
async def kube(api) -> AsyncIterator[Kube]:
    async with Kube(api.connect()) as kube:
        yield kube


@pytest.fixture
def timings() -> Timings:
    """The operator's timings. A test gives it others by `parametrize("timings", …)`."""
    return Timings()


@pytest.fixture
async def operator(api, kube, timings) -> AsyncIterator[Operator]:
    running = Operator(api, kube, timings=timings)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def setup(api, calls, client, queue, redis_server) -> AsyncIterator[Setup]:
    fleet = Fleet(api, f"worker-{secrets.token_hex(3)}", calls, queue)
    yield Setup(api, fleet, client, queue, redis_server.address)
    await fleet.close()


@pytest.fixture
def stopwatch():
    started = time.perf_counter()
    return lambda: time.perf_counter() - started
