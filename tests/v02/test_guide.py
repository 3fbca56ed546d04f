"""The code of docs/moving/from-0.2.md, run as it stands there."""

from __future__ import annotations

import asyncio
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from identtqueue.worker import worker as today
from testing.redis_server import RedisServer
from testing.waiting import LONG_SECONDS

GUIDE = Path(__file__).parents[2] / "docs" / "moving" / "from-0.2.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
CLIENT_BEFORE, CLIENT_AFTER, WORKER_BEFORE, WORKER_AFTER, IMPORTS = BLOCKS


def run(code: str, address: str, queue: str) -> dict[str, Any]:
    """Run a block on the test's Redis and queue. Code for 0.2 gets the imports of `v02`."""
    code = code.replace("from identtqueue.", "from identtqueue.v02.")
    scope: dict[str, Any] = {"__name__": "guide"}
    exec(code.replace("redis://redis", address).replace('"mrz"', repr(queue)), scope)
    return scope


@pytest.mark.parametrize("client", [CLIENT_BEFORE, CLIENT_AFTER], ids=["before", "after"])
@pytest.mark.parametrize("worker", [WORKER_BEFORE, WORKER_AFTER], ids=["before", "after"])
async def test_both_sides_say_the_same(
    redis_server: RedisServer,
    queue: str,
    client: str,
    worker: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "identtqueue.v02", DeprecationWarning)
        made = run(worker, redis_server.address, queue)["worker"]
        is_today = isinstance(made, today.Worker)
        working = asyncio.create_task(made.serve() if is_today else made.loop())
        await run(client, redis_server.address, queue)["main"]()
        if is_today:
            made.stop()
        else:
            await made.disconnect()
        async with asyncio.timeout(LONG_SECONDS):
            await working
    assert capsys.readouterr().out == "a model has read s3://bucket/document.jpg\n"


def test_the_imports_are_there() -> None:
    exec(IMPORTS, {})
