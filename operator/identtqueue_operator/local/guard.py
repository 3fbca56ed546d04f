"""The connection to the keeper: it learns of each process group, and is replaced if it dies."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from identtqueue_operator.local import keeper
from identtqueue_operator.local.command import INSTANCE

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Period of checking whether somebody has killed the keeper."""


class Guard:
    """Sees to it that no process of this instance outlives this process.

    Args:
        instance: identifies this run of `identtqueue local`.
        lock: descriptor of the state folder's lock, which the keeper holds too.
    """

    def __init__(self, instance: str, lock: int) -> None:
        self._variable = f"{INSTANCE}={instance}"
        self._lock = lock
        self._groups: set[int] = set()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def keeper(self) -> int:
        """Process id of the keeper."""
        assert self._keeper is not None
        return self._keeper.pid

    def start(self) -> None:
        """Start the keeper."""
        self._spawn()
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="keeper")

    def begun(self, group: int) -> None:
        """Note a process group that has begun."""
        self._groups.add(group)
        self._send(f"+{group}\n")

    def ended(self, group: int) -> None:
        """End what is left of a process group whose first process has ended."""
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
        self._groups.discard(group)
        self._send(f"-{group}\n")

    async def close(self) -> None:
        """End the keeper, and with it all processes that are left."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._keeper is not None:
            self._hang_up()
            await asyncio.to_thread(self._keeper.wait)

    def _spawn(self) -> None:
        # Neither site packages nor the user's PYTHON… variables: the file needs none of them.
        command = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), self._variable]
        self._keeper = subprocess.Popen(  # noqa: S603 - our own file
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self._lock,),
        )
        for group in self._groups:
            self._send(f"+{group}\n")

    def _hang_up(self) -> None:
        """Close the pipe to the keeper."""
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        with contextlib.suppress(OSError):  # what was not sent is lost, since it has died
            self._keeper.stdin.close()

    def _send(self, line: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        # It may have died, and is replaced soon; or it is closed, and has ended all that was left.
        with contextlib.suppress(OSError, ValueError):
            self._keeper.stdin.write(line.encode())
            self._keeper.stdin.flush()

    async def _watch(self) -> None:
        """Replace a keeper that somebody has killed."""
        while True:
            assert self._keeper is not None
            await asyncio.sleep(PAUSE_SECONDS)
            if self._keeper.poll() is not None:
                logger.warning("the keeper process has ended; another one is started")
                self._hang_up()
                self._spawn()
