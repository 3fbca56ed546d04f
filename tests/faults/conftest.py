"""Fixture that plays all collected scenarios at the same time."""

from __future__ import annotations

import asyncio

import pytest

from testing.faults.stage import Ends, play_all
from testing.redis_server import RedisServer


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ends:
    """Play all scenarios; return how each ended."""
    tests = [getattr(item, "function", None) for item in request.session.items]
    scenes = [test.scene for test in tests if hasattr(test, "scene")]
    return asyncio.run(play_all(scenes, redis_server, tmp_path_factory.mktemp("faults")))
