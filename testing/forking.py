"""Forks of a process whose threads are in the middle of calls, as a prefork server makes them.

A test starts a program that uses this module (`run`), since it would fork itself otherwise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from testing.processes import environment

CHILDREN: Final = 4
"""How many processes are forked."""
_END_SECONDS: Final = 90
"""After this time a process that hangs is ended."""


async def run(program: Path, address: str, queue: str) -> str:
    """Run a program with the address of Redis and a queue, and return what it prints.

    An assertion fails if the program has failed; it shows what the program wrote.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), address, queue),
        env=environment(address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


def in_threads(*functions: Callable[[], None]) -> None:
    """Run functions at the same time, and return when all have ended."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def busy(call: Callable[[], object], threads: int = 3) -> Iterator[None]:
    """Make calls in threads, again and again, until the block ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            call()

    calling = [threading.Thread(target=work) for _ in range(threads)]
    for thread in calling:
        thread.start()
    yield
    stop.set()
    for thread in calling:
        thread.join()


def fork(work: Callable[[int], bool]) -> list[int]:
    """Fork the children, and return their process ids.

    Args:
        work: what each does, called with its number; False: it has failed.
    """
    signal.alarm(_END_SECONDS)
    children = []
    for number in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            signal.alarm(_END_SECONDS)
            _child(work, number)
        children.append(pid)
    return children


def _child(work: Callable[[int], bool], number: int) -> None:
    code = 1
    try:
        code = 0 if work(number) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_codes(children: list[int]) -> list[int]:
    """Wait for the children to end, and return their exit codes."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
