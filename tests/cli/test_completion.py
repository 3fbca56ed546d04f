"""The completion of a shell: commands, and the names of queues and jobs that exist."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from identtqueue import Client
from identtqueue.cli import main
from identtqueue.cli.commands.completion import VARIABLE
from identtqueue.cli.completing import BUDGET_SECONDS, JOB, QUEUE, kind_of
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import Serve, serve

__all__ = ["serve"]

PROGRAM = Path(sys.executable).with_name("identtqueue")

Complete = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def complete(redis_server: RedisServer) -> Complete:
    """Provide `await complete("depth", "ma")`: what bash is offered for the last word."""

    async def ask(*words: str, address: str = redis_server.address) -> list[str]:
        environ = {
            "IDENTTQUEUE_REDIS_ADDRESS": address,
            "COMP_WORDS": " ".join(["identtqueue", *words]),
            "COMP_CWORD": str(len(words)),
            VARIABLE: "bash_complete",
        }
        done = await asyncio.to_thread(
            CliRunner().invoke, main, [], env=environ, prog_name="identtqueue"
        )
        assert (done.exit_code, done.stderr) == (0, "")
        return [line.partition(",")[2] for line in done.stdout.split()]

    return ask


async def test_names_from_redis(
    complete: Complete, client: Client, serve: Serve, queue: str
) -> None:
    async def mail(_ctx: Any) -> None: ...

    async def page(_ctx: Any) -> None: ...

    await serve({"mail": mail, "page": page})
    await client.wait_for_result(await client.enqueue_job(queue, "mail"), 30)
    assert "doctor" in await complete("doc")
    assert await complete("pause", queue[:6]) == [queue]
    assert await complete("enqueue", queue, "") == ["mail", "page"]
    assert (await complete("drain", os.uname().nodename))[0] == os.uname().nodename


async def test_without_redis_it_is_quick_and_silent(complete: Complete) -> None:
    assert await complete("pause", "", address="redis://127.0.0.1:1") == []


async def test_a_redis_that_hangs(
    complete: Complete, new_redis_server: Callable[..., RedisServer]
) -> None:
    server = new_redis_server()
    started = time.monotonic()
    await complete("pause", "")
    usual = time.monotonic() - started
    server.pause()
    started = time.monotonic()
    assert await complete("pause", "", address=server.address) == []
    assert time.monotonic() - started < 3 * usual + BUDGET_SECONDS + 2


def parameters(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield f"{path} {parameter.name}", parameter
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from parameters(child, f"{path} {name}")


def test_every_name_of_a_queue_or_job_is_completed(redis_server: RedisServer, queue: str) -> None:
    async def enqueue() -> None:
        async with Client(redis_server.address) as client:
            await client.enqueue_job(queue, queue)  # a job of this name, too

    asyncio.run(enqueue())
    found = {path: p for path, p in parameters(main) if kind_of(p) in (QUEUE, JOB)}
    assert {" pause queue", " top queues", " enqueue job"} <= found.keys()
    context = click.Context(main)
    context.params = {"redis_address": redis_server.address, "queue": queue}

    def offers(parameter: click.Parameter) -> list[str]:
        return [item.value for item in parameter.shell_complete(context, queue)]

    assert [path for path, p in found.items() if offers(p) != [queue]] == []


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_the_script(shell: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["completion", shell])
    assert said.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in said.stdout
    if program := shutil.which(shell):
        file = tmp_path / "script"
        file.write_text(said.stdout)
        subprocess.run([program, "-n", file], check=True)


@pytest.mark.slow
def test_bash_completes_a_command(tmp_path: Path) -> None:
    """The script, in a real bash, completes the words of a command line."""
    script = (
        f'PATH="{PROGRAM.parent}:$PATH"; eval "$(identtqueue completion bash)"; '
        "COMP_WORDS=(identtqueue selft); COMP_CWORD=1; _identtqueue_completion identtqueue; "
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment("redis://127.0.0.1:1"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "selftest"
