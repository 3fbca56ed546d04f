"""One process in a session of its own: start, output, signals, end."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import Self

from identtqueue_operator.local.command import Command
from identtqueue_operator.local.guard import Guard

MOST_LINE_BYTES = 64 * 1024
"""A longer line of output is shown in pieces."""
OUTPUT_SECONDS = 0.5
"""How long the rest of the output may take after the end. A process that was started with the same
output, and has left the process group, may hold it open."""


class Running:
    """A process that was started.

    Args:
        process: the process.
        guard: knows its group.
        output: reads and passes on what it prints.
    """

    def __init__(self, process: Process, guard: Guard, output: asyncio.Task[None]) -> None:
        self._process = process
        self._guard = guard
        self._output = output
        self.pid = process.pid

    @classmethod
    async def start(cls, command: Command, guard: Guard, say: Callable[[str], None]) -> Self:
        """Start a command.

        Args:
            command: what to start.
            guard: ends it if this process does not live to do so.
            say: called with each line of its output.

        Raises:
            OSError: it cannot be started.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                env=command.environment,
                stdin=DEVNULL,
                # A pipe of our own: asyncio's would delay the news of the end until nobody has it.
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        guard.begun(process.pid)
        output = asyncio.get_running_loop().create_task(_pass_on(reading, say))
        return cls(process, guard, output)

    async def ended(self) -> int:
        """Wait for its end; return its exit code, as a container has it: 128 + n after signal n."""
        code = await self._process.wait()
        self._guard.ended(self.pid)
        _, late = await asyncio.wait([self._output], timeout=OUTPUT_SECONDS)
        for task in late:
            task.cancel()
        return code if code >= 0 else 128 - code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it; SIGKILL goes to all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                self._process.send_signal(number)


async def _pass_on(reading: int, say: Callable[[str], None]) -> None:
    """Pass on the lines of a pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST_LINE_BYTES)
    with open(reading, "rb", buffering=0) as pipe:  # noqa: ASYNC230 - a descriptor
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while line := await _line(reader):
                say(line.decode(errors="replace").rstrip("\r\n"))
        finally:
            transport.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Read a line, or as much of it as fits; nothing at the end."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.read(max(error.consumed, 1))
