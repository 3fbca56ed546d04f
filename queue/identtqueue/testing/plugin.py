"""The pytest plugin: a fixture for each way to test an app. See docs/testing.md.

It is loaded with pytest in every project that has idenTTqueue installed. So it imports nothing of
the library until a fixture is used. All fixtures are synchronous, so they work with pytest-asyncio,
with anyio's plugin, and in tests without an event loop.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from identtqueue.app import App
    from identtqueue.testing import BurstWorker, Inline, Recorder, RecordingContext, TestServer

OPTION = "identtqueue_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that names the app under test."""
    parser.addini(OPTION, "the App under test, as MODULE:NAME, for the fixture of the same name")


@pytest.fixture
def identtqueue_app(pytestconfig: pytest.Config) -> App:
    """Return the app under test: the one that the setting `identtqueue_app` names, or a new one.

    Define a fixture of this name to choose the app in another way.
    """
    place = pytestconfig.getini(OPTION)
    if not place:
        from identtqueue import App  # noqa: PLC0415 - see above

        return App()
    app: App = _import(place)
    return app


@pytest.fixture
def recorder(identtqueue_app: App) -> Iterator[Recorder]:
    """Record what the app enqueues, and run nothing."""
    from identtqueue.testing import Recorder  # noqa: PLC0415 - see above

    with Recorder(identtqueue_app) as recorder:
        yield recorder


@pytest.fixture
def inline(identtqueue_app: App) -> Iterator[Inline]:
    """Run the app's jobs in the test's own process, when they are enqueued, without a server."""
    from identtqueue.testing import Inline  # noqa: PLC0415 - see above

    with Inline(identtqueue_app) as inline:
        yield inline


@pytest.fixture(scope="session")
def identtqueue_server() -> Iterator[TestServer]:
    """Start a private server, or use the one that `IDENTTQUEUE_TEST_REDIS_ADDRESS` names.

    Each process of pytest-xdist has a private server of its own, or its own database.
    """
    from identtqueue.testing import TestServer  # noqa: PLC0415 - see above

    with TestServer() as server:
        yield server


@pytest.fixture
def worker(identtqueue_app: App, identtqueue_server: TestServer) -> Iterator[BurstWorker]:
    """Run the app's jobs with the real worker, on an empty database of the server."""
    from identtqueue.testing import BurstWorker  # noqa: PLC0415 - see above

    with BurstWorker(identtqueue_app, identtqueue_server) as worker:
        yield worker


@pytest.fixture
def make_context() -> Callable[..., RecordingContext]:
    """Return the function that makes a context, to call the function of a job with."""
    from identtqueue.testing import make_context  # noqa: PLC0415 - see above

    return make_context


def _import(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name or "app")
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"{OPTION} = {place}: {error}") from error
