"""`identtqueue top` in a real terminal: what it shows, its keys, and that it leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from identtqueue import Client, TaskOptions
from identtqueue.admin import Admin
from identtqueue.cli import main
from identtqueue.protocol.keys import queue_keys
from testing.processes import environment
from testing.redis_server import RedisServer
from testing.serving import Serve, serve
from testing.terminal import TerminalProgram
from testing.waiting import eventually

__all__ = ["serve"]

pytestmark = pytest.mark.slow  # each starts the command in a process

FAST = ("--interval-seconds", "0.5")
ENTER, ESCAPE, UP, DOWN = "\r", "\x1b", "\x1b[A", "\x1b[B"

Top = Callable[..., contextlib.AbstractAsyncContextManager[TerminalProgram]]


@pytest.fixture
def top(redis_server: RedisServer) -> Top:
    """Provide `async with top("a", "b") as screen`: the command, for two queues."""

    @contextlib.asynccontextmanager
    async def start(
        *words: str, address: str = redis_server.address, columns: int = 80, rows: int = 24
    ) -> AsyncIterator[TerminalProgram]:
        command = [sys.executable, "-m", "identtqueue", "top", *FAST, *words]
        async with TerminalProgram(
            command, environment(address), columns=columns, rows=rows
        ) as program:
            yield program

    return start


@pytest.fixture
def queues(queue: str) -> tuple[str, str]:
    """Make two queue names that the table need not cut."""
    return f"a{queue[-8:]}", f"b{queue[-8:]}"


async def later(client: Client, queue: str, number: int = 1) -> None:
    for _ in range(number):
        await client.enqueue_job(queue, "job", task_options=TaskOptions(delay_seconds=3600))


async def test_queues_and_their_numbers(top: Top, client: Client, queues: tuple[str, str]) -> None:
    one, two = queues
    await client.enqueue_job(one, "job")
    await later(client, two, 3)
    async with top(*queues) as screen:
        await screen.shows("QUEUE", one, two, "2 queues", "q quit")
        assert re.search(rf"{one} +1 +0 +0 +0 +0 ", screen.line(one)), screen.text
        assert re.search(rf"{two} +0 +0 +0 +3 +0 ", screen.line(two))
        for name in ("W50", "W95", "R50", "R95", "WRK"):
            assert name in screen.line("QUEUE")
        await client.enqueue_job(one, "job")
        await eventually(lambda: re.search(rf"{one} +2 ", screen.text), "it shows the new task")
        await eventually(lambda: "in 0 ok" not in screen.text, "and the rate")
        screen.press("q")
        assert await screen.ended() == 0
        assert screen.is_given_back
    await client.close()


async def test_workers_and_what_they_run(
    top: Top, client: Client, serve: Serve, queue: str
) -> None:
    held = asyncio.Event()

    async def render(_ctx: Any) -> None:
        await held.wait()

    async def quick(_ctx: Any) -> None: ...

    await serve({"render": render, "quick": quick}, concurrency=3)
    await client.wait_for_result(await client.enqueue_job(queue, "quick"), 30)
    task_id = await client.enqueue_job(queue, "render")
    async with top(queue, columns=110) as screen:
        await screen.shows("POD OR HOST", "1/3", "ok", "render")
        # An open queue shows its jobs, and each task.
        screen.press(ENTER)
        await screen.shows(f"queue {queue}:", "JOB", "quick", task_id[:40])
        assert re.search(r"\d+(\.\d)?m?s  render ", screen.text), screen.text
        screen.press(ESCAPE)
        await screen.shows("POD OR HOST")
        held.set()
        await client.wait_for_result(task_id, 30)
        await screen.hides("render")


async def test_sorting_filtering_and_choosing(
    top: Top, client: Client, queues: tuple[str, str]
) -> None:
    one, two = queues
    await later(client, one)
    await client.enqueue_job(two, "job")

    def order() -> list[str]:
        return re.findall("|".join(queues), "\n".join(screen.lines[3:12]))

    async with top(*queues) as screen:
        await screen.shows(one, two)
        assert order() == [two, one]  # by what is pending
        for sort in ("held", "running", "scheduled"):
            screen.press("s")
            await screen.shows(f"sort: {sort}")
        assert order() == [one, two]
        screen.press("R")
        await screen.shows("turned")
        assert order() == [two, one]
        assert screen.is_reverse(two)  # the first one is chosen at first
        screen.press(DOWN)
        await eventually(lambda: screen.is_reverse(one), "the next one is chosen")
        screen.press(UP)
        await eventually(lambda: screen.is_reverse(two), "the one before")
        screen.press("/" + one[1:5] + "q-no")
        await screen.shows("no queue has such a name")
        screen.press("\x7f" * 4 + ENTER)
        await screen.shows(one, "filter: ")
        screen.press(ESCAPE)
        await screen.hides("filter: ")
        screen.press("/" + one + ENTER)
        await screen.hides(two)
        screen.press("?")
        await screen.shows("any key: back", "sort by the next column")
        screen.press("x")
        await screen.hides("any key: back")
        screen.press("+")
        await screen.shows("+- 1 s")


async def test_pausing_asks_first(top: Top, client: Client, raw: redis.Redis, queue: str) -> None:
    await later(client, queue)
    paused = queue_keys(queue).paused
    async with top(queue) as screen:
        await screen.shows("q quit", "1 queue ")
        screen.press("p")
        await screen.shows(f"Pause {queue}?", "y: yes")
        screen.press("n")
        await screen.hides("y: yes")
        assert not raw.exists(paused)
        screen.press("p")
        await screen.shows("y: yes")
        screen.press("y")
        await screen.shows(f"{queue} paused", "‖ ")
        assert raw.exists(paused)
        screen.press("py")
        await screen.shows(f"{queue} resumed")
        await screen.hides("‖ ")
        assert not raw.exists(paused)


async def test_a_restart_of_redis(
    top: Top, new_redis_server: Callable[..., RedisServer], queue: str
) -> None:
    server = new_redis_server(aof=True)
    async with Client(server.address) as client:
        await later(client, queue)
    async with top(queue, address=server.address) as screen:
        await screen.shows("SCHD", queue[:8])
        server.kill()
        await screen.shows("trying again")
        assert queue[:8] in screen.text  # the last numbers stay
        server.start()
        await screen.hides("trying again")
        async with Client(server.address) as client:
            await client.enqueue_job(queue, "job")
        await screen.shows("pending 1")
        screen.press("q")
        assert await screen.ended() == 0


async def test_redis_is_not_there(top: Top) -> None:
    async with top("q", address="redis://127.0.0.1:1") as screen:
        assert await screen.ended() == 4
        assert "\x1b[?1049h" not in screen.output.decode()
        assert "Error: " in screen.text


# --- the terminal is given back ---


async def ends(screen: TerminalProgram, number: int, code: int) -> None:
    """Check that a signal ends it, with this exit code, and without a trace."""
    screen.process.send_signal(number)
    assert await screen.ended() == code
    assert screen.is_given_back
    assert "Traceback" not in screen.text


async def test_ctrl_c(top: Top, client: Client, queue: str) -> None:
    await later(client, queue)
    async with top(queue) as screen:
        await screen.shows("q quit", "1 queue ")
        screen.press("\x03")
        assert await screen.ended() == 0
        assert screen.is_given_back
        assert "Traceback" not in screen.text


async def test_an_error_of_its_own(redis_server: RedisServer) -> None:
    """The traceback is on the main screen, and the terminal as it was."""
    code = (
        "import asyncio\n"
        "from identtqueue.cli.top.loop import LiveScreen\n"
        "from identtqueue.cli.top.view import TopView\n"
        "class Broken:\n"
        "    async def read(self, opened):\n"
        "        raise RuntimeError('no such thing')\n"
        "async def show():\n"
        "    await LiveScreen(None, Broken(), TopView(), 'redis://x').show()\n"
        "asyncio.run(show())\n"
    )
    command = [sys.executable, "-c", code]
    async with TerminalProgram(command, environment(redis_server.address)) as screen:
        assert await screen.ended() == 1
        assert screen.is_given_back
        after = screen.output.rpartition(b"\x1b[?1049l")[2]
        plain = re.sub(rb"\x1b\[[\d;]*m", b"", after)  # Python 3.13 colours tracebacks
        assert b"RuntimeError: no such thing" in plain


async def test_ctrl_z_and_sighup(top: Top, client: Client, queue: str) -> None:
    await later(client, queue)

    def state() -> str:
        return Path(f"/proc/{screen.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    async with top(queue) as screen:
        await screen.shows("q quit", "1 queue ")
        os.kill(screen.process.pid, signal.SIGTSTP)
        await eventually(lambda: state() == "T", "it is stopped")
        await eventually(lambda: screen.is_given_back, "the terminal is given back")
        os.kill(screen.process.pid, signal.SIGCONT)
        await eventually(lambda: not screen.is_given_back, "it has the terminal again")
        await screen.shows("q quit", "1 queue ")
        await ends(screen, signal.SIGHUP, 129)


async def test_another_size_and_sigterm(top: Top, client: Client, queue: str) -> None:
    await later(client, queue)
    async with top(queue) as screen:
        await screen.shows("q quit", queue[:8])
        assert queue not in screen.line("SCHD")
        screen.resize(120, 30)
        await eventually(lambda: "q quit" in screen.lines[29], "the foot is at the bottom")
        await screen.shows(queue)
        screen.resize(30, 5)
        await screen.shows("too small")
        await ends(screen, signal.SIGTERM, 143)


# --- a slow link ---


async def test_only_differences_are_sent(top: Top, client: Client, queue: str) -> None:
    """A busy queue changes a few numbers; the first screen was the expensive one."""
    await later(client, queue)
    async with top(queue) as screen:
        await screen.shows("q quit", "1 queue ")
        await client.enqueue_job(queue, "job")
        await screen.shows("pending 1")
        whole, started = len(screen.output), time.monotonic()
        for number in range(2, 8):
            await client.enqueue_job(queue, "job")
            await screen.shows(f"pending {number}")
        per_second = (len(screen.output) - whole) / (time.monotonic() - started)
    assert whole > 700
    assert per_second < 200, f"{per_second:.0f} bytes per second"


async def test_it_sleeps_between_refreshes(top: Top, client: Client, queue: str) -> None:
    await later(client, queue)

    def cpu_seconds() -> float:
        fields = Path(f"/proc/{screen.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async with top("--interval-seconds", "60", queue) as screen:
        await screen.shows("q quit", "1 queue ")
        before, sent = cpu_seconds(), len(screen.output)
        screen.press("h")  # it is awake, and goes to sleep again
        await screen.shows("any key: back")
        assert cpu_seconds() - before < 0.2
        assert len(screen.output) > sent


# --- without a terminal ---


async def test_a_snapshot_in_a_pipe(
    redis_server: RedisServer, client: Client, serve: Serve, queue: str
) -> None:
    held = asyncio.Event()

    async def render(_ctx: Any) -> None:
        await held.wait()

    await serve({"render": render})
    await client.enqueue_job(queue, "render")
    async with Admin(redis_server.address) as admin:
        await eventually(lambda: _runs(admin, queue), "it runs")
    environ = {"IDENTTQUEUE_REDIS_ADDRESS": redis_server.address}
    said = await asyncio.to_thread(CliRunner().invoke, main, ["top", queue], env=environ)
    held.set()
    assert said.exit_code == 0, said.output
    assert "\x1b" not in said.stdout
    assert re.search(rf"^{queue} +0 +0 +1 +0 +0 ", said.stdout, re.MULTILINE), said.stdout
    assert re.search(r"1/10 +render \d", said.stdout)


async def _runs(admin: Admin, queue: str) -> bool:
    return (await admin.depths([queue]))[queue].in_flight == 1
