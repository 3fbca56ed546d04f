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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from identtqueue import Client
from identtqueue.admin import Admin, Counts
from identtqueue.cli import main
from testing.bad_release import FIRST, MENDED, enqueue, working
from testing.redis_server import RedisServer
from testing.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "a-task-failed.md"
BLOCK = re.compile(r"```console\n(\$ identtqueue .+?)\n```", re.DOTALL)


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
            await enqueue(client)
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
