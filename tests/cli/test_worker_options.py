"""`identtqueue worker`: what its options and their variables make of a real worker."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import redis

from identtqueue.protocol.keys import queue_keys
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.waiting import eventually

FOLDER = Path(__file__).parent
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("words", "variables", "kept"),
    [
        ((), {}, f"10000 {DAY_MS} 1"),
        (("--recent-ends", "7", "--recent-ends-seconds", "60"), {}, "7 60000 1"),
        (("--no-keep-arguments",), {}, f"10000 {DAY_MS} 0"),
        ((), {"RECENT_ENDS": "7", "RECENT_ENDS_SECONDS": "9", "KEEP_ARGUMENTS": "0"}, "7 9000 0"),
    ],
)
async def test_what_is_kept_of_tasks_that_have_ended(
    redis_server: RedisServer,
    raw: redis.Redis,
    queue: str,
    words: tuple[str, ...],
    variables: dict[str, str],
    kept: str,
) -> None:
    named = {f"IDENTTQUEUE_{name}": value for name, value in variables.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", "worker", "apps:app", "--queue", queue, *words),
        cwd=FOLDER,
        env=environment(redis_server.address, **named),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        workers = queue_keys(queue).workers
        await eventually(lambda: raw.exists(workers), "the worker is registered")
        said = raw.hget(queue_keys(queue).meta, "keeping")
    finally:
        process.terminate()
        await process.wait()
    # What everybody has who says nothing needs not be written.
    assert (said or f"10000 {DAY_MS} 1".encode()).decode() == kept
