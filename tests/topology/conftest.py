"""Fixtures for Redis as in production: TLS, ACLs, rotated passwords, Sentinels and clusters."""

from __future__ import annotations

import pytest

from identtqueue.errors import RedisError
from identtqueue.protocol.calls import inspecting
from identtqueue.transport.connect import async_redis, blocking_redis
from identtqueue.transport.settings import RedisSettings
from testing import servers
from testing.tls import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if not servers.has_tls(servers.chosen()):
        pytest.skip("this server was built without TLS")
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def first_error(settings: RedisSettings, how: str) -> RedisError:
    """Return the error of a first call over one of the transports, without any retry."""
    if how == "blocking":
        blocking = blocking_redis(settings, client_name="tests", retry_for_seconds=0)
        with pytest.raises(RedisError) as caught:
            blocking.run(inspecting.depth("q"))
        blocking.close()
        return caught.value
    asyncio_ = async_redis(settings, client_name="tests", retry_for_seconds=0)
    with pytest.raises(RedisError) as caught:
        await asyncio_.run(inspecting.depth("q"))
    await asyncio_.close()
    return caught.value


@pytest.fixture(params=["blocking", "asyncio"])
def how(request: pytest.FixtureRequest) -> str:
    """Choose the transport."""
    return str(request.param)
