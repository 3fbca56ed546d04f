"""docs/operations/a-task-failed.md: its commands, on a real Redis, print what the page shows.

`WRITE_WALK=1 pytest tests/cli/test_walk.py` writes what they print into the page.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from identtqueue import Client, TaskOptions
from identtqueue.admin import Admin, Counts
from identtqueue.cli import main
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "a-task-failed.md"
BLOCK = re.compile(r"```console\n(\$ identtqueue .+?)\n```", re.DOTALL)
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


async def said(server: RedisServer, line: str) -> str:
    """Run a command of the page as the page shows it, and return all that it prints."""
    words = shlex.split(line.removeprefix("$ identtqueue "), comments=True)
    environ = {"IDENTTQUEUE_REDIS_ADDRESS": server.address}
    done = await asyncio.to_thread(CliRunner().invoke, main, words, env=environ)
    return done.output.rstrip("\n")


def without_this_machine(text: str, folder: Path) -> str:
    """Put the names of an example in the place of those of this machine."""
    actor = f"{getpass.getuser()}@{socket.gethostname()}"
    text = text.replace(actor, "ada@ops".ljust(len(actor))).replace(f"{folder}/", "/app/")
    return "\n".join(line.rstrip() for line in text.splitlines())


def comparable(text: str) -> list[str]:
    """Leave out what differs from one run to the next: times, random names, which task was last."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC", "TIME", text)
    text = re.sub(r"(\d+ (min|h|d) )?[\d.]+ (ms|s|min|h|d)( ago)?|now", "DURATION", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "NONCE", text)
    text = re.sub(r"\d+\.\d\b", "RATE", text)
    text = re.sub(r"[▁▂▃▄▅▆▇█]+", "BARS", text)
    text = re.sub(r"--cursor \S+", "--cursor CURSOR", text)
    text = re.sub(r"page-\d+|cards/\d+", "PAGE", text)
    return [" ".join(line.split()) for line in text.splitlines()]


async def is_counted(server: RedisServer, **wanted: int) -> bool:
    """Return whether the workers have reported that so many attempts ended so."""
    async with Admin(server.address) as admin:
        series = await admin.series("documents", step="minute")
    total = sum((point.total for point in series.points), Counts())
    return all(getattr(total, name) == number for name, number in wanted.items())


@pytest.mark.slow
async def test_the_walk(new_redis_server: Callable[..., RedisServer], tmp_path: Path) -> None:
    server = new_redis_server()
    page = PAGE.read_text("utf-8")
    shown = BLOCK.findall(page)
    lines = [[line for line in block.splitlines() if line[:2] == "$ "] for block in shown]
    printed: list[str] = []

    async def play(blocks: list[list[str]]) -> None:
        for block in blocks:
            outs = [f"{line}\n{await said(server, line)}".rstrip() for line in block]
            printed.append(without_this_machine("\n".join(outs), tmp_path))

    mended = next(i for i, block in enumerate(lines) if "dead replay" in block[0])
    async with Client(server.address) as client:
        async with working(server, tmp_path, FIRST, "documents-7c9d"):
            for number in range(1, 301):
                options = TaskOptions(task_id=f"page-{number}", max_retries=0)
                path = f"s3://cards/{number}.jpg"
                await client.enqueue_job(
                    "documents", "read_mrz", path, [CARD], task_options=options
                )
            await client.wait_for_result(
                await client.enqueue_job("documents", "read_mrz", "s3://a.jpg", ["P<", PASSPORT])
            )
            await client.enqueue_job("documents", "archive", "s3://a.jpg")
            counted = partial(is_counted, server, failed=300, succeeded=2)
            await eventually(counted, "300 tasks have failed")
            await play(lines[:mended])
        async with working(server, tmp_path, MENDED, "documents-9b1f"):
            await play(lines[mended : mended + 2])
            counted = partial(is_counted, server, succeeded=302)
            await eventually(counted, "all have run again")
            await play(lines[mended + 2 :])
    if os.environ.get("WRITE_WALK"):
        texts = iter(printed)
        PAGE.write_text(BLOCK.sub(lambda _: f"```console\n{next(texts)}\n```", page), "utf-8")
        return
    for before, now in zip(shown, printed, strict=True):
        assert comparable(now) == comparable(before)
