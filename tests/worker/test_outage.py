"""Log of a worker while Redis cannot be reached."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from identtqueue import Client, Worker
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.waiting import eventually


async def echo(_ctx, value=None):
    return value


@pytest.mark.slow
async def test_a_few_lines_whatever_fails_how_often(
    new_redis_server: Callable[..., RedisServer],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fetching, the lease, upkeep and the control channel all fail, but the log stays short."""
    monkeypatch.setattr("identtqueue.transport.outage.QUIET_SECONDS", 2.0)
    server = new_redis_server(aof=True)

    def lines(start: str) -> list[str]:
        said = [r.getMessage() for r in caplog.records if r.name.startswith("identtqueue")]
        return [line for line in said if start in line]

    async with serving(Worker({"echo": echo}, server.address, "q", lease_seconds=5)):
        async with Client(server.address) as client:
            await client.wait_for_result(await client.enqueue_job("q", "echo"), 30)
        server.kill()
        await eventually(lambda: len(lines("still failing after")) == 2, "it lasts")
        server.start()
        await eventually(lambda: lines("Redis works again, after"), "it is over")
        async with Client(server.address) as client:
            await client.wait_for_result(await client.enqueue_job("q", "echo"), 30)
        trouble = [r for r in caplog.records if r.levelname == "WARNING"]
        said = [r.getMessage() for r in trouble]
        assert said[0].endswith("; trying again")
        assert "Redis can't be reached" in said[0]
        assert 4 <= len(said) <= 6, said
        assert len(lines("Redis works again")) == 1
