"""The README's first example, run as it stands there: an application and its worker."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from support.processes import environment
from support.redis_server import RedisServer

README = Path(__file__).parents[2] / "README.md"


def example(start: str, address: str, queue: str) -> str:
    """The code block that starts so, pointed at the test's Redis and queue."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(start)]
    for shown, meant in (('"redis://redis"', repr(address)), ('"mrz"', repr(queue))):
        assert shown in block
        block = block.replace(shown, meant)
    return block


async def start(code: str, address: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env=environment(address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_application_and_worker(redis_server: RedisServer, queue: str) -> None:
    address = redis_server.address
    application = await start(example("import asyncio", address, queue), address)
    worker = await start(example("from identtqueue import Worker", address, queue), address)
    out, err = await application.communicate()
    worker.terminate()
    _, log = await worker.communicate()
    assert out.decode() == "read s3://bucket/document.jpg\n", err.decode()
    assert (application.returncode, worker.returncode) == (0, 0), log.decode()
