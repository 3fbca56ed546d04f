"""Commands as subprocesses: what a user would type, with a time limit on every wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from narrator.world import CommandFailed

# A watch event is one line, which may be longer than asyncio's 64 KiB.
LINE_LIMIT = 4 * 1024 * 1024


async def run(*command: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
    """Run a command and return its standard output.

    Raises:
        CommandFailed: the command failed, or did not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError:
        raise CommandFailed(f"{' '.join(command)}: no end in {timeout_seconds:.0f} s") from None
    finally:
        await _end(process)
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: {err.decode(errors='replace').strip()}")
    return out.decode(errors="replace")


async def run_openly(*command: str, timeout_seconds: float) -> None:
    """Run a long command and let it print its progress.

    Raises:
        CommandFailed: the command failed, or did not end in time.
    """
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(timeout_seconds):
            code = await process.wait()
    except TimeoutError:
        raise CommandFailed(f"{' '.join(command)}: no end in {timeout_seconds:.0f} s") from None
    finally:
        await _end(process)
    if code:
        raise CommandFailed(f"{' '.join(command)}: exit code {code}")


async def lines_of(*command: str) -> AsyncIterator[str]:
    """Iterate over the lines that a command prints, until it ends."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LINE_LIMIT,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield line.decode(errors="replace").rstrip("\n")
        await process.wait()  # killing it now would confuse asyncio's child watcher
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process if it still runs, so that none is left behind after an error."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
