"""Common to the tests of the command line: how a command is run, and its output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.processes import environment

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Said:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The words of each row of a table, without the titles of its columns."""
        return [line.split() for line in self.out.splitlines()[1:]]

    @property
    def json(self) -> list[dict[str, Any]]:
        """The lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Awaitable[Said]]


async def start(address: str, *words: str, **environ: str) -> asyncio.subprocess.Process:
    """Start the real command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "identtqueue", *words),
        cwd=HERE,
        env=environment(address, **environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Said:
    """Wait for the end of a process."""
    out, err = await process.communicate()
    return Said(process.returncode, out.decode(), err.decode())


def one_line(said: Said, start: str = "Error: ") -> str:
    """Return the message of a failed command: one line, no traceback."""
    assert said.code not in (0, 130)
    if "Usage: " in said.err:
        assert said.code == 2
    assert said.out == ""
    *usage, message = said.err.strip().splitlines()
    before = [line for line in usage if " INFO identtqueue." not in line]  # of a worker that starts
    assert all(line.startswith(("Usage: ", "Try ")) or not line for line in before), said.err
    assert message.startswith(start), said.err
    return message
