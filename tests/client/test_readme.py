"""The examples of README.md and docs/library/first-steps.md, run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from testing.processes import environment
from testing.redis_server import RedisServer

ROOT = Path(__file__).parents[2]


def example(page: str, start: str, **replaced: str) -> str:
    """The code block of a page that starts so, pointed at the test's Redis and queue.

    Args:
        page: of the documentation, from the root of the repository.
        start: the first words of the block; only one block begins with them.
        replaced: what stands in the block in quotes, and what to put there instead.
    """
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(start)]
    for shown, meant in replaced.items():
        assert f'"{shown}"' in block
        block = block.replace(f'"{shown}"', repr(meant))
    return block


async def start(
    address: str, *command: str, folder: Path | None = None
) -> asyncio.subprocess.Process:
    environ = environment(address)
    if folder is not None:
        environ["PYTHONPATH"] += os.pathsep + str(folder)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def printed(
    application: asyncio.subprocess.Process, worker: asyncio.subprocess.Process
) -> str:
    """Return what the application prints. It and the worker must end without an error."""
    out, err = await application.communicate()
    worker.terminate()
    _, log = await worker.communicate()
    assert (application.returncode, worker.returncode) == (0, 0), (err + log).decode()
    return out.decode()


@pytest.mark.slow
async def test_the_readme(queue: str, tmp_path: Path) -> None:
    address = f"embedded://{tmp_path}/queue"
    code = example("README.md", "import asyncio", embedded=address, documents=queue)
    assert len(code.splitlines()) <= 20
    (tmp_path / "tasks.py").write_text(code)
    application = await start(address, str(tmp_path / "tasks.py"))
    command = ("-m", "identtqueue", "worker", "tasks:app", "--queue", queue)
    worker = await start(address, *command, folder=tmp_path)
    assert await printed(application, worker) == "6\n"


@pytest.mark.slow
async def test_the_first_steps_of_the_guide(redis_server: RedisServer, queue: str) -> None:
    address = redis_server.address
    page, replaced = "docs/library/first-steps.md", {"redis://redis": address, "mrz": queue}
    application = await start(address, "-c", example(page, "import asyncio", **replaced))
    worker = await start(address, "-c", example(page, "from identtqueue import Worker", **replaced))
    assert await printed(application, worker) == "read s3://bucket/document.jpg\n"
