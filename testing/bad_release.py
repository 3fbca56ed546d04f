"""A release that fails on 300 tasks, and one that is mended: the story of a-task-failed.md."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from identtqueue import Client, TaskOptions
from testing.processes import environment
from testing.redis_server import RedisServer

QUEUE: Final = "documents"
FAILED: Final = 300
"""Tasks that the first release can't do; it can do two others."""

FIRST, MENDED = (
    """\
from identtqueue import App, Context

app = App(default_queue="documents")


@app.task
async def read_mrz(_ctx: Context, path: str, lines: list[str]) -> str:
    if len(lines) != 2:
        raise ValueError(f"expected 2 lines, found {len(lines)}")
    return lines[1][:9]


@app.task
async def archive(_ctx: Context, path: str) -> None:
    return None
""",
    """\
from identtqueue import App, Context

app = App(default_queue="documents")


@app.task
async def read_mrz(_ctx: Context, path: str, lines: list[str]) -> str:
    return lines[-1][:9]


@app.task
async def archive(_ctx: Context, path: str) -> None:
    return None
""",
)
PASSPORT = "L898902C36UTO7408122F1204159ZE184226B<<<<<10"
CARD = "D231458907UTO7408122F1204159<<<<<<<6"


@asynccontextmanager
async def working(server: RedisServer, folder: Path, code: str, pod: str) -> AsyncIterator[None]:
    """Run a worker of a release of the application, in a process of its own."""
    (folder / "tasks.py").write_text(code)
    environ = environment(server.address, IDENTTQUEUE_POD_UID=pod, IDENTTQUEUE_POD_NAME=pod)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", "worker", "tasks:app", "--concurrency", "50"),
        cwd=folder,
        env=environ,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def enqueue(client: Client) -> None:
    """Enqueue what fails in the first release, and two tasks that succeed in both.

    It returns when the first of these two has ended: a worker has to run.
    """
    for number in range(1, FAILED + 1):
        options = TaskOptions(task_id=f"page-{number}", max_retries=0)
        path = f"s3://cards/{number}.jpg"
        await client.enqueue_job(QUEUE, "read_mrz", path, [CARD], task_options=options)
    await client.wait_for_result(
        await client.enqueue_job(QUEUE, "read_mrz", "s3://a.jpg", ["P<", PASSPORT])
    )
    await client.enqueue_job(QUEUE, "archive", "s3://a.jpg")
