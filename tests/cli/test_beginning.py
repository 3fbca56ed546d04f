"""SIGTERM while a program still starts. e2e/test_starting.py does it to process 1 of a pod."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from testing.processes import ROOT, environment

SLOW = """
import sys
print("importing", flush=True)
try:
    sys.stdin.read()
except BaseException:
    pass
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("slow", ("identtqueue", "worker", "slow:app")),
        ("click", ("identtqueue", "worker", "tasks:app")),
        ("kopf", ("identtqueue_operator",)),
    ],
    ids=["worker: the application", "worker: a library", "operator"],
)
async def test_a_program_that_still_imports_ends_in_order(
    tmp_path: Path, module: str, words: tuple[str, ...]
) -> None:
    (tmp_path / f"{module}.py").write_text(SLOW)
    environ = environment("redis://127.0.0.1:1")
    path = [str(tmp_path), str(ROOT / "operator"), environ["PYTHONPATH"]]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        env=environ | {"PYTHONPATH": os.pathsep.join(path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGTERM)
        # Standard input ends too: Python calls the handler late if the signal arrives just before
        # the read begins.
        _, said = await asyncio.wait_for(process.communicate(b""), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert said == b"SIGTERM while starting: nothing to stop, exiting\n"
    assert process.returncode == 0


async def test_a_command_that_is_cut_off_does_not_report_success() -> None:
    asked = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until the command is gone
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "identtqueue", "queues", "q"),
            env=environment(f"redis://127.0.0.1:{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await asyncio.wait_for(asked.wait(), 30)
            process.send_signal(signal.SIGTERM)
            said = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert said == (b"", b"")
    assert process.returncode == -signal.SIGTERM
