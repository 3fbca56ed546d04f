"""Jobs that run in processes, which find them by importing this module."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identtqueue import App, Context, Retry
from testing.ledger import Ledger

app = App(default_queue="jobs")
in_process = app.task(run_in="process")


TROUBLE = "IDENTTQUEUE_TEST_TROUBLE"
"""Environment variable with a folder. While it contains `no model`, no process starts. While it
contains `slow`, the start waits."""


@app.on_process_startup
def load(_state: dict[str, Any]) -> None:
    """Load something like a model, which may be missing or take long."""
    trouble = Path(os.environ.get(TROUBLE, "/nowhere"))
    if (trouble / "slow").exists():
        (trouble / "waits").touch()
    while (trouble / "slow").exists():
        time.sleep(0.01)
    if (trouble / "no model").exists():
        raise FileNotFoundError("no model")


@app.on_process_startup
async def remember(state: dict[str, Any]) -> None:
    """Note something that is made once per process."""
    state["pid"] = os.getpid()
    state["loop"] = asyncio.get_running_loop()


@in_process
def echo(_ctx: Context, *args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@in_process
def where(_ctx: Context) -> list[int]:
    """Return the ids of the process, of its parent and of its group."""
    return [os.getpid(), os.getppid(), os.getpgrp()]


@in_process
def journal(ctx: Context, gate: str | None = None) -> int:
    """Write start and end into the ledger, and keep a CPU busy in between until the gate opens."""
    ledger = Ledger.of_this_process()
    ledger.write("start", ctx.task_id, ctx.attempt)
    while gate is not None and not Path(gate).exists():
        sum(range(1000))
    ledger.write("end", ctx.task_id, ctx.attempt)
    return ctx.attempt


@in_process
def spin(_ctx: Context, started: str, with_child: bool = False) -> None:
    """Keep a CPU busy for ever, after writing down the process ids."""
    program = subprocess.Popen(["sleep", "1000"]) if with_child else None
    pids = [os.getpid(), *([program.pid] if program else [])]
    Path(started).with_suffix(".new").write_text(" ".join(map(str, pids)))
    Path(started).with_suffix(".new").rename(started)
    while True:
        sum(range(1000))


@in_process
def die(_ctx: Context, how: str) -> None:
    """End the process in one of many ways."""
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(7)
    elif how == "sys.exit":
        sys.exit("a matter of taste")
    elif how == "closes all":
        os.closerange(3, 100)
        time.sleep(1000)
    else:
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(1000)


@in_process
def context(ctx: Context) -> dict[str, Any]:
    """Return what a job sees in its context."""
    left = None if ctx.deadline is None else ctx.deadline - time.monotonic()
    return {
        "task_id": ctx.task_id,
        "queue": ctx.queue,
        "function_name": ctx.function_name,
        "attempt": ctx.attempt,
        "fencing_token": ctx.fencing_token,
        "failures": ctx.failures,
        "left": left,
        "logger": ctx.logger.name,
        "state_pid": ctx.state["pid"],
        "pid": os.getpid(),
    }


@in_process
async def asynchronous(ctx: Context) -> bool:
    await asyncio.sleep(0)
    return asyncio.get_running_loop() is ctx.state["loop"]


@dataclass
class Scan:
    name: str
    pages: list[int]


@in_process
def typed(_ctx: Context, scan: Scan, factor: int = 1) -> Scan:
    assert isinstance(scan, Scan)
    return Scan(scan.name.upper(), [page * factor for page in scan.pages])


class TooDark(ValueError):
    """Error class of the service itself."""


@in_process
def raises(ctx: Context, what: str) -> int:
    if what == "retry":
        if ctx.failures == 0:
            raise Retry("once more", after_seconds=0)
        return ctx.attempt
    if what == "too dark":
        raise TooDark("the scan is too dark: caf\udce9")
    raise {"key": KeyError, "exit": SystemExit, "interrupt": KeyboardInterrupt}[what](what)


@in_process
def logs(ctx: Context) -> None:
    ctx.logger.info("page %d", 7, extra={"page": 7})
    ctx.logger.debug("not wanted")
    try:
        raise TooDark("see above")
    except TooDark:
        logging.getLogger("service").exception("odd: %s", "caf\udce9")


@dataclass(frozen=True)
class Page:
    number: int


@in_process
def logs_oddly(ctx: Context) -> str:
    """Log a field that can be encoded but not decoded again: a map as the key of a map."""
    ctx.logger.warning("pages read", extra={"pages": {Page(1): "ok"}})
    return "done"


class LaterPerhaps(Retry):
    """Retry whose author has mistaken the type of the seconds."""

    after_seconds = "60"  # type: ignore[assignment]

    def __init__(self) -> None: ...


@in_process
def answers_oddly(_ctx: Context) -> None:
    raise LaterPerhaps


@in_process
def reports(ctx: Context, gate: str) -> None:
    ctx.report_progress({"page": 1})
    while not Path(gate).exists():
        time.sleep(0.01)
    for page in range(2, 500):
        ctx.report_progress({"page": page})


@in_process
def big(_ctx: Context, data: bytes) -> bytes:
    return data[::-1]


@in_process
def returns(_ctx: Context, what: str) -> Any:
    return {"object": object(), "big": b"x" * 2_000_000}[what]


@in_process
def inherited(_ctx: Context) -> dict[str, Any]:
    """Return the open sockets and handled signals that the process has inherited."""
    families = []
    for number in range(3, 100):
        try:
            with socket.socket(fileno=os.dup(number)) as found:
                families.append(found.family.name)
        except OSError:
            continue
    return {
        "sockets": families,
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "blocked": [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }


@app.task
async def on_loop(_ctx: Context) -> str:
    return "here"
