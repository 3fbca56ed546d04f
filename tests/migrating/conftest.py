"""Fixtures of all applications: a Redis of their own, and a register of lost passports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.migrating.shared.samples import Register
from testing.redis_server import RedisServer


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    """Start a server for the applications alone: each has a database."""
    with RedisServer().running() as server:
        yield server


@pytest.fixture(scope="session")
def register() -> Iterator[Register]:
    with Register().serving() as serving:
        yield serving
