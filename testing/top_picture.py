"""Draws docs/pictures/top.svg: `identtqueue top` over a few queues and workers, in a real terminal.

    python -m testing.top_picture

It also prints how many bytes per second were sent to the terminal, and what the whole screen takes.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.style import Style
from rich.text import Text

from identtqueue import Client, Job, RetryPolicy, TaskOptions, Worker
from identtqueue.admin import Admin
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import serving
from testing.terminal import TerminalProgram

PICTURE: Final = Path(__file__).parents[1] / "docs/pictures/top.svg"
COLUMNS: Final = 100
ROWS: Final = 20
SECONDS: Final = 12.0
"""How long queues are busy, and the bytes are counted, before the picture is taken."""

NAMES: Final = {"brown": "yellow"}
"""The names in rich of colours of pyte."""

_UNIQUE_ID: Final = re.compile(r"terminal-\d+")

_FONTS: Final = re.compile(r"@font-face \{.*?\}\s*|<!-- .*? -->\s*", re.DOTALL)
"""Fonts that would be loaded from elsewhere, and an advertisement."""


async def job(_ctx: Any, seconds: float, fails: bool = False) -> None:
    """Take a while."""
    await asyncio.sleep(seconds)
    if fails:
        raise ValueError("the page is empty")


async def main() -> None:
    """Play, measure, and write the picture."""
    server = RedisServer(aof=True).start()
    try:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(server.address))
            for queue, names in QUEUES.items():
                worker = Worker(
                    [
                        Job(name=name, function=job, retry=RetryPolicy(max_retries=0))
                        for name in names
                    ],
                    redis_address=server.address,
                    queue_name=queue,
                    concurrency=4,
                )
                await stack.enter_async_context(serving(worker))
            screen = await stack.enter_async_context(_top(server.address))
            await screen.shows("q quit", "documents")
            first = len(screen.output)
            await _be_busy(client, server.address)
            await screen.shows("archive", "reports")
            whole, started = len(screen.output), time.monotonic()
            await _be_busy(client, server.address)
            sent = (len(screen.output) - whole) / (time.monotonic() - started)
            print(f"{sent:.0f} bytes per second; the first screen took {first} bytes")
            PICTURE.write_text(_svg(screen))
    finally:
        server.destroy()


QUEUES: Final = {
    "documents": ("read_mrz", "render"),
    "mail": ("send",),
    "reports": ("monthly",),
}


def _top(address: str) -> TerminalProgram:
    command = [sys.executable, "-m", "identtqueue", "top", "--interval-seconds", "1"]
    return TerminalProgram(command, environment(address), columns=COLUMNS, rows=ROWS)


async def _be_busy(client: Client, address: str) -> None:
    """Enqueue tasks, some of which take their time or fail, for a few seconds."""
    chance = random.Random(1)
    await client.enqueue_job("reports", "monthly", 60.0)
    await client.enqueue_job("archive", "copy", 1.0, task_options=TaskOptions(delay_seconds=3_600))
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        await client.enqueue_job("documents", "read_mrz", chance.uniform(0.01, 0.4))
        await client.enqueue_job("documents", "render", chance.uniform(0.5, 3.0))
        await client.enqueue_job(
            "mail", "send", chance.uniform(0.005, 0.05), chance.random() < 0.05
        )
        await asyncio.sleep(0.2)
    async with Admin(address) as admin:
        await admin.pause("archive")


def _svg(screen: TerminalProgram) -> str:
    """Draw the screen."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="standard")
    for row in range(ROWS):
        console.print(_line(screen, row), end="\n", no_wrap=True, overflow="ignore", crop=False)
    svg = _UNIQUE_ID.sub("top", console.export_svg(title="identtqueue top"))
    return _FONTS.sub("", svg)


def _line(screen: TerminalProgram, row: int) -> Text:
    line = Text()
    for column in range(COLUMNS):
        cell = screen.cell(row, column)
        line.append(
            cell.data,
            Style(
                bold=cell.bold,
                reverse=cell.reverse,
                dim=cell.fg == "brightblack",
                color=None if cell.fg == "default" else NAMES.get(cell.fg, cell.fg),
            ),
        )
    return line


if __name__ == "__main__":
    asyncio.run(main())
